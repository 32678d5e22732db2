//! What monitoring wants to know of all partitions at once.
//!
//! Floor 4 of broker.

use highwater_log::shard::Room;

use crate::service::Service;

/// One partition: where its log starts and ends, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOverview {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The next offset to be written.
    pub end: i64,
    /// The bytes of its segments.
    pub bytes: u64,
}

impl Service {
    /// The room for records, and what was done for it.
    #[must_use]
    pub fn room(&self) -> Room {
        self.inner.shard.records_room()
    }

    /// What is free on the disk, in bytes; `None` where the disk does not tell.
    pub async fn free_bytes(&self) -> Option<u64> {
        self.inner.shard.disk_space().await.ok()?.free_bytes
    }

    /// The partitions by topic name and number, at most so many, and how many there are.
    #[must_use]
    pub fn partitions_overview(&self, count_max: usize) -> (Vec<PartitionOverview>, usize) {
        let mut topics: Vec<_> = self
            .inner
            .meta
            .read(|meta| meta.state().topics().cloned().collect());
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        let count = topics
            .iter()
            .map(|topic| usize::try_from(topic.partition_count).unwrap_or(0))
            .sum();
        let logs = topics
            .iter()
            .flat_map(|topic| topic.logs().map(|log| (&topic.name, log)));
        let partitions = logs.take(count_max).map(|(topic, id)| {
            let log = self.log(id);
            PartitionOverview {
                topic: topic.clone(),
                partition: i32::try_from(id.partition).unwrap_or(i32::MAX),
                start: log.start().0,
                end: log.end().0,
                bytes: log.size_bytes(),
            }
        });
        (partitions.collect(), count)
    }
}
