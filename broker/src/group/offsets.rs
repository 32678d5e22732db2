//! How far one group got: its committed offsets, and which of them end.
//!
//! Floor 2 of broker. Pure: decides on records, and is changed by [`Offsets::apply`] alone.
//!
//! Invariants
//! - Applying the records of [`Offsets::rewrite`] to an empty store gives the same store.
//! - What a wrong wall clock says never makes a fresh offset old, see [`is_over`].
//! - Topics stand once, however many partitions they have, and none stands without an offset.

mod clock_watch;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use highwater_proto::clock::Wall;
use highwater_proto::group_log::{GroupRecord, OffsetValue};

use crate::group::call::Commit;
use crate::group::call::FetchedOffset;

pub(super) use clock_watch::ClockWatch;

/// The committed offsets of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, OffsetValue>>,
}

/// From when on an offset without an end of its own ages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpireFrom {
    /// Since its group is empty, or since it was committed if that is later: a tool may commit to
    /// a group that has long been empty.
    EmptySince(Wall),
    /// Since it was committed; never in a topic that members are subscribed to.
    Commit {
        /// These topics; `None` for a group without members, which subscribes to nothing.
        subscribed: Option<BTreeSet<String>>,
    },
    /// Not at all: the group has members, and nobody knows what they read.
    Never,
}

impl Offsets {
    /// The records of a commit.
    #[must_use]
    pub(super) fn commit_records(
        &self,
        group: &str,
        now: Wall,
        commit: &Commit,
    ) -> Vec<GroupRecord> {
        let expire_timestamp_ms = commit
            .retention_ms
            .filter(|&retention_ms| retention_ms >= 0)
            .map_or(NO_END, |retention_ms| now.0.saturating_add(retention_ms));
        let offsets = commit.offsets.iter().map(|offset| {
            let value = OffsetValue {
                offset: offset.offset,
                // A record that ends at a time of its own has no room for the epoch.
                leader_epoch: match expire_timestamp_ms {
                    NO_END => offset.leader_epoch,
                    _ => -1,
                },
                metadata: offset.metadata.clone(),
                commit_timestamp_ms: now.0,
                expire_timestamp_ms,
            };
            record(group, &offset.topic, offset.partition, Some(value))
        });
        offsets.collect()
    }

    /// Applies one durable record: the offset, or that there is none any more.
    pub(super) fn apply(&mut self, topic: &str, partition: i32, value: Option<&OffsetValue>) {
        match (self.topics.get_mut(topic), value) {
            (Some(partitions), Some(value)) => {
                partitions.insert(partition, value.clone());
            }
            (Some(partitions), None) => {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    self.topics.remove(topic);
                }
            }
            (None, Some(value)) => {
                let partitions = BTreeMap::from([(partition, value.clone())]);
                self.topics.insert(topic.to_owned(), partitions);
            }
            (None, None) => {}
        }
    }

    /// The offsets of these partitions, in their order, or all by topic and partition. A partition
    /// without one has offset and epoch -1.
    #[must_use]
    pub(super) fn get(&self, of: Option<&[(String, i32)]>) -> Vec<FetchedOffset> {
        match of {
            Some(of) => of
                .iter()
                .map(|(topic, partition)| fetched(topic, *partition, self.find(topic, *partition)))
                .collect(),
            None => self
                .iter()
                .map(|(topic, partition, value)| fetched(topic, partition, Some(value)))
                .collect(),
        }
    }

    /// The tombstones of those of these partitions that have an offset.
    #[must_use]
    pub(super) fn delete_records(
        &self,
        group: &str,
        partitions: &[(String, i32)],
    ) -> Vec<GroupRecord> {
        let there = partitions
            .iter()
            .filter(|(topic, partition)| self.find(topic, *partition).is_some());
        there
            .map(|(topic, partition)| record(group, topic, *partition, None))
            .collect()
    }

    /// The tombstones of all offsets of these topics.
    #[must_use]
    pub(super) fn forget_topics(&self, group: &str, topics: &[String]) -> Vec<GroupRecord> {
        self.tombstones(group, |topic, _| topics.iter().any(|gone| gone == topic))
    }

    /// The tombstones of all offsets that are over now.
    #[must_use]
    pub(super) fn expired(
        &self,
        group: &str,
        now: Wall,
        retention_ms: i64,
        from: ExpireFrom,
    ) -> Vec<GroupRecord> {
        let (empty_since, subscribed) = match from {
            ExpireFrom::EmptySince(since) => (Some(since), None),
            ExpireFrom::Commit { subscribed } => (None, subscribed),
            ExpireFrom::Never => return Vec::new(),
        };
        let subscribed = subscribed.unwrap_or_default();
        self.tombstones(group, |topic, value| {
            !subscribed.contains(topic) && is_over(value, now, retention_ms, empty_since)
        })
    }

    /// All of it, as records.
    #[must_use]
    pub(super) fn rewrite(&self, group: &str) -> Vec<GroupRecord> {
        self.iter()
            .map(|(topic, partition, value)| record(group, topic, partition, Some(value.clone())))
            .collect()
    }

    /// Whether there are none.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Every offset, by topic and partition.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, i32, &OffsetValue)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(&partition, value)| (topic.as_str(), partition, value))
        })
    }

    fn find(&self, topic: &str, partition: i32) -> Option<&OffsetValue> {
        self.topics.get(topic)?.get(&partition)
    }

    fn tombstones(
        &self,
        group: &str,
        ends: impl Fn(&str, &OffsetValue) -> bool,
    ) -> Vec<GroupRecord> {
        self.iter()
            .filter(|(topic, _, value)| ends(topic, value))
            .map(|(topic, partition, _)| record(group, topic, partition, None))
            .collect()
    }
}

/// Whether an offset has come to its end.
///
/// The clock that stamped it and the clock that reads now may both have been wrong:
/// - A stamp later than now has the age 0. The offset is kept until the clock has passed it.
/// - A stamp from before 2020, read under a later clock, comes from a clock that nobody had set
///   yet: the age is unknown, and the offset is kept until it is committed again or deleted.
/// - A clock that jumps while the broker runs is for [`ClockWatch`] to see: until it has gone
///   right for as long as the retention, nothing is asked here.
fn is_over(value: &OffsetValue, now: Wall, retention_ms: i64, empty_since: Option<Wall>) -> bool {
    let committed = Wall(value.commit_timestamp_ms);
    if committed < FIRST_POSSIBLE && now >= FIRST_POSSIBLE {
        return false;
    }
    if value.expire_timestamp_ms != NO_END {
        return now.0 >= value.expire_timestamp_ms;
    }
    let unused_since = empty_since.map_or(committed, |since| since.max(committed));
    // Differences saturate: a stamp at either end of int64 is a long age or none, no wrong one.
    now.ms_since(unused_since) >= retention_ms.max(0)
}

fn record(group: &str, topic: &str, partition: i32, value: Option<OffsetValue>) -> GroupRecord {
    GroupRecord::Offset {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition,
        value,
    }
}

fn fetched(topic: &str, partition: i32, value: Option<&OffsetValue>) -> FetchedOffset {
    FetchedOffset {
        topic: topic.to_owned(),
        partition,
        offset: value.map_or(-1, |value| value.offset),
        leader_epoch: value.map_or(-1, |value| value.leader_epoch),
        metadata: value.map_or_else(String::new, |value| value.metadata.clone()),
    }
}

/// An offset that ends with the broker's retention.
const NO_END: i64 = -1;

/// The start of 2020: no broker of this kind ran before.
const FIRST_POSSIBLE: Wall = Wall(1_577_836_800_000);
