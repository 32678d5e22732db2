//! `highwater story`: all that happened to one key or one correlation id, and what caused what.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - No record of what was asked for is left out, unless it is said that there are more.
//! - What was stored when the command began is looked through, and no more.

mod causes;
mod kept;
mod print;
mod search;

use highwater_broker::clock::SystemClock;
use highwater_client::{Client, EventId};
use highwater_proto::clock::Clock;

use crate::cli::args::{By, StoryOfArgs};
use crate::cli::failure::Failure;
use crate::cli::numbers::{count, duration};
use crate::cli::target::Missing;
use search::{Found, Wanted};

/// Runs the command.
pub(crate) fn run(args: StoryOfArgs) -> Result<(), Failure> {
    args.target
        .clone()
        .run(Missing::Refuse, async |client: Client, signals| {
            signals.unless_interrupted(tell(&client, &args)).await
        })
}

async fn tell(client: &Client, args: &StoryOfArgs) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let started = clock.now().mono;
    let (by, found) = find(client, args).await?;
    let elapsed = clock.now().mono.since(started);
    let (told, has_more) = found.kept.finish();
    if told.is_empty() && !has_more {
        return Err(Failure::Failed(format!(
            "{} in {} topics",
            nobody(args.by, &args.id),
            found.topics
        )));
    }
    let told = causes::in_order(told);
    print::print(&told, args.json)?;
    eprintln!(
        "{} events of the {by} {} in {}: {} partitions by their key index, {} records read in {} \
         others",
        count(told.len() as u64),
        args.id.escape_debug(),
        duration(elapsed),
        found.indexed,
        count(found.read),
        found.scanned,
    );
    if has_more {
        eprintln!("highwater: there are more: --max shows more of them");
    }
    Ok(())
}

/// By what it was found, and what.
async fn find(client: &Client, args: &StoryOfArgs) -> Result<(&'static str, Found), Failure> {
    if args.by != Some(By::Correlation) {
        let key = Wanted::Key(args.id.clone().into());
        let found = search::search(client, key, &args.topic, args.max).await?;
        if args.by == Some(By::Key) || !found.kept.is_empty() {
            return Ok(("key", found));
        }
    }
    let id = Wanted::Correlation(EventId::from(args.id.as_str()));
    let found = search::search(client, id, &args.topic, args.max).await?;
    Ok(("correlation id", found))
}

fn nobody(by: Option<By>, id: &str) -> String {
    let id = id.escape_debug();
    match by {
        Some(By::Key) => format!("no record has the key {id}"),
        Some(By::Correlation) => format!("no event has the correlation id {id}"),
        None => format!("no record has the key {id}, and no event the correlation id {id}"),
    }
}
