//! `highwater consume`: prints records.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Without `--follow` it ends at the ends of the partitions as they were at its start.
//! - What was polled is handed over before more is awaited.
//! - A member of a group commits what it has printed, no more, and leaves however it ends.

mod member;

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, OffsetReset, OffsetSpec, StartAt,
};

use crate::cli::args::ConsumeArgs;
use crate::cli::failure::Failure;
use crate::cli::moment::From;
use crate::cli::output::Output;
use crate::cli::printed::Printed;
use crate::cli::target::Missing;
use crate::cli::topic::named;

/// Runs the command.
pub(crate) fn run(args: ConsumeArgs) -> Result<(), Failure> {
    args.target
        .clone()
        .run(Missing::Refuse, async |client: Client, signals| {
            if let Some(group) = &args.group {
                return member::consume(&client, &args, group, signals).await;
            }
            let consumed = signals.unless_interrupted(consume(&client, &args)).await;
            match consumed {
                // There is no other end.
                Err(Failure::Interrupted) if args.follow => Ok(()),
                other => other,
            }
        })
}

async fn consume(client: &Client, args: &ConsumeArgs) -> Result<(), Failure> {
    let (mut consumer, ends) = start(client, args).await?;
    let mut out = Output::new();
    let mut left = args.max.unwrap_or(u64::MAX);
    loop {
        if !args.follow {
            finish_partitions(&mut consumer, &args.topic, &ends);
        }
        if left == 0 || consumer.assignment().is_empty() {
            return Ok(());
        }
        for record in consumer.poll(POLL_MAX).await? {
            let is_late = record.offset >= ends.get(&record.partition).copied().unwrap_or(i64::MAX);
            if left == 0 || (is_late && !args.follow) {
                continue;
            }
            left -= 1;
            print(&mut out, &record, args.json)?;
        }
        out.flush()?;
    }
}

/// A consumer at the asked places, and the ends of its partitions.
async fn start(
    client: &Client,
    args: &ConsumeArgs,
) -> Result<(Consumer, BTreeMap<i32, i64>), Failure> {
    let admin = client.admin();
    let topic = &args.topic;
    let described = admin
        .describe_topic(topic)
        .await
        .map_err(|error| named(topic, error))?;
    let partitions = match args.partition.as_slice() {
        [] => (0..described.partitions).collect(),
        asked => asked.to_vec(),
    };
    if let Some(none) = partitions
        .iter()
        .find(|one| !(0..described.partitions).contains(one))
    {
        let (last, none) = (described.partitions - 1, *none);
        return Err(Failure::Failed(format!(
            "topic {topic} has the partitions 0 to {last}, but no partition {none}"
        )));
    }
    let mut consumer = client.consumer(ConsumerConfig {
        // Records that age away while they are being read are gone; what is left is read.
        auto_offset_reset: OffsetReset::Earliest,
        ..ConsumerConfig::default()
    });
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let first = admin
            .offset(topic, partition, OffsetSpec::Earliest)
            .await?
            .unwrap_or_default();
        let end = admin
            .offset(topic, partition, OffsetSpec::Latest)
            .await?
            .unwrap_or_default();
        let at = match args.from {
            From::Earliest => StartAt::Offset(first),
            From::Latest => StartAt::Offset(end),
            From::Offset(offset) => StartAt::Offset(offset.clamp(first, end)),
            From::Last(count) => StartAt::Offset(end.saturating_sub(count).max(first)),
            From::Timestamp(ms) => StartAt::Timestamp(ms),
        };
        consumer.assign(topic, partition, at).await?;
        ends.insert(partition, end);
    }
    Ok((consumer, ends))
}

/// Lets go of the partitions that are read to their ends.
fn finish_partitions(consumer: &mut Consumer, topic: &str, ends: &BTreeMap<i32, i64>) {
    for (partition, end) in ends {
        if consumer
            .position(topic, *partition)
            .is_some_and(|position| position >= *end)
        {
            consumer.unassign(topic, *partition);
        }
    }
}

fn print(out: &mut Output, record: &ConsumerRecord, json: bool) -> Result<(), Failure> {
    if json {
        return out.json(&Printed::of(record));
    }
    out.bytes(record.value.as_deref().unwrap_or_default())?;
    out.bytes(b"\n")
}

/// How long one poll waits; only the loop around it notices.
const POLL_MAX: Duration = Duration::from_secs(1);
