//! `highwater demo`: see it work, in seconds, without a server or a setting.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Nothing is left behind: the folder is its own and removed, unless it was asked for by name.

mod flights;
mod story;

use crate::cli::args::{DemoArgs, DemoCommand};
use crate::cli::failure::Failure;

/// Runs the command.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    match &args.command {
        None => story::run(&args.story),
        Some(DemoCommand::Flights(args)) => flights::run(args),
    }
}
