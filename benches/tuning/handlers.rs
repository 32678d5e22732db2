//! As many partitions as consumers: what it buys where handling a record means to wait, for a
//! database say, and where it does not.

use std::time::Duration;

use highwater::{ConsumerConfig, ProducerConfig, StartAt};
use highwater_proto::clock::Clock;
use tokio::task::JoinSet;

use super::kit::run::Run;
use super::rig::{Failure, Rig, TOPIC, Topic};
use super::table::{Column, Table, Turn};

/// What a row turns.
struct Knobs {
    partitions: i32,
    consumers: i32,
    /// How long a consumer waits for the records of a poll, each.
    wait: Duration,
}

pub(crate) fn measure(run: &Run) -> Result<Table, Failure> {
    let rig = Rig::new(run, "tuning-handlers")?;
    let mut rows = Vec::new();
    for (partitions, consumers) in [(12, 1), (12, 2), (12, 4), (12, 6), (12, 12), (1, 12)] {
        let what = match (partitions, consumers) {
            (_, 1) => format!("{partitions} partitions, 1 consumer, 50 us a record"),
            (1, _) => format!("1 partition, {consumers} consumers, 50 us a record"),
            _ => format!("{partitions} partitions, {consumers} consumers, 50 us a record"),
        };
        rows.push((
            what,
            Knobs {
                partitions,
                consumers,
                wait: WAIT,
            },
        ));
    }
    for consumers in [1, 12] {
        let many = if consumers == 1 {
            "consumer"
        } else {
            "consumers"
        };
        let what = format!("12 partitions, {consumers} {many}, nothing to wait for");
        rows.push((
            what,
            Knobs {
                partitions: 12,
                consumers,
                wait: Duration::ZERO,
            },
        ));
    }
    let charts = &[Column::PerSecond];
    Table::measure(run, "handlers", charts, rows, |knobs| {
        pass(run, &rig, knobs)
    })
}

fn pass(run: &Run, rig: &Rig, knobs: &Knobs) -> Result<Turn, Failure> {
    let count = match knobs.wait {
        Duration::ZERO => run.scale(400_000, 2_000),
        _ => run.scale(20_000, 200),
    };
    let topic = Topic {
        partitions: knobs.partitions,
        durability: "page-cache",
    };
    rig.with_topic(topic, async || {
        rig.flood(&ProducerConfig::default(), count).await?;
        rig.expect_stored(knobs.partitions, count).await?;
        let before = rig.counts()?;
        let mut consumers = JoinSet::new();
        for consumer in 0..knobs.consumers.min(knobs.partitions) {
            let partitions = (0..knobs.partitions)
                .filter(|partition| partition % knobs.consumers == consumer)
                .collect();
            consumers.spawn(drain(rig.client.clone(), rig.clock, partitions, knobs.wait));
        }
        let read: Result<Vec<usize>, String> = consumers.join_all().await.into_iter().collect();
        let spent = rig.since(before)?;
        let read: usize = read?.iter().sum();
        if read != count {
            return Err(format!("{read} of {count} records were read").into());
        }
        Ok(Turn {
            per_second: Some(count as f64 / spent.seconds),
            cpu: Some(spent.cpu_seconds / count as f64),
            ..Turn::default()
        })
    })
}

/// Reads these partitions to their ends; answers how many records there were.
async fn drain(
    client: highwater::Client,
    clock: highwater_client::clock::SystemClock,
    partitions: Vec<i32>,
    wait: Duration,
) -> Result<usize, String> {
    let told = |error: highwater::ClientError| error.to_string();
    let mut consumer = client.consumer(ConsumerConfig::default());
    let ends = consumer.end_offsets(TOPIC).await.map_err(told)?;
    let mut left = 0;
    for partition in partitions {
        let assigned = consumer.assign(TOPIC, partition, StartAt::Earliest).await;
        assigned.map_err(told)?;
        let end = usize::try_from(partition).ok().and_then(|at| ends.get(at));
        left += end.map_or(0, |end| usize::try_from(*end).unwrap_or(0));
    }
    let count = left;
    while left > 0 {
        let records = consumer.poll(POLL_MAX).await.map_err(told)?;
        if records.is_empty() {
            return Err(format!("{left} records are missing"));
        }
        if !wait.is_zero() {
            let work = wait * u32::try_from(records.len()).unwrap_or(u32::MAX);
            clock.sleep_until(clock.now().mono.plus(work)).await;
        }
        left = left.saturating_sub(records.len());
    }
    Ok(count)
}

/// What a small insert takes.
const WAIT: Duration = Duration::from_micros(50);
/// No record for so long: something is wrong.
const POLL_MAX: Duration = Duration::from_secs(10);
