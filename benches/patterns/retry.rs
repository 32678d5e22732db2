//! What a key that waits for its next attempt costs the others: their rate with it and without it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::{Attempt, Backoff, HandlerError, Record, handler_fn};

use super::kit::run::{Run, Target, Unit};
use super::rig::Rig;
use super::seen::Seen;

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let rig = Rig::new(run, "retry")?;
    let count = run.scale(360_000, 300);
    rig.runtime.block_on(async {
        rig.topic(TOPIC, PARTITIONS).await?;
        rig.send((0..count).map(record)).await
    })?;
    let groups = AtomicUsize::new(0);
    let pass = |waits: bool| {
        let group = groups.fetch_add(1, Ordering::Relaxed);
        rig.runtime.block_on(handle(&rig, group, count, waits))
    };
    let turns = run.turns(|| pass(true), || pass(false))?;
    run.share(
        "records of healthy keys, one key in back-off",
        Unit::PerSecond,
        turns,
        "without it",
        Target::AtLeast(0.97),
    );
    Ok(())
}

/// Every thousandth record is of one key; its partition has it first.
fn record(number: usize) -> Record {
    let key = match number.is_multiple_of(1_000) {
        true => WAITS.to_owned(),
        false => format!("healthy-{}", number % 997),
    };
    Record::to(TOPIC).key(key).value(number.to_string())
}

/// Handles all; gives the records of healthy keys a second.
async fn handle(rig: &Rig, group: usize, count: usize, waits: bool) -> Result<f64, Failure> {
    let healthy = count - count.div_ceil(1_000);
    let seen = Arc::new(Seen::new(&rig.clock, healthy));
    let noted = Arc::clone(&seen);
    let handler = handler_fn(move |attempt: Attempt| {
        let is_healthy = attempt.record.key.as_deref() != Some(WAITS.as_bytes());
        if is_healthy {
            noted.note();
        }
        std::future::ready(match is_healthy || !waits {
            true => Ok(()),
            false => Err(HandlerError::retry("not yet")),
        })
    });
    let retry = Backoff::fixed(Duration::from_millis(20)).max_attempts(u32::MAX);
    let handling = rig.client.handler(format!("g{group}")).topics([TOPIC]);
    let handling = handling.retry(retry).concurrency(16).drain(Duration::ZERO);
    let summary = handling.run(handler, seen.all()).await;
    if let Some(error) = summary.error {
        return Err(error.into());
    }
    if waits && summary.failures == 0 {
        return Err("the key did not wait".into());
    }
    Ok(healthy as f64 / seen.seconds())
}

const TOPIC: &str = "orders";
/// So many that no partition is held back because of the distance to its waiting record.
const PARTITIONS: i32 = 48;
const WAITS: &str = "waits";
