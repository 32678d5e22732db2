//! A topic that a producer sends to: its partitions, and which of them a record goes to.
//!
//! Floor 4 of client. Pure.
//!
//! Invariants
//! - A record goes to a partition that the topic has as far as is known here, or nowhere.

use highwater_proto::cursor::Str;
use highwater_proto::murmur2::partition_of;

use super::partition::Partition;
use super::partitioner::Sticky;
use crate::config::ProducerConfig;
use crate::record::Record;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Str,
    /// May be more than `count` after the topic was made again with fewer.
    pub(super) partitions: Vec<Partition>,
    count: usize,
    sticky: Sticky,
}

impl Topic {
    pub(super) fn new(name: Str) -> Self {
        Self {
            name,
            partitions: Vec::new(),
            count: 0,
            sticky: Sticky::default(),
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// How many partitions it has now.
    pub(super) fn resize(&mut self, count: usize) {
        let held = self.partitions.len().max(count);
        self.partitions.resize_with(held, Partition::default);
        if self.count != count {
            self.count = count;
            self.move_on();
        }
    }

    /// The partition for a record that will take so many bytes, and whether the sender must look
    /// again, because a batch was sealed to make room; `None` if the topic has no such partition.
    pub(super) fn place(
        &mut self,
        record: &Record,
        bytes: usize,
        config: &ProducerConfig,
    ) -> Option<(usize, bool)> {
        let (index, is_keyless) = match (record.partition, &record.key) {
            (Some(partition), _) => (usize::try_from(partition).ok()?, false),
            (None, Some(key)) if !config.partitioner_ignore_keys => {
                let count = i32::try_from(self.count).unwrap_or(i32::MAX);
                (usize::try_from(partition_of(key, count)).ok()?, false)
            }
            (None, _) => (self.sticky.partition(), true),
        };
        if index >= self.count {
            return None;
        }
        let partition = self.partitions.get_mut(index)?;
        let sealed = partition.seal_before(bytes, config);
        let wake = sealed && partition.is_news();
        if !is_keyless {
            return Some((index, wake));
        }
        let has_open = partition.open.is_some();
        if sealed || self.sticky.is_due(config.batch_size, has_open) {
            self.move_on();
        }
        self.sticky.add(bytes);
        let index = self.sticky.partition();
        let next = self.partitions.get_mut(index)?;
        let sealed = next.seal_before(bytes, config);
        Some((index, wake || (sealed && next.is_news())))
    }

    fn move_on(&mut self) {
        let partitions = self.partitions.iter().take(self.count);
        self.sticky.choose(partitions.map(Partition::waiting));
    }
}
