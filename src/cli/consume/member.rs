//! `highwater consume --group`: reads as a member of a group.
//!
//! Floor 6 of cli.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_client::{
    Client, ClientError, Consumer, ConsumerConfig, ConsumerRecord, OffsetReset, StartAt,
};

use super::{POLL_MAX, print};
use crate::cli::args::ConsumeArgs;
use crate::cli::failure::Failure;
use crate::cli::moment::From;
use crate::cli::output::Output;
use crate::cli::signals::Signals;
use crate::cli::spans::{Place, Span, spans};
use crate::cli::topic::named;

/// Reads until the ends of the partitions, or until interrupted with `--follow`.
pub(super) async fn consume(
    client: &Client,
    args: &ConsumeArgs,
    group: &str,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let auto_offset_reset = match args.from {
        From::Earliest => OffsetReset::Earliest,
        From::Latest => OffsetReset::Latest,
        _ => {
            let sentence = "with --group, --from is earliest or latest; `highwater group reset` \
                            moves a group anywhere";
            return Err(Failure::Usage(sentence.to_owned()));
        }
    };
    let ends = signals
        .unless_interrupted(ends(client, &args.topic))
        .await?;
    let mut consumer = client.consumer(ConsumerConfig {
        group_id: Some(group.to_owned()),
        auto_offset_reset,
        ..ConsumerConfig::default()
    });
    consumer.subscribe([args.topic.as_str()])?;
    let mut unprinted = Vec::new();
    let read = read(&mut consumer, args, (&ends, signals), &mut unprinted).await;
    let left = leave(consumer, &unprinted).await;
    match read {
        // There is no other end.
        Err(Failure::Interrupted) if args.follow => left,
        // The reason for the end says more than what came after it.
        Err(failure) => Err(failure),
        Ok(()) => left,
    }
}

/// Where the partitions of the topic end now.
async fn ends(client: &Client, topic: &str) -> Result<BTreeMap<i32, i64>, Failure> {
    let admin = client.admin();
    let described = admin.describe_topic(topic).await;
    let count = described.map_err(|error| named(topic, error))?.partitions;
    let places: Vec<Place> = Place::all(topic, count).collect();
    let spans = spans(&admin, &places).await?;
    let end = |(place, span): (Place, Span)| (place.partition, span.end);
    Ok(spans.into_iter().map(end).collect())
}

/// Prints what the group has not read; what was handed out and not printed is left in `unprinted`.
async fn read(
    consumer: &mut Consumer,
    args: &ConsumeArgs,
    (ends, signals): (&BTreeMap<i32, i64>, &mut Signals),
    unprinted: &mut Vec<ConsumerRecord>,
) -> Result<(), Failure> {
    let mut out = Output::new();
    let mut left = args.max.unwrap_or(u64::MAX);
    loop {
        if left == 0 || (!args.follow && is_at_ends(consumer, ends)) {
            return Ok(());
        }
        let poll = async { consumer.poll(POLL_MAX).await.map_err(refused) };
        *unprinted = signals.unless_interrupted(poll).await?;
        let mut count = 0;
        for record in unprinted.iter() {
            if left == 0 {
                break;
            }
            print(&mut out, record, args.json)?;
            (left, count) = (left - 1, count + 1);
        }
        out.flush()?;
        unprinted.drain(..count);
    }
}

/// Whether everything is read that was there at the start, of what this member reads.
fn is_at_ends(consumer: &Consumer, ends: &BTreeMap<i32, i64>) -> bool {
    let is_at_end = |topic: &str, partition: i32| {
        let end = ends.get(&partition).copied().unwrap_or_default();
        let position = consumer.position(topic, partition);
        position.is_some_and(|position| position >= end)
    };
    let mut assignment = consumer.assignment().into_iter();
    consumer.group_metadata().is_some()
        && assignment.all(|(topic, partition)| is_at_end(&topic, partition))
}

/// Goes back to before what was not printed, commits and leaves.
async fn leave(mut consumer: Consumer, unprinted: &[ConsumerRecord]) -> Result<(), Failure> {
    // From the last one to the first one, so that the first one of each partition counts.
    for record in unprinted.iter().rev() {
        let back = StartAt::Offset(record.offset);
        match consumer.seek(&record.topic, record.partition, back).await {
            // A partition that was taken away meanwhile is read by another member.
            Ok(()) | Err(ClientError::Invalid(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(consumer.close(CLOSE_MAX).await.result()?)
}

fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Broker { message, .. } => Failure::Failed(message),
        other => other.into(),
    }
}

/// As long as Kafka's consumer closes.
const CLOSE_MAX: Duration = Duration::from_secs(30);
