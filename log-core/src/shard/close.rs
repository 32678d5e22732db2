//! A clean stop: everything is synced, and the data directory says so.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - The mark of a clean stop is written last, and only if all before it succeeded.
//! - The directory's lock is released whatever happened, while handles of the shard may live on.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use highwater_proto::clock::Now;

use super::Shard;
use super::tick::Upkeep;
use crate::error::LogError;
use crate::sync::lock;
use crate::types::{LogId, Offset};

impl Shard {
    /// Stops the shard: writes and syncs what is queued, closes every log, marks the stop as clean
    /// and releases the directory. Appends that come meanwhile may be answered
    /// [`LogError::Closed`]; later calls are. Called again, it does nothing.
    ///
    /// # Errors
    /// The first failure; the next start is then one after an unclean stop.
    pub fn close(&self, now: Now) -> Result<(), LogError> {
        self.queue.close(LogError::Closed);
        self.write_once();
        self.sync_once();
        self.shut(|upkeep| match self.poisoned() {
            Some(why) => Err(LogError::Poisoned { why }),
            None => {
                let ends = self.close_logs(upkeep, now)?;
                self.with_reserve(|| upkeep.dir.mark_clean(&ends))
            }
        })
    }

    /// Closes every log and lets go of the directory, without the mark of a clean stop: the next
    /// start begins a new leader epoch.
    pub(crate) fn close_unmarked(&self, now: Now) -> Result<(), LogError> {
        self.shut(|upkeep| self.close_logs(upkeep, now).map(drop))
    }

    /// Stops the shard where it stands, as a crash of the process does: nothing more is written or
    /// synced, who waits is answered [`LogError::Closed`], the directory is released.
    pub fn abandon(&self) {
        for append in self.queue.abandon(LogError::Closed) {
            append.done.answer(Err(LogError::Closed));
        }
        self.shut(|_| Ok(())).expect("nothing was done that fails");
    }

    /// Ends all use of the directory: whatever runs is waited for, whatever comes finds nothing.
    fn shut(&self, last: impl FnOnce(&mut Upkeep) -> Result<(), LogError>) -> Result<(), LogError> {
        let names = lock(&self.names);
        let mut upkeep = lock(&self.upkeep);
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let outcome = last(&mut upkeep);
        for slot in self.take_slots(|_| false) {
            drop(lock(&slot.log).take());
        }
        let journal = lock(&self.journal);
        let waiting = lock(&self.waiting).refuse(LogError::Closed);
        upkeep.dir.unlock();
        drop((journal, upkeep, names));
        for waiter in waiting {
            waiter.done.answer(Err(LogError::Closed));
        }
        self.commit_bell.ring();
        self.want_tick();
        outcome
    }

    /// Syncs and closes every log; answers where each ends.
    fn close_logs(
        &self,
        upkeep: &mut Upkeep,
        now: Now,
    ) -> Result<BTreeMap<LogId, Offset>, LogError> {
        let mut ends = BTreeMap::new();
        let mut points = Vec::new();
        for slot in self.all_slots() {
            let Some(mut log) = lock(&slot.log).take() else {
                continue;
            };
            self.with_reserve(|| log.close(now))?;
            ends.insert(slot.id, log.marks().end());
            points.push((slot.id, log.recovery_point()));
        }
        self.with_reserve(|| upkeep.dir.write_points(&points))?;
        Ok(ends)
    }
}
