//! The words of `highwater user`.
//!
//! Floor 1 of cli.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use highwater_client::Mechanism;

use super::TargetArgs;

#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Set a user's password, and make the user if there is none. The password is read from the
    /// terminal, or is the first line of the standard input
    Add {
        /// Its name
        name: String,
        /// SCRAM-SHA-256 or SCRAM-SHA-512; may be repeated [default: both]
        #[arg(long, value_name = "MECHANISM")]
        mechanism: Vec<Mechanism>,
        /// The password is the first line of this file
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// How often the password is hashed
        #[arg(long, value_name = "N", default_value_t = 4096)]
        iterations: u32,
        /// Show what was set as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the users and their mechanisms
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Delete a user, or its password for some mechanisms
    Delete {
        /// Its name
        name: String,
        /// SCRAM-SHA-256 or SCRAM-SHA-512; may be repeated [default: all that it has]
        #[arg(long, value_name = "MECHANISM")]
        mechanism: Vec<Mechanism>,
        /// Show what was deleted as one JSON object
        #[arg(long)]
        json: bool,
    },
}
