//! The words of `highwater doctor` and `highwater health`.
//!
//! Floor 1 of cli.

use std::path::PathBuf;

use clap::Args;
use highwater_broker::Address;

/// Looks at a data directory, its disk and this machine for what costs data or nights. Nothing is
/// changed; no broker has to run.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The data directory
    pub(crate) dir: PathBuf,
    /// The broker's file of settings; without it those of the environment and the defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Write a small file into the directory, sync it 64 times, remove it, and tell how long a
    /// sync takes
    #[arg(long)]
    pub(crate) measure: bool,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Asks a running broker whether it is ready: exit code 0 if it is, for containers and scripts.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Where the broker serves HTTP (`serve --http`)
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9292")]
    pub(crate) address: Address,
    /// How long to wait for the answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) timeout_ms: u64,
}
