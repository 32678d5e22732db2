//! When the first record from an offset on was written: what the age of a lag is measured from.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - At most one batch is read for it, and none for what was asked before: a record keeps its time.
//! - At most [`TIMES_MAX`] times are remembered, in two generations: what nobody asks for goes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use highwater_log::reader::{Minimum, Slice};
use highwater_log::types::{LogId, Offset};
use highwater_proto::batch::Batches;
use highwater_proto::record::RecordIter;

use crate::partition::Partition;
use crate::service::Service;

/// The times that were looked up.
#[derive(Debug, Default)]
pub(super) struct FirstTimes {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<(LogId, Offset), i64>,
    old: HashMap<(LogId, Offset), i64>,
}

impl FirstTimes {
    /// What is remembered of it, or what `look` finds.
    fn get(&self, log: LogId, next: Offset, look: impl FnOnce() -> Option<i64>) -> Option<i64> {
        let known = {
            let mut generations = self.lock();
            let known = generations.young.get(&(log, next)).copied();
            known.or_else(|| generations.old.remove(&(log, next)))
        };
        let time = known.or_else(look)?;
        let mut generations = self.lock();
        if generations.young.len() >= TIMES_MAX / 2 {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert((log, next), time);
        Some(time)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // What is lost by a panic is looked up again.
        let generations = self.generations.lock();
        generations.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// The timestamp of the first record from an offset on, in milliseconds; `None` if it cannot be
    /// read. Reads the disk.
    pub(super) fn first_time(&self, partition: &Partition, next: Offset) -> Option<i64> {
        let look = || {
            let slice = partition.read(next, 0, Minimum::OneBatch).ok()??;
            self.first_timestamp(&slice, next)
        };
        self.inner.first_times.get(partition.id(), next, look)
    }

    /// The age of that record in milliseconds.
    pub(super) fn age_of(&self, partition: &Partition, next: Offset) -> Option<i64> {
        let timestamp = self.first_time(partition, next)?;
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

/// More than monitoring asks for at a time.
const TIMES_MAX: usize = 40_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_looked_up_once_and_what_is_asked_for_stays() {
        let times = FirstTimes::default();
        let log = LogId {
            topic: [7; 16],
            partition: 0,
        };
        assert_eq!(times.get(log, Offset(1), || None), None);
        assert_eq!(times.get(log, Offset(1), || Some(5)), Some(5));
        for offset in 0..3 * TIMES_MAX as i64 {
            times.get(log, Offset(2 + offset), || Some(0));
            assert_eq!(times.get(log, Offset(1), || None), Some(5), "at {offset}");
        }
        let generations = times.lock();
        assert!(generations.young.len() + generations.old.len() <= TIMES_MAX);
    }
}
