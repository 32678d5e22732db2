//! Lag: how far a group is behind the end of what it reads, in records and in time.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - At most one batch of a partition is read for it, on a blocking thread, and none where the
//!   first record that a group has not read is the one of the last time.

use std::collections::BTreeSet;

use highwater_log::types::Offset;

use crate::group::FetchedOffset;
use crate::metrics::LABELS_MAX;
use crate::service::Service;

/// How far a group is behind in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset that the group reads, as it has committed it.
    pub committed: i64,
    /// The next offset that could be read if it were written: the high watermark.
    pub end: i64,
    /// Records between the two that are still there.
    pub lag_records: i64,
    /// The age of the first of them in milliseconds, by its timestamp; 0 if there is none, `None`
    /// if it cannot be read.
    pub lag_ms: Option<i64>,
}

/// How far a group is behind, with as many of its partitions as monitoring is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// The group.
    pub group: String,
    /// How many members it has; 0 for an idle one.
    pub members_count: usize,
    /// Records that it has not read yet, of all its partitions.
    pub lag_records: i64,
    /// Partitions.
    pub partitions: Vec<PartitionLag>,
}

/// How far all groups are behind, within limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lags {
    /// Groups by name.
    pub groups: Vec<GroupLag>,
    /// Partitions of these groups that are not told.
    pub partitions_left_out: usize,
}

impl Service {
    /// How far groups are behind, those without members, too: the first [`LABELS_MAX`] of them, and
    /// at most `partitions_max` partitions of these topics.
    pub async fn lags(&self, topics: BTreeSet<String>, partitions_max: usize) -> Lags {
        let service = self.clone();
        let work = move || service.look_at_lags(&topics, partitions_max);
        // The task fails only when the runtime is being shut down.
        let looked = self.inner.workers.spawn_blocking(work).await;
        looked.unwrap_or_default()
    }

    fn look_at_lags(&self, topics: &BTreeSet<String>, partitions_max: usize) -> Lags {
        let mut lags = Lags::default();
        let mut places = partitions_max;
        for listing in self.list_groups().into_iter().take(LABELS_MAX) {
            let mut lag = GroupLag {
                group: listing.group,
                members_count: listing.members_count,
                lag_records: 0,
                partitions: Vec::new(),
            };
            for offset in self.fetch_offsets(&lag.group, None) {
                let is_told = places > 0
                    && topics.contains(&offset.topic)
                    && usize::try_from(offset.partition).is_ok_and(|it| it < LABELS_MAX);
                let Some(one) = self.partition_lag(offset, is_told) else {
                    continue;
                };
                lag.lag_records = lag.lag_records.saturating_add(one.lag_records);
                if is_told {
                    places -= 1;
                    lag.partitions.push(one);
                } else {
                    lags.partitions_left_out += 1;
                }
            }
            lags.groups.push(lag);
        }
        lags
    }

    /// How far a group is behind in every partition that it has committed an offset of.
    pub async fn group_lag(&self, group: &str) -> Vec<PartitionLag> {
        let offsets = self.fetch_offsets(group, None);
        self.lag_of(vec![(group.to_owned(), offsets)])
            .await
            .pop()
            .map_or_else(Vec::new, |(_, lag)| lag)
    }

    /// How far every group is behind, by its name.
    pub async fn group_lags(&self) -> Vec<(String, Vec<PartitionLag>)> {
        let offsets = self.inner.groups.read(|machine| {
            let groups = machine.list().into_iter();
            let offsets = groups.map(|listing| {
                let offsets = machine.offsets(&listing.group, None);
                (listing.group, offsets)
            });
            offsets.collect::<Vec<_>>()
        });
        self.lag_of(offsets).await
    }

    async fn lag_of(
        &self,
        groups: Vec<(String, Vec<FetchedOffset>)>,
    ) -> Vec<(String, Vec<PartitionLag>)> {
        let service = self.clone();
        let work = move || {
            let lag = |(group, offsets): (String, Vec<FetchedOffset>)| {
                let lag = offsets.into_iter();
                (
                    group,
                    lag.filter_map(|one| service.partition_lag(one, true))
                        .collect(),
                )
            };
            groups.into_iter().map(lag).collect()
        };
        // The task fails only when the runtime is being shut down.
        self.inner
            .workers
            .spawn_blocking(work)
            .await
            .unwrap_or_default()
    }

    /// `None` if the partition is gone, or nothing is committed. Its age is only looked for if it
    /// is wanted.
    fn partition_lag(&self, offset: FetchedOffset, wants_age: bool) -> Option<PartitionLag> {
        let partition = self.partition(&*self.named(&offset.topic)?, offset.partition)?;
        if offset.offset < 0 {
            return None;
        }
        let end = partition.high_watermark().0;
        let next = offset.offset.max(partition.start().0);
        let lag_records = end.saturating_sub(next).max(0);
        let lag_ms = match lag_records {
            0 => Some(0),
            _ if !wants_age => None,
            _ => self.age_of(&partition, Offset(next)),
        };
        Some(PartitionLag {
            topic: offset.topic,
            partition: offset.partition,
            committed: offset.offset,
            end,
            lag_records,
            lag_ms,
        })
    }
}
