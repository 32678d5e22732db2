//! The story of the demo: orders, their events, and payments that happen once, whatever goes wrong
//! between.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - What goes wrong follows from the seed; only when it does is left to the machine.
//! - It fails (exit code 1) if a change has no effect, two of them or one at the wrong time, or if
//!   anything is seen of what was rolled back.

mod cast;
mod crew;
mod payments;
mod plan;
mod report;
mod shop;
mod sums;
mod watcher;

use std::path::Path;
use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::clock::SystemClock;
use highwater_client::{Client, NewTopic};
use highwater_proto::clock::Clock;

use crate::cli::args::StoryArgs;
use crate::cli::failure::Failure;
use crate::cli::files;
use crate::cli::output;
use crate::cli::signals::Signals;
use crate::cli::target::{runtime, shut_down};
use crate::embed::EmbeddedClient;
use cast::Cast;
use payments::Payments;
use plan::Plan;
use report::Report;
use shop::{Books, Shop};
use sums::Sums;

/// Runs the command.
pub(super) fn run(args: &StoryArgs) -> Result<(), Failure> {
    let report = match &args.data_dir {
        Some(dir) => tell(args, dir)?,
        None => {
            let folder = files::temporary_folder()?;
            let told = tell(args, folder.path());
            files::remove(folder)?;
            told?
        }
    };
    match args.json {
        true => output::json(&report)?,
        false => output::text(&report.to_text())?,
    }
    match report.verified {
        true => Ok(()),
        false => Err(Failure::Found),
    }
}

fn tell(args: &StoryArgs, dir: &Path) -> Result<Report, Failure> {
    let broker = Broker::builder().data_dir(dir.join("broker")).start()?;
    let client = Client::embedded(&broker);
    let runtime = runtime()?;
    let told = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let plan = Plan {
            seed: args.seed,
            orders: args.orders,
        };
        let told = signals.unless_interrupted(play(&client, dir, plan)).await;
        shut_down(&broker, &mut signals).await?;
        told
    });
    runtime.shutdown_background();
    told
}

/// The story from its beginning to its sums.
async fn play(client: &Client, dir: &Path, plan: Plan) -> Result<Report, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let topic = NewTopic::named(TOPIC).partitions(PARTITIONS);
    let topic = topic.config("retention.ms", RETENTION_MS);
    client.admin().create_topic(&topic).await?;
    let shop = Shop::open(dir, TOPIC).await?;
    let payments = Payments::open(dir, plan, Arc::clone(&clock)).await?;
    let mut cast = Cast::start(client, &clock, plan, &shop, &payments);

    let mut books = Books::default();
    let changes = plan.changes();
    for (at, change) in changes.iter().enumerate() {
        shop.make(*change, &mut books).await?;
        let eighths = |done: usize| done * 8 / changes.len();
        if eighths(at) != eighths(at + 1) {
            cast.crash_at(eighths(at + 1)).await;
        }
    }
    let mut report = Report {
        seed: plan.seed,
        orders: plan.orders,
        changes: books.events.len() as u64,
        rolled_back: books.rolled_back.len() as u64,
        ..Report::default()
    };
    let seen = cast.finish(books.events.len(), &mut report).await?;

    let effects = payments.effects().await?;
    let sums = Sums::of(&books, &shop.orders().await?, &effects, &seen.events);
    let counts = payments.inbox.counts();
    report.records = seen.records;
    report.sent_again = seen.sent_again;
    let others = report.changes + report.sent_again + report.sent_back;
    report.repeated_by_the_relay = seen.records.saturating_sub(others);
    (report.failed_calls, report.slow_calls) = payments.met();
    report.left_out = counts.duplicate_ids + counts.duplicate_offsets;
    report.effects = effects.len() as u64;
    report.differences = sums.differences();
    report.verified = report.differences.is_empty();
    report.seconds = clock.now().mono.since(Default::default()).as_secs_f64();
    Ok(report)
}

/// An order as the key of a record.
fn order_key(order: u32) -> String {
    format!("o-{order}")
}

/// The order that a key names.
fn order_of(key: &[u8]) -> Option<u32> {
    std::str::from_utf8(key)
        .ok()?
        .strip_prefix("o-")?
        .parse()
        .ok()
}

/// A number of a database.
fn number(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

const TOPIC: &str = "order-events";
const LETTERS: &str = "order-events-dlt";
const PARTITIONS: i32 = 12;
/// 7 days.
const RETENTION_MS: &str = "604800000";
/// The header with the version that an order has after the event.
const VERSION: &str = "order-version";
