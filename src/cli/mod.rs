//! The command line: what was asked for is read, done, and answered with an exit code.
//!
//! Above the floors of the command line.
//!
//! Invariants
//! - Exit code 0: done. 1: not done, or not all of it. 2: what was asked for makes no sense.
//! - What a program reads goes to the standard output, everything else to the standard error.
//! - A failure is one sentence on the standard error.

mod args;
mod consume;
mod demo;
mod descriptors;
mod dlq;
mod doctor;
mod events;
mod failure;
mod files;
mod group;
mod health;
mod intake;
mod lines;
mod log;
mod logging;
mod moment;
mod numbers;
mod outbox;
mod output;
mod printed;
mod produce;
mod scope;
mod secret;
mod segments;
mod serve;
mod settings;
mod signals;
mod spans;
mod story;
mod streams;
pub mod table;
mod target;
mod told;
mod topic;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;
use highwater_log::fs::Fs;

use args::{Args, Command};
use failure::Failure;

/// Does what the process was started for.
#[must_use]
pub fn run() -> ExitCode {
    run_on(None)
}

/// The same, with the files of `serve` on `disk`: tests put one of their own there. `None` is the
/// machine's.
#[must_use]
pub fn run_on(disk: Option<Arc<dyn Fs>>) -> ExitCode {
    let outcome = parse(std::env::args_os()).and_then(|args| match args {
        Some(args) => execute(args, disk),
        None => Ok(()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(sentence) = failure.sentence() {
                eprintln!("highwater: {sentence}");
            }
            ExitCode::from(failure.code())
        }
    }
}

/// The definition of the arguments, of which completions and man pages are made.
#[must_use]
pub fn definition() -> clap::Command {
    use clap::CommandFactory as _;
    Args::command()
}

/// What was asked for; `None` if it was help or the version, which have been printed.
fn parse(words: impl Iterator<Item = OsString>) -> Result<Option<Args>, Failure> {
    match Args::try_parse_from(words) {
        Ok(args) => Ok(Some(args)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            output::text(&error.render().to_string()).map(|()| None)
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", error.render());
            Err(Failure::Told)
        }
        Err(error) => Err(Failure::Usage(sentence(&error.render().to_string()))),
    }
}

/// The first paragraph of what the parser says, in one line, and where to read more.
fn sentence(rendered: &str) -> String {
    let paragraph = rendered.split("\n\n").next().unwrap_or_default();
    let paragraph = paragraph.trim_start_matches("error: ");
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    format!("{}; see `highwater --help`", words.join(" "))
}

fn execute(args: Args, disk: Option<Arc<dyn Fs>>) -> Result<(), Failure> {
    logging::start(
        args.log_level.as_deref(),
        matches!(args.command, Command::Serve(_) | Command::Outbox(_)),
    )?;
    match args.command {
        Command::Serve(args) => serve::run(args, disk),
        Command::Topic(args) => topic::run(args),
        Command::Group(args) => group::run(args),
        Command::User(args) => user::run(args),
        Command::Produce(args) => produce::run(args),
        Command::Consume(args) => consume::run(args),
        Command::Dlq(args) => dlq::run(args),
        Command::Events(args) => events::run(args),
        Command::Story(args) => story::run(args),
        Command::Outbox(args) => outbox::run(&args),
        Command::Log(args) => log::run(args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_says_one_line() {
        let text = "error: the following required arguments were not provided:\n  <TOPIC>\n\nUsage";
        assert_eq!(
            sentence(text),
            "the following required arguments were not provided: <TOPIC>; see `highwater --help`"
        );
    }

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        definition().debug_assert();
    }
}
