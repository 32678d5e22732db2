//! Writes the shell completions and the man pages of the `highwater` binary into a folder.
//!
//! A program of its own, so that the binary does not carry the generators.
//!
//! Invariants
//! - Pages and completions come from the same definition of the arguments that the binary parses.

use std::error::Error;
use std::path::PathBuf;

use clap::{Command, Parser};
use clap_complete::{Shell, generate_to};

/// Writes completions/ and man/ below a folder, which must exist.
#[derive(Debug, Parser)]
struct Args {
    /// Where to
    dir: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Args { dir } = Args::parse();
    let mut command = highwater::cli::definition();
    let completions = dir.join("completions");
    let man = dir.join("man");
    for folder in [&completions, &man] {
        if !folder.is_dir() {
            std::fs::create_dir(folder)?;
        }
    }
    for shell in [
        Shell::Bash,
        Shell::Elvish,
        Shell::Fish,
        Shell::PowerShell,
        Shell::Zsh,
    ] {
        generate_to(shell, &mut command, "highwater", &completions)?;
    }
    clap_mangen::generate_to(without_help(command), &man)?;
    Ok(())
}

/// Every command has --help; a page about each `help` would be twice as many pages.
fn without_help(command: Command) -> Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}
