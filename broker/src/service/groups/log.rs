//! Where the records of a group stand: the topic `__consumer_offsets`, its partitions, their logs.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - The topic is made when the first record of a group is to be written; the files of a partition
//!   at its first record.
//! - A group's partition follows from its id and the topic's partition count, as in Kafka.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use highwater_log::config::LogConfig;
use highwater_log::types::{LeaderEpoch, LogId};

use crate::error::TopicError;
use crate::ids::TopicRef;
use crate::meta::{MetaMachine, OFFSETS_TOPIC, Topic};
use crate::service::groups::recover::UnknownRecords;
use crate::service::groups::rewrite::Rewriting;
use crate::service::{MetaKey, Service};

/// The logs of groups.
#[derive(Debug)]
pub(super) struct GroupLogs {
    rewriting: Mutex<BTreeMap<i32, Arc<Rewriting>>>,
    /// They are written again with the rest, for a version that knows them.
    pub(super) unknown: UnknownRecords,
}

/// The log of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub(super) struct GroupLog {
    pub(super) id: LogId,
    pub(super) partition: i32,
    pub(super) segment_bytes: u64,
}

impl GroupLogs {
    pub(super) fn new(unknown: UnknownRecords) -> Self {
        Self {
            rewriting: Mutex::default(),
            unknown,
        }
    }

    pub(super) fn rewriting(&self, partition: i32) -> Arc<Rewriting> {
        let mut all = self
            .rewriting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(partition).or_default())
    }
}

impl Service {
    /// The log that a group's records go to, open.
    pub(super) async fn group_log(&self, group: &str) -> Result<GroupLog, String> {
        let topic = match self.named(OFFSETS_TOPIC) {
            Some(topic) => topic,
            None => self
                .create_offsets_topic()
                .await
                .map_err(|error| error.to_string())?,
        };
        let partition = partition_of(group, topic.partition_count);
        let id = topic.log(partition).ok_or("the partition is not there")?;
        if self.inner.shard.reader(id).is_none() {
            self.open_group_log(&topic, id).await?;
        }
        Ok(GroupLog {
            id,
            partition,
            segment_bytes: topic.settings.log.segment_bytes,
        })
    }

    /// Makes `__consumer_offsets`, if it is not there.
    pub(in crate::service) async fn create_offsets_topic(&self) -> Result<Arc<Topic>, TopicError> {
        let storage = |why: String| TopicError::Storage { why };
        let id = self
            .inner
            .ids
            .topic()
            .map_err(|error| storage(error.to_string()))?;
        let now = self.clock().now().wall;
        let decide = move |meta: &MetaMachine| meta.create_offsets_topic(now, id);
        let written = self.inner.meta.write(MetaKey::Topics, decide).await;
        written.map_err(|error| storage(error.to_string()))??;
        self.named(OFFSETS_TOPIC).ok_or(TopicError::Unknown)
    }

    async fn open_group_log(&self, topic: &Topic, id: LogId) -> Result<(), String> {
        let service = self.clone();
        let topic = TopicRef::Id(topic.id);
        let plan = move || -> Option<(LogConfig, LeaderEpoch)> {
            service.inner.meta.read(|meta| {
                let config = meta.state().topic(&topic)?.settings.log.clone();
                Some((config, meta.state().leader_epoch()))
            })
        };
        let opened = self.inner.shard.open_log(id, plan).await;
        opened.map_err(|error| error.to_string())?;
        // A full disk must not keep groups from noting how far they got, and so from reading on.
        self.inner.shard.mark_vital(id);
        Ok(())
    }
}

/// The partition of a group: Java's hash of the id without its sign, modulo the count.
pub(super) fn partition_of(group: &str, partition_count: i32) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    (hash & i32::MAX) % partition_count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_partition_is_kafkas() {
        let groups = [("test-group", 12), ("orders", 17), ("highwater", 49)];
        for (group, partition) in groups {
            assert_eq!(partition_of(group, 50), partition, "{group}");
            assert_eq!(partition_of(group, 1), 0);
        }
        // Two units in Java, though one character.
        assert_eq!(partition_of("\u{1f600}", 1000), 1_772_899 % 1000);
        assert_eq!(partition_of("", 50), 0);
    }
}
