//! Metadata out of what is left of it, and out of the logs themselves.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - No id is given twice: the next producer id is above every one that a log has seen.
//! - No leader epoch is used twice: the last one is that of the log that has seen the most.
//! - All is one batch behind what is left, so that it is there whole or not at all; salvaged again,
//!   it is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_log::config::{CorruptRead, LogConfig};
use highwater_log::error::LogError;
use highwater_log::reader::{LogReader, Minimum, UpTo};
use highwater_log::shard::{AckAt, Shard};
use highwater_log::types::{LeaderEpoch, LogId};
use highwater_proto::batch::Batches;
use highwater_proto::clock::Now;
use highwater_proto::group_log::GroupRecord;
use highwater_proto::record::RecordIter;

use crate::config::BrokerConfig;
use crate::coordinator::{batch_of, replay};
use crate::error::BrokerError;
use crate::ids::{Ids, TopicId};
use crate::machine::Machine as _;
use crate::meta::{MetaMachine, MetaRecord, OFFSETS_TOPIC};
use crate::service::start::{META_LOG, meta_log_config};

/// A topic that the metadata did not know any more, or not all of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvagedTopic {
    /// Its id, which names its directory.
    pub id: TopicId,
    /// Its name from now on.
    pub name: String,
    /// How many partitions it has from now on.
    pub partitions: i32,
}

/// Writes the metadata anew: what can be read of it, and every topic that has files.
pub(super) fn salvage(shard: &Shard, now: Now) -> Result<Vec<SalvagedTopic>, BrokerError> {
    let config = LogConfig {
        corrupt_read: CorruptRead::Skip,
        ..meta_log_config()
    };
    let log = shard.add_log(META_LOG, config, LeaderEpoch(0), now)?;
    shard.mark_vital(META_LOG);
    let machine = MetaMachine::new(Arc::new(BrokerConfig::default()));
    let replayed = replay(machine, &log).map_err(|error| BrokerError::Meta {
        offset: error.offset,
        why: error.why,
    })?;
    let mut machine = replayed.machine;
    let mut traces = Traces::default();
    for id in shard.log_ids() {
        if let Some(reader) = shard.reader(id).filter(|_| id != META_LOG) {
            traces.read(id, &reader)?;
        }
    }
    let (records, topics) = missing(&machine, &traces, now)?;
    records.iter().for_each(|record| machine.apply(record));
    let state = machine.snapshot();
    let encoded = state.iter().map(|record| (None, Some(record.encode())));
    let batch = batch_of(now.wall, encoded)?;
    shard.append_wait(META_LOG, batch, AckAt::Durable, now)?;
    Ok(topics)
}

/// What the logs themselves say about what is lost.
#[derive(Debug, Default)]
struct Traces {
    /// By topic: how many partitions there are at least, and whether they hold records of groups.
    topics: BTreeMap<TopicId, (i32, bool)>,
    /// The largest of all batches.
    producer_id: i64,
    leader_epoch: LeaderEpoch,
}

impl Traces {
    fn read(&mut self, id: LogId, reader: &LogReader) -> Result<(), LogError> {
        self.leader_epoch = self.leader_epoch.max(reader.current_epoch());
        let mut next = reader.start();
        let mut holds_groups = next < reader.end();
        while next < reader.end() {
            let slice = reader.read(next, READ_BYTES, UpTo::End, Minimum::OneBatch)?;
            for part in &slice.parts {
                for batch in Batches::new(part) {
                    let batch = batch?;
                    self.producer_id = self.producer_id.max(batch.header.producer_id);
                    holds_groups = holds_groups && is_of_groups(part.slice_ref(batch.bytes));
                }
            }
            if slice.next_offset <= next {
                break;
            }
            next = slice.next_offset;
        }
        let count = i32::try_from(id.partition)
            .unwrap_or(i32::MAX)
            .saturating_add(1);
        let (partitions, of_groups) = self
            .topics
            .entry(TopicId(id.topic))
            .or_insert((0, holds_groups));
        *partitions = count.max(*partitions);
        *of_groups |= holds_groups;
        Ok(())
    }
}

fn is_of_groups(batch: bytes::Bytes) -> bool {
    let Ok(mut records) = RecordIter::new(batch, READ_BYTES) else {
        return false;
    };
    records.all(|record| {
        record.is_ok_and(|record| {
            let key = record.key.unwrap_or_default();
            GroupRecord::decode(&key, record.value.as_deref()).is_ok()
        })
    })
}

/// The records that are missing for what the logs say, and the topics that they concern.
fn missing(
    machine: &MetaMachine,
    traces: &Traces,
    now: Now,
) -> Result<(Vec<MetaRecord>, Vec<SalvagedTopic>), BrokerError> {
    let state = machine.state();
    let (mut records, mut topics) = (Vec::new(), Vec::new());
    if state.cluster_id().is_none() {
        let id = Ids::System.cluster().map_err(|error| BrokerError::System {
            op: "draw an id for the cluster",
            source: std::io::Error::other(error),
        })?;
        records.push(MetaRecord::ClusterCreated {
            cluster_id: id.0,
            node_id: BrokerConfig::default().node_id,
        });
    }
    records.push(MetaRecord::UncleanStart {
        number: traces.leader_epoch.0.unsigned_abs(),
    });
    records.push(MetaRecord::ProducerIdsReserved {
        next_id: traces.producer_id.max(0).saturating_add(IDS_SKIPPED),
    });
    let known = state.topics().chain(state.deleting());
    let known: BTreeMap<TopicId, _> = known.map(|topic| (topic.id, topic)).collect();
    let mut has_offsets = state.named(OFFSETS_TOPIC).is_some();
    for (id, (partitions, of_groups)) in &traces.topics {
        let (id, partitions) = (*id, *partitions);
        let name = match known.get(&id) {
            Some(topic) if topic.partition_count >= partitions => continue,
            Some(topic) => {
                records.push(MetaRecord::TopicPartitionsAdded {
                    id: id.0,
                    partitions_total: partitions,
                });
                topic.name.clone()
            }
            None => {
                let is_offsets = *of_groups && !has_offsets;
                has_offsets |= is_offsets;
                let name = match is_offsets {
                    true => OFFSETS_TOPIC.to_owned(),
                    false => format!("recovered-{:032x}", u128::from_be_bytes(id.0)),
                };
                records.push(MetaRecord::TopicCreated {
                    id: id.0,
                    name: name.clone(),
                    partitions,
                    configs: BTreeMap::new(),
                    created_ms: now.wall.0,
                });
                name
            }
        };
        topics.push(SalvagedTopic {
            id,
            name,
            partitions,
        });
    }
    Ok((records, topics))
}

/// How much of a log is read at once.
const READ_BYTES: usize = 1 << 20;
/// A producer may have an id that it has not written with yet; ids are handed out by thousands.
const IDS_SKIPPED: i64 = 1 << 20;
