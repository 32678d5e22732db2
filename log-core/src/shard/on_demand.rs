//! What the owner asks of some logs beside their appends: a sync now, a new segment now.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - What is synced here is durable in the logs' own files, whatever their `durability` is.

use std::sync::Arc;

use highwater_proto::clock::Now;

use super::side_by_side::side_by_side;
use super::{Shard, Slot};
use crate::error::LogError;
use crate::log::SyncTarget;
use crate::sync::lock;
use crate::types::{LogId, Offset};

impl Shard {
    /// Syncs logs up to an offset each, or as far as they go: afterwards a power cut takes nothing
    /// below it. For whoever makes a pointer into a log durable. Logs that are gone are skipped.
    ///
    /// # Errors
    /// The disk's; the shard is poisoned.
    pub fn sync_up_to(&self, ends: &[(LogId, Offset)]) -> Result<(), LogError> {
        self.expect_open()?;
        let targets: Vec<SyncTarget> = ends
            .iter()
            .filter_map(|(id, end)| self.slot(*id)?.unsynced_below(*end))
            .collect();
        let targets: Vec<&SyncTarget> = targets.iter().collect();
        side_by_side(&targets, self.parallel_syncs, |target| target.sync())
            .map(drop)
            .map_err(|why| self.poison(&why))
    }

    /// Begins a new segment of a log, unless the last one is empty; answers its first offset.
    ///
    /// # Errors
    /// The disk's; if the log is in doubt afterwards, the shard is poisoned.
    pub fn roll(&self, id: LogId, now: Now) -> Result<Offset, LogError> {
        self.expect_open()?;
        let slot = self.slot(id).ok_or(LogError::Closed)?;
        let roll = || {
            let mut log = lock(&slot.log);
            log.as_mut().ok_or(LogError::Closed)?.roll(now)?;
            // Under the log's lock: nothing stands behind the new segment's first offset yet.
            Ok(slot.reader.end())
        };
        self.poisoning(self.telling(&slot, || self.with_reserve(roll)))
    }
}

impl Slot {
    /// What has to be synced for everything below `end` to be durable in the log's file.
    fn unsynced_below(self: Arc<Self>, end: Offset) -> Option<SyncTarget> {
        let marks = self.reader.marks();
        if marks.synced() >= end.min(marks.end()) {
            return None;
        }
        lock(&self.log).as_ref().map(|log| log.sync_target())
    }
}
