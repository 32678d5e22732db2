//! Writes the shell completions and the man pages of the `highwater` binary into a folder.
//!
//! A program of its own, so that the binary does not carry the generators.
//!
//! Invariants
//! - Pages and completions come from the same definition of the arguments that the binary parses.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Command, Parser, ValueEnum as _};
use clap_complete::{Shell, generate_to};

/// Writes completions/ and man/ below a folder, which must exist.
#[derive(Debug, Parser)]
struct Args {
    /// Where to
    dir: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    write(&Args::parse().dir)
}

fn write(dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut command = highwater::cli::definition();
    let completions = dir.join("completions");
    let man = dir.join("man");
    for folder in [&completions, &man] {
        if !folder.is_dir() {
            std::fs::create_dir(folder)?;
        }
    }
    for shell in Shell::value_variants() {
        generate_to(*shell, &mut command, "highwater", &completions)?;
    }
    // A fresh one: making completions adds `help` to every command.
    clap_mangen::generate_to(without_help(highwater::cli::definition()), &man)?;
    Ok(())
}

/// Every command has --help; a page about each `help` would be twice as many pages.
fn without_help(command: Command) -> Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what was written is read where it was written"
)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completions() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let pages = names(&dir.path().join("man"));
        let mut wanted = vec!["highwater.1".to_owned()];
        let definition = highwater::cli::definition();
        for command in definition.get_subcommands() {
            wanted.push(format!("highwater-{}.1", command.get_name()));
            for below in command.get_subcommands() {
                wanted.push(format!(
                    "highwater-{}-{}.1",
                    command.get_name(),
                    below.get_name()
                ));
            }
        }
        wanted.sort();
        assert_eq!(pages, wanted);
        assert!(pages.contains(&"highwater-log-verify.1".to_owned()));
        let completions = names(&dir.path().join("completions"));
        assert_eq!(completions.len(), 5, "{completions:?}");
        for name in completions {
            let text = std::fs::read_to_string(dir.path().join("completions").join(&name));
            assert!(text.unwrap().contains("doctor"), "{name}");
        }
    }
}
