//! Offsets by time, by end and by leader epoch, and the deletion of records below one.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A lookup by time has the granularity of a record, and never names one that cannot be read.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_log::error::LogError;
use highwater_log::reader::TimeHit;
use highwater_log::types::Offset;

use crate::error::{DeleteRecordsError, OffsetsError};
use crate::meta::{Topic, is_reserved};
use crate::partition::Partition;
use crate::service::Service;
use crate::service::fetch::{EpochEnd, Isolation};

/// One lookup of an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the caller knows; -1 for none.
    pub current_leader_epoch: i32,
    /// What is looked for.
    pub at: OffsetAt,
}

/// What an offset is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The end of what can be read.
    Latest,
    /// The first offset of the log.
    Earliest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first offset on local disks: the log's start, since nothing is tiered.
    EarliestLocal,
    /// The last offset on tiered storage: none here.
    LatestTiered,
    /// The first record whose timestamp is not below this one, in milliseconds.
    Time(i64),
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; -1 for none.
    pub offset: Offset,
    /// The record's timestamp in milliseconds; -1 for an end of the log, and for none.
    pub timestamp_ms: i64,
    /// The leader epoch there; -1 for none.
    pub leader_epoch: i32,
}

impl ListedOffset {
    /// No such offset.
    pub const NONE: Self = Self {
        offset: Offset(-1),
        timestamp_ms: -1,
        leader_epoch: -1,
    };
}

/// What was found for one lookup; in the order of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPartition {
    /// The topic's name, as in the call.
    pub topic: String,
    /// The partition, as in the call.
    pub partition: i32,
    /// The offset, or why not.
    pub result: Result<ListedOffset, OffsetsError>,
}

/// One question for the end of a leader epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the caller knows; -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    pub leader_epoch: i32,
}

/// Where an epoch ends; in the order of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochEndPartition {
    /// The topic's name, as in the call.
    pub topic: String,
    /// The partition, as in the call.
    pub partition: i32,
    /// The end, or why not.
    pub result: Result<EpochEnd, OffsetsError>,
}

/// One deletion of the records below an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRecordsPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The new first offset; -1 for the high watermark.
    pub before: Offset,
}

/// What became of one deletion; in the order of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRecords {
    /// The topic's name, as in the call.
    pub topic: String,
    /// The partition, as in the call.
    pub partition: i32,
    /// The log's first offset now, or why nothing was deleted.
    pub result: Result<Offset, DeleteRecordsError>,
}

impl Service {
    /// Looks offsets up. A partition that is named twice is not looked up at all.
    pub async fn list_offsets(
        &self,
        isolation: Isolation,
        partitions: Vec<ListOffsetsPartition>,
    ) -> Vec<ListedPartition> {
        let mut counts: HashMap<(&str, i32), usize> = HashMap::new();
        for asked in &partitions {
            *counts.entry((&asked.topic, asked.partition)).or_default() += 1;
        }
        let is_twice = |asked: &ListOffsetsPartition| {
            let count = counts.get(&(asked.topic.as_str(), asked.partition));
            count.is_some_and(|count| *count > 1)
        };
        let twice: Vec<bool> = partitions.iter().map(is_twice).collect();
        let mut listed = Vec::with_capacity(partitions.len());
        for (asked, is_twice) in partitions.into_iter().zip(twice) {
            let result = if is_twice {
                Err(OffsetsError::NamedTwice)
            } else {
                self.list_offset(isolation, &asked).await
            };
            let ListOffsetsPartition {
                topic, partition, ..
            } = asked;
            listed.push(ListedPartition {
                topic,
                partition,
                result,
            });
        }
        listed
    }

    async fn list_offset(
        &self,
        isolation: Isolation,
        asked: &ListOffsetsPartition,
    ) -> Result<ListedOffset, OffsetsError> {
        let partition =
            self.offsets_target(&asked.topic, asked.partition, asked.current_leader_epoch)?;
        let end = match isolation {
            Isolation::ReadUncommitted => partition.high_watermark(),
            Isolation::ReadCommitted => partition.last_stable(),
        };
        let at = |offset, leader_epoch| ListedOffset {
            offset,
            timestamp_ms: -1,
            leader_epoch,
        };
        match asked.at {
            OffsetAt::Latest => Ok(at(end, partition.epoch().0)),
            OffsetAt::Earliest | OffsetAt::EarliestLocal => {
                let start = partition.start();
                Ok(at(start, partition.epoch_at(start)))
            }
            OffsetAt::LatestTiered => Ok(ListedOffset::NONE),
            OffsetAt::MaxTimestamp => {
                self.search(partition, end, |partition| partition.max_timestamp())
                    .await
            }
            OffsetAt::Time(timestamp_ms) => {
                self.search(partition, end, move |partition| {
                    partition.find_time(timestamp_ms)
                })
                .await
            }
        }
    }

    /// Searches the log on a blocking thread: a batch may have to be read and decompressed.
    async fn search(
        &self,
        partition: Partition,
        end: Offset,
        search: impl FnOnce(&Partition) -> Result<Option<TimeHit>, LogError> + Send + 'static,
    ) -> Result<ListedOffset, OffsetsError> {
        let found = self
            .inner
            .workers
            .spawn_blocking(move || search(&partition))
            .await;
        // The task fails only when the runtime is being shut down.
        let found = found
            .unwrap_or(Err(LogError::Closed))?
            .filter(|hit| hit.offset < end);
        Ok(found.map_or(ListedOffset::NONE, |hit| ListedOffset {
            offset: hit.offset,
            timestamp_ms: hit.timestamp,
            leader_epoch: hit.epoch.0,
        }))
    }

    /// Where leader epochs end.
    #[must_use]
    pub fn offset_for_leader_epoch(
        &self,
        partitions: Vec<EpochPartition>,
    ) -> Vec<EpochEndPartition> {
        let answer = |asked: EpochPartition| {
            let EpochPartition {
                topic,
                partition,
                current_leader_epoch,
                leader_epoch,
            } = asked;
            let target = self.offsets_target(&topic, partition, current_leader_epoch);
            let result = target.map(|partition| {
                let (epoch, end_offset) = partition.epoch_end(leader_epoch);
                EpochEnd { epoch, end_offset }
            });
            EpochEndPartition {
                topic,
                partition,
                result,
            }
        };
        partitions.into_iter().map(answer).collect()
    }

    fn offsets_target(
        &self,
        topic: &str,
        partition: i32,
        current_leader_epoch: i32,
    ) -> Result<Partition, OffsetsError> {
        let topic = self
            .named(topic)
            .ok_or(OffsetsError::UnknownTopicOrPartition)?;
        let partition = self
            .partition(&topic, partition)
            .ok_or(OffsetsError::UnknownTopicOrPartition)?;
        partition.check_epoch(current_leader_epoch)?;
        Ok(partition)
    }

    /// Deletes the records below an offset of each partition, durably.
    pub async fn delete_records(
        &self,
        partitions: Vec<DeleteRecordsPartition>,
    ) -> Vec<DeletedRecords> {
        let mut deleted = Vec::with_capacity(partitions.len());
        for asked in partitions {
            let result = self.delete_below(&asked).await;
            let DeleteRecordsPartition {
                topic, partition, ..
            } = asked;
            deleted.push(DeletedRecords {
                topic,
                partition,
                result,
            });
        }
        deleted
    }

    async fn delete_below(
        &self,
        asked: &DeleteRecordsPartition,
    ) -> Result<Offset, DeleteRecordsError> {
        if is_reserved(&asked.topic) {
            return Err(DeleteRecordsError::InternalTopic);
        }
        let unknown = DeleteRecordsError::UnknownTopicOrPartition;
        let topic: Arc<Topic> = self.named(&asked.topic).ok_or_else(|| unknown.clone())?;
        if topic.settings.compacted && !topic.settings.log.delete {
            return Err(DeleteRecordsError::CompactedTopic);
        }
        if topic.settings.keeps_history {
            return Err(DeleteRecordsError::KeepsHistory);
        }
        let partition = self.partition(&topic, asked.partition).ok_or(unknown)?;
        let high_watermark = partition.high_watermark();
        let before = if asked.before == HIGH_WATERMARK {
            high_watermark
        } else {
            asked.before
        };
        if before < Offset::ZERO || before > high_watermark {
            return Err(DeleteRecordsError::OffsetOutOfRange {
                asked: before,
                high_watermark,
            });
        }
        if before <= partition.start() {
            return Ok(partition.start());
        }
        let deleted = self.inner.shard.delete_records(partition.id(), before);
        deleted.await.map_err(|error| DeleteRecordsError::Storage {
            why: error.to_string(),
        })
    }
}

/// Asks to delete everything that can be read.
const HIGH_WATERMARK: Offset = Offset(-1);
