//! What a reader gets from a directory: every record of every partition, one error after another.
//!
//! Invariants
//! - A value that is not the one that was written is a broken promise, whatever was damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use highwater::{Broker, Client, EmbeddedClient as _};
use highwater_broker::error::FetchError;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::Service;
use highwater_broker::service::fetch::{FetchCall, FetchPartition, Fetched, Isolation};
use highwater_log::types::Offset;
use highwater_proto::batch::Batches;
use highwater_proto::record::RecordIter;

use super::template::{GROUP, Place, Template, start};

/// What a look has found.
#[derive(Debug)]
pub(super) enum Seen {
    /// The broker does not start, and says this.
    Refused(String),
    Read(Read),
}

/// What can be read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The offsets that gave the value that was written.
    pub(super) right: BTreeMap<Place, BTreeSet<i64>>,
    /// Those that answer an error.
    pub(super) errors: BTreeMap<Place, BTreeSet<i64>>,
    /// What the group has committed.
    pub(super) committed: BTreeMap<(String, i32), i64>,
}

/// Starts a broker on the directory, reads everything, and stops it.
pub(super) fn look(dir: &Path, template: &Template) -> Result<Seen, String> {
    let broker = match start(dir) {
        Ok(broker) => broker,
        Err(sentence) => return Ok(Seen::Refused(sentence)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let read = runtime.block_on(read_all(&broker, template))?;
    let stopped = runtime.block_on(broker.shutdown());
    stopped.map_err(|error| format!("the stop failed: {error}"))?;
    Ok(Seen::Read(read))
}

async fn read_all(broker: &Broker, template: &Template) -> Result<Read, String> {
    let mut read = Read::default();
    for (place, written) in &template.records {
        read_partition(broker.service(), *place, written, &mut read).await?;
    }
    let client = Client::embedded(broker);
    let committed = client.admin().group_offsets(GROUP, None).await;
    for offset in committed.map_err(|error| format!("committed offsets: {error}"))? {
        let place = (offset.topic, offset.partition);
        read.committed.insert(place, offset.offset);
    }
    Ok(read)
}

async fn read_partition(
    service: &Service,
    place: Place,
    written: &BTreeMap<i64, String>,
    read: &mut Read,
) -> Result<(), String> {
    let end = written.keys().next_back().map_or(0, |last| last + 1);
    let (right, errors) = (
        read.right.entry(place).or_default(),
        read.errors.entry(place).or_default(),
    );
    let mut next = 0;
    while next < end {
        match fetch(service, place, next).await {
            Ok(fetched) => {
                let records = records_of(&fetched)?;
                let Some((last, _)) = records.last() else {
                    // Nothing more up to the end: a hole, or a tail that was cut off.
                    break;
                };
                let last = *last;
                for (offset, value) in records.into_iter().filter(|(at, _)| *at >= next) {
                    if written.get(&offset) != Some(&value) {
                        return Err(format!("offset {offset} of {place:?} gave {value:?}"));
                    }
                    right.insert(offset);
                }
                next = last + 1;
            }
            Err(FetchError::Corrupt { .. }) => {
                errors.insert(next);
                next += 1;
            }
            Err(FetchError::OffsetOutOfRange { start, .. }) if next < start.0 => next = start.0,
            Err(FetchError::OffsetOutOfRange { .. } | FetchError::UnknownTopicId) => break,
            Err(error) => return Err(format!("offset {next} of {place:?}: {error}")),
        }
    }
    Ok(())
}

async fn fetch(service: &Service, place: Place, offset: i64) -> Result<Fetched, FetchError> {
    let call = FetchCall {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation: Isolation::ReadUncommitted,
        partitions: vec![FetchPartition {
            topic: TopicRef::Id(place.0),
            partition: place.1,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            fetch_offset: Offset(offset),
            max_bytes: 1 << 20,
        }],
    };
    service.fetch(call).await.remove(0).result
}

fn records_of(fetched: &Fetched) -> Result<Vec<(i64, String)>, String> {
    let bytes = fetched.records.concat();
    let mut records = Vec::new();
    for batch in Batches::new(&bytes) {
        let batch = batch.map_err(|error| format!("a batch was served that is none: {error}"))?;
        let batch = Bytes::copy_from_slice(batch.bytes);
        let each = RecordIter::new(batch, 1 << 20).map_err(|error| error.to_string())?;
        for record in each {
            let record = record.map_err(|error| error.to_string())?;
            let value = record.value.unwrap_or_default();
            records.push((record.offset, String::from_utf8_lossy(&value).into_owned()));
        }
    }
    Ok(records)
}
