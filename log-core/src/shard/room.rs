//! What is done for room: the reserve is given up for what must go on, and the oldest segments of
//! the logs that allow it are removed before the directory is full.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - Only what was refused for lack of room is tried again, once.
//! - Nothing is removed from a log that does not allow it, or that is vital.
//! - The oldest segment of all goes first. A sealed one goes before any that is being written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_proto::clock::Now;

use super::{Shard, Slot};
use crate::config::OnFull;
use crate::error::LogError;
use crate::log::{Appended, Log, Sent};
use crate::sync::lock;
use crate::types::LogId;

/// The room of a shard, and what was done for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Whether appends are refused for lack of it.
    pub is_short: bool,
    /// What the files of the data directory hold, in bytes; `None` if it has no limit.
    pub dir_bytes: Option<u64>,
    /// Segments that were removed to make room.
    pub dropped_segments: u64,
    /// The bytes of their log files.
    pub dropped_bytes: u64,
}

impl Shard {
    /// The room now.
    #[must_use]
    pub fn room(&self) -> Room {
        Room {
            is_short: self.space.is_short(),
            dir_bytes: self.space.dir_bytes(),
            dropped_segments: self.dropped_segments.load(Ordering::Relaxed),
            dropped_bytes: self.dropped_bytes.load(Ordering::Relaxed),
        }
    }

    /// Fails as an append to a log that is not vital would, for lack of room; for whoever would
    /// make files for it.
    pub fn expect_room(&self, now: Now) -> Result<(), LogError> {
        self.space.shortage(0, now.mono).map_or(Ok(()), Err)
    }

    /// Does `work`; if it finds the disk full, once more with the room of the reserve.
    pub(super) fn with_reserve<T>(
        &self,
        mut work: impl FnMut() -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        match work() {
            Err(error) if error.is_full() && self.space.release() => work(),
            done => done,
        }
    }

    /// Appends; a vital log gets the room of the reserve.
    pub(super) fn append_to(
        &self,
        slot: &Slot,
        log: &mut Log,
        batches: &[Sent],
        now: Now,
    ) -> Vec<Result<Appended, LogError>> {
        let mut results = log.append_all(batches, now);
        let is_full = |result: &Result<_, LogError>| result.as_ref().is_err_and(LogError::is_full);
        if !results.iter().any(is_full) {
            return results;
        }
        self.space.doubt();
        if slot.is_vital.load(Ordering::Relaxed) && self.space.release() {
            for (batch, result) in batches.iter().zip(&mut results) {
                if is_full(result) {
                    let again = log.append_all(std::slice::from_ref(batch), now);
                    *result = again.into_iter().next().expect("a result for the batch");
                }
            }
        }
        results
    }

    /// Removes the oldest segments of the logs that allow it until the directory has room again,
    /// or they have none. The logs that were cut.
    pub(super) fn drop_oldest(&self, now: Now) -> Result<Vec<LogId>, LogError> {
        let mut cut = Vec::new();
        while self.space.is_crowded() {
            let Some(slot) = self.oldest_slot(now) else {
                break;
            };
            let dropped = self.with_reserve(|| {
                let mut log = lock(&slot.log);
                log.as_mut().map(|log| log.drop_oldest(now)).transpose()
            });
            match self.poisoning(dropped) {
                Ok(None) => continue,
                Ok(Some(gone)) => {
                    self.dropped_segments
                        .fetch_add(gone.segments as u64, Ordering::Relaxed);
                    self.dropped_bytes.fetch_add(gone.bytes, Ordering::Relaxed);
                    tracing::info!(log = %slot.id, bytes = gone.bytes, start = %gone.start,
                        "the directory is full: the oldest segment was removed");
                    cut.push(slot.id);
                    self.space.made_room();
                    if gone.segments == 0 {
                        break;
                    }
                }
                Err(error @ LogError::Poisoned { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(log = %slot.id, %error, "no room could be made");
                    break;
                }
            }
        }
        cut.sort_unstable();
        cut.dedup();
        Ok(cut)
    }

    /// The log whose oldest segment goes next.
    fn oldest_slot(&self, now: Now) -> Option<Arc<Slot>> {
        let may_be_cut = |slot: &Arc<Slot>| !slot.is_vital.load(Ordering::Relaxed);
        let slots = self.all_slots().into_iter().filter(may_be_cut);
        let aged = slots.filter_map(|slot| {
            let log = lock(&slot.log);
            let log = log.as_ref()?;
            let oldest = log
                .oldest(now)
                .filter(|_| log.config().on_full == OnFull::DropOldest)?;
            Some(((oldest.is_sealed, oldest.idle_ms), Arc::clone(&slot)))
        });
        aged.max_by_key(|(age, _)| *age).map(|(_, slot)| slot)
    }
}
