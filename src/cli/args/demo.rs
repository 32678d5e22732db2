//! The words of `highwater demo`.
//!
//! Floor 1 of cli.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use highwater_client::Codec;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) story: StoryArgs,
    #[command(subcommand)]
    pub(crate) command: Option<DemoCommand>,
}

/// The story: orders, their events, and payments that happen once.
#[derive(Debug, Args)]
pub(crate) struct StoryArgs {
    /// How many orders
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) orders: u32,
    /// What goes wrong follows from this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep broker and databases in this new folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// One JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// Real flights through an embedded broker, each record checked
    Flights(FlightsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FlightsArgs {
    /// Your own JSON lines (may be .gz) instead of the flights
    #[arg(long, value_name = "FILE", requires = "key_field")]
    pub(crate) input: Option<PathBuf>,
    /// The field that is the key
    #[arg(long, value_name = "FIELD", requires = "input")]
    pub(crate) key_field: Option<String>,
    /// How many partitions
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) partitions: i32,
    /// How many consumers read side by side
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) consumers: i32,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value = "lz4")]
    pub(crate) compression: Codec,
    /// Keep the data in this new folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// One JSON object instead of the tables
    #[arg(long)]
    pub(crate) json: bool,
}
