//! A partition read from its start to its end, and the rules that its records obey by themselves.

use std::collections::{BTreeMap, BTreeSet};

use highwater_broker::error::FetchError;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::fetch::{FetchCall, FetchPartition, Isolation};
use highwater_log::types::Offset;

use super::book::Oracle;
use super::clients::records;
use super::life::Life;
use super::model::Found;

/// All that a partition holds.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) records: Vec<Found>,
}

/// Reads it all; `None` with a broken promise noted if that is impossible.
pub(super) async fn scan(life: &Life, topic: &str, partition: i32) -> Option<Scanned> {
    let mut records: Vec<Found> = Vec::new();
    let mut next = 0;
    loop {
        let fetched = match fetch(life, topic, partition, next).await {
            Ok(fetched) => fetched,
            Err(FetchError::OffsetOutOfRange { start, .. }) if start.0 > next => {
                next = start.0;
                continue;
            }
            Err(FetchError::Storage { .. }) if life.disk.is_dead() || life.disk.fired() > 0 => {
                return None;
            }
            Err(error) => {
                life.broken(
                    Oracle::O1,
                    format!("{topic}/{partition} at {next}: {error}"),
                );
                return None;
            }
        };
        let (start, end) = (fetched.log_start_offset.0, fetched.high_watermark.0);
        let read = match records::read(&fetched.records, next) {
            Ok(read) => read,
            Err(text) => {
                life.broken(Oracle::O2, format!("{topic}/{partition}: {text}"));
                return None;
            }
        };
        let Some(last) = read.last() else {
            if next != end {
                let text = format!("{topic}/{partition}: nothing at {next}, the end is {end}");
                life.broken(Oracle::O1, text);
            }
            let scanned = Scanned {
                start,
                end,
                records,
            };
            return check_order(life, topic, partition, &scanned).then_some(scanned);
        };
        next = last.offset + 1;
        records.extend(read);
    }
}

async fn fetch(
    life: &Life,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<highwater_broker::service::fetch::Fetched, FetchError> {
    let call = FetchCall {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 24,
        isolation: Isolation::ReadCommitted,
        partitions: vec![FetchPartition {
            topic: TopicRef::from(topic),
            partition,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            fetch_offset: Offset(offset),
            max_bytes: 1 << 24,
        }],
    };
    life.service.fetch(call).await.remove(0).result
}

/// Offsets without gaps, no value twice, values of a client in their order, sequences without gaps,
/// epochs that do not go back.
fn check_order(life: &Life, topic: &str, partition: i32, scanned: &Scanned) -> bool {
    let mut epoch = -1;
    let mut values = BTreeSet::new();
    let mut newest: BTreeMap<u32, u32> = BTreeMap::new();
    let mut sequences: BTreeMap<(i64, i16), i32> = BTreeMap::new();
    for (next, found) in (scanned.start..).zip(&scanned.records) {
        let what = format!("{topic}/{partition}: {found:?}");
        if found.offset != next {
            life.broken(Oracle::O1, format!("{what} follows offset {}", next - 1));
            return false;
        }
        if found.epoch < epoch {
            life.broken(Oracle::O8, format!("{what} stands behind epoch {epoch}"));
            return false;
        }
        epoch = found.epoch;
        if !values.insert(found.value) {
            life.broken(Oracle::O5, format!("{what} is there twice"));
            return false;
        }
        let before = newest.insert(found.value.client, found.value.number);
        if before.is_some_and(|before| before >= found.value.number) {
            life.broken(
                Oracle::O4,
                format!("{what} stands behind number {before:?}"),
            );
            return false;
        }
        if let Some((id, its_epoch, sequence)) = found.producer {
            let before = sequences.insert((id, its_epoch), sequence);
            if before.is_some_and(|before| before + 1 != sequence) {
                life.broken(Oracle::O5, format!("{what} follows sequence {before:?}"));
                return false;
            }
        }
    }
    true
}
