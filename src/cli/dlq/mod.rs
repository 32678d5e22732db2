//! `highwater dlq`: dead letters are looked at, and sent back.
//!
//! Floor 6 of cli.

mod redrive;
mod show;

use highwater_client::{Client, LetterFilter, LetterTopic};

use crate::cli::args::{DlqArgs, DlqCommand};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::target::Missing;
use crate::cli::topic::named;
use show::{Letter, show, table};

/// Runs the command.
pub(crate) fn run(args: DlqArgs) -> Result<(), Failure> {
    args.target.run(
        Missing::Refuse,
        async |client: Client, signals| match args.command {
            DlqCommand::List {
                topic,
                filter,
                max,
                json,
            } => {
                let letters = client.dead_letters(&topic);
                let listed = list(&letters, &topic, (filter.letters(), max), json);
                signals.unless_interrupted(listed).await
            }
            DlqCommand::Show { topic, at, json } => {
                let letters = client.dead_letters(&topic);
                let shown = show(&letters, &topic, at, json);
                signals.unless_interrupted(shown).await
            }
            DlqCommand::Redrive(args) => redrive::redrive(&client, &args, signals).await,
        },
    )
}

async fn list(
    letters: &LetterTopic,
    topic: &str,
    (filter, max): (LetterFilter, usize),
    json: bool,
) -> Result<(), Failure> {
    let found = letters.list(&filter, max).await;
    let found = found.map_err(|error| named(topic, error))?;
    let mut out = Output::new();
    if json {
        for letter in &found.letters {
            out.json(&Letter::of(letter))?;
        }
    } else {
        out.bytes(table(&found.letters).to_string().as_bytes())?;
    }
    out.flush()?;
    for (_, _, why) in found.unreadable.iter().take(TOLD_MAX) {
        eprintln!("highwater: {why}");
    }
    let untold = found.unreadable.len().saturating_sub(TOLD_MAX);
    if untold > 0 {
        eprintln!("highwater: {untold} more records cannot be read as dead letters either");
    }
    if found.has_more {
        eprintln!("highwater: there are more than {max}: --max shows more of them");
    }
    Ok(())
}

/// How many records that are no dead letters are told one by one.
const TOLD_MAX: usize = 5;
