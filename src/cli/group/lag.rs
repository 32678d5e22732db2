//! Lag in seconds: the age of the oldest record that was not read.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - The record is read, because no request asks for its time; of each partition as little as one
//!   batch.
//! - Whoever does not answer in time has no age.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_broker::clock::SystemClock;
use highwater_client::{Client, ConsumerConfig, OffsetReset, StartAt};
use highwater_proto::clock::Clock;

use crate::cli::failure::Failure;
use crate::cli::spans::Place;

/// The age in seconds of the record at each of these offsets, which are below the ends.
pub(super) async fn ages(
    client: &Client,
    unread: BTreeMap<Place, i64>,
) -> Result<BTreeMap<Place, f64>, Failure> {
    let mut consumer = client.consumer(ConsumerConfig {
        max_partition_fetch_bytes: PARTITION_BYTES,
        fetch_max_bytes: ANSWER_BYTES,
        // A record that retention has just taken away: the one after it is the oldest.
        auto_offset_reset: OffsetReset::Earliest,
        ..ConsumerConfig::default()
    });
    for (place, offset) in &unread {
        let start = StartAt::Offset(*offset);
        consumer
            .assign(&place.topic, place.partition, start)
            .await?;
    }
    let clock = SystemClock::new();
    let deadline = clock.now().mono.plus(PATIENCE);
    let mut ages = BTreeMap::new();
    while !consumer.assignment().is_empty() && clock.now().mono < deadline {
        for record in consumer.poll(POLL_MAX).await? {
            let place = Place {
                topic: record.topic.to_string(),
                partition: record.partition,
            };
            consumer.unassign(&place.topic, place.partition);
            let age_ms = clock.now().wall.0.saturating_sub(record.timestamp).max(0);
            ages.entry(place).or_insert(age_ms as f64 / 1000.0);
        }
    }
    Ok(ages)
}

/// Most batches are not larger; one that is comes all the same.
const PARTITION_BYTES: i32 = 32 * 1024;

const ANSWER_BYTES: i32 = 8 * 1024 * 1024;

/// How long all partitions together may take.
const PATIENCE: Duration = Duration::from_secs(10);

const POLL_MAX: Duration = Duration::from_millis(500);
