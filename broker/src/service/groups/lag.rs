//! Lag: how far a group is behind the end of what it reads, in records and in time.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - At most one batch of a partition is read for it, on a blocking thread.

use highwater_log::reader::{Minimum, Slice};
use highwater_log::types::Offset;
use highwater_proto::batch::Batches;
use highwater_proto::record::RecordIter;

use crate::group::FetchedOffset;
use crate::partition::Partition;
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

impl Service {
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
                    lag.filter_map(|one| service.partition_lag(one)).collect(),
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

    /// `None` if the partition is gone, or nothing is committed.
    fn partition_lag(&self, offset: FetchedOffset) -> Option<PartitionLag> {
        let partition = self.partition(&*self.named(&offset.topic)?, offset.partition)?;
        if offset.offset < 0 {
            return None;
        }
        let end = partition.high_watermark().0;
        let next = offset.offset.max(partition.start().0);
        let lag_records = end.saturating_sub(next).max(0);
        let lag_ms = match lag_records {
            0 => Some(0),
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

    /// The age of the first record from this offset on.
    fn age_of(&self, partition: &Partition, next: Offset) -> Option<i64> {
        let slice = partition.read(next, 0, Minimum::OneBatch).ok()??;
        let timestamp = self.first_timestamp(&slice, next)?;
        Some(self.clock().now().wall.0.saturating_sub(timestamp).max(0))
    }

    fn first_timestamp(&self, slice: &Slice, next: Offset) -> Option<i64> {
        let bytes_max = self.config().max_decompressed_message_bytes;
        let whole = match slice.parts.as_slice() {
            [one] => one.clone(),
            parts => parts.concat().into(),
        };
        let first = whole.slice_ref(Batches::new(&whole).next()?.ok()?.bytes);
        let records = RecordIter::new(first, bytes_max).ok()?;
        records
            .filter_map(Result::ok)
            .find(|record| record.offset >= next.0)
            .map(|record| record.timestamp)
    }
}
