//! What is done beside the commits: page-cache logs are synced, the journal is filled ahead and
//! emptied into the logs' own files, recovery points are written.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - One sync at a time for each log, begun by [`Shard::tick`]; appends never wait for it.
//! - A sync covers everything written to its log until it starts.
//! - A journal file is freed only after every log in it is synced and the recovery points say so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_proto::clock::{Mono, Now};

use super::poison::PanicGuard;
use super::side_by_side::side_by_side;
use super::{Shard, Slot};
use crate::checkpoint::RecoveryPoint;
use crate::config::LogConfig;
use crate::data_dir::DataDir;
use crate::error::LogError;
use crate::sync::lock;
use crate::types::{LogId, Offset};

/// Unsynced bytes of a page-cache log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dirty {
    bytes: u64,
    /// When they must be synced; at once if there are many of them.
    due: Mono,
}

/// What only one thread at a time does.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) dir: DataDir,
    /// The recovery points as they were last written.
    pub(super) points: Vec<(LogId, RecoveryPoint)>,
    /// When the journal and the recovery points are looked at next.
    pub(super) checkpoint_at: Mono,
    /// Bytes that were synced since the indexes of the active segments were saved.
    pub(super) unindexed_bytes: u64,
}

impl Shard {
    /// Does what is due, and answers when it wants to be called next, at the latest; earlier if
    /// [`Self::on_work`] or [`Self::wait_for_work`] says so.
    pub fn tick(&self, now: Now) -> Mono {
        let guard = PanicGuard::new(self);
        match self.tick_unless_closed(now) {
            Ok(cut) => self.announce(&cut),
            Err(why) => drop(self.poison(&why)),
        }
        guard.disarm();
        if self.expect_open().is_err() {
            return Mono::NEVER;
        }
        let planned = self.next_tick(now.mono);
        self.planned.store(planned.0, Ordering::Release);
        // Look again: what became dirty before the plan was stored has compared itself with the
        // plan before it.
        let planned = self.next_tick(now.mono);
        self.planned.store(planned.0, Ordering::Release);
        planned
    }

    /// The logs whose start has moved.
    fn tick_unless_closed(&self, now: Now) -> Result<Vec<LogId>, LogError> {
        let mut upkeep = lock(&self.upkeep);
        if self.expect_open().is_err() {
            return Ok(Vec::new());
        }
        self.space.look(now.mono)?;
        let cut = self.drop_oldest(now)?;
        self.sync_due(now.mono)?;
        self.checkpoint(&mut upkeep, now.mono)?;
        Ok(cut)
    }

    fn next_tick(&self, now: Mono) -> Mono {
        let latest = now.plus(Duration::from_millis(self.config.checkpoint_ms));
        lock(&self.dirty)
            .values()
            .map(|dirty| dirty.due)
            .fold(latest, Mono::min)
    }

    /// Notes bytes that stage 1 has written to a page-cache log; called under the log's lock.
    pub(super) fn note_dirty(&self, id: LogId, config: &LogConfig, bytes: u64, now: Mono) {
        let due = {
            let mut all = lock(&self.dirty);
            let dirty = all.entry(id).or_insert_with(|| Dirty {
                bytes: 0,
                due: now.plus(Duration::from_millis(config.flush_ms)),
            });
            dirty.bytes = dirty.bytes.saturating_add(bytes);
            if dirty.bytes >= config.flush_bytes {
                dirty.due = Mono(0);
            }
            dirty.due
        };
        if due.0 < self.planned.fetch_min(due.0, Ordering::AcqRel) {
            self.want_tick();
        }
    }

    /// Notes bytes that stage 2 has made durable.
    pub(super) fn note_synced(&self, bytes: u64, is_journal_full: bool) {
        let before = self.unpointed_bytes.fetch_add(bytes, Ordering::AcqRel);
        let is_much = before < POINT_AFTER_BYTES && before + bytes >= POINT_AFTER_BYTES;
        if is_journal_full || is_much {
            self.want_tick();
        }
    }

    /// Syncs the page-cache logs whose time has come.
    fn sync_due(&self, now: Mono) -> Result<(), LogError> {
        let due: Vec<LogId> = lock(&self.dirty)
            .iter()
            .filter(|(_, dirty)| dirty.due <= now)
            .map(|(id, _)| *id)
            .collect();
        // Side by side: one after the other, a thousand logs take longer than `flush.ms`.
        side_by_side(&due, self.parallel_syncs, |id| self.sync_dirty(*id)).map(drop)
    }

    fn sync_dirty(&self, id: LogId) -> Result<(), LogError> {
        let Some(slot) = self.slot(id) else {
            lock(&self.dirty).remove(&id);
            return Ok(());
        };
        let log = lock(&slot.log);
        // Under the log's lock: what is written next is dirty again.
        let dirty = lock(&self.dirty).remove(&id);
        let target = log.as_ref().map(|log| log.sync_target());
        drop(log);
        self.note_synced(dirty.map_or(0, |dirty| dirty.bytes), false);
        target.map_or(Ok(()), |target| target.sync())
    }

    /// Empties the journal and writes the recovery points, once a second, when a journal file is
    /// full, and after every 64 MiB.
    fn checkpoint(&self, upkeep: &mut Upkeep, now: Mono) -> Result<(), LogError> {
        let is_time = upkeep.checkpoint_at <= now;
        if is_time {
            self.fill_journal(now)?;
            upkeep.dir.fs().release_unused();
        }
        let ended = {
            let mut journal = lock(&self.journal);
            if is_time && journal.ended().is_none() {
                journal.rotate();
            }
            journal.ended()
        };
        let is_much = self.unpointed_bytes.load(Ordering::Acquire) >= POINT_AFTER_BYTES;
        if !is_time && !is_much && ended.is_none() {
            return Ok(());
        }
        for (id, end) in ended.iter().flatten() {
            if let Some(slot) = self.slot(*id) {
                slot.sync_up_to(*end)?;
            }
        }
        upkeep.checkpoint_at = now.plus(Duration::from_millis(self.config.checkpoint_ms));
        match self.write_points(upkeep) {
            Ok(()) => {}
            // The points before are whole, and the journal keeps what it holds: later.
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "the recovery points stay behind");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if ended.is_some() {
            lock(&self.journal).free();
        }
        Ok(())
    }

    /// Fills the free journal file with zeros, so that its next life need not make it longer.
    fn fill_journal(&self, now: Mono) -> Result<(), LogError> {
        let Some(mut filling) = lock(&self.journal).begin_filling() else {
            return Ok(());
        };
        let filled = match self.space.shortage(filling.bytes(), now) {
            None => filling.run(),
            Some(_) => Ok(()),
        };
        lock(&self.journal).end_filling(filling);
        filled
    }

    /// Saves what the indexes of active segments lack: each saves itself after 2 MiB only, and a
    /// start after a crash walks what is not indexed, in a thousand logs at once.
    fn save_indexes(&self) {
        for slot in self.all_slots() {
            if let Some(log) = lock(&slot.log).as_mut() {
                log.save_index();
            }
        }
    }

    /// Writes the recovery points of all logs, if one has moved.
    pub(super) fn write_points(&self, upkeep: &mut Upkeep) -> Result<(), LogError> {
        let bytes = self.unpointed_bytes.swap(0, Ordering::AcqRel);
        upkeep.unindexed_bytes = upkeep.unindexed_bytes.saturating_add(bytes);
        if upkeep.unindexed_bytes >= POINT_AFTER_BYTES {
            upkeep.unindexed_bytes = 0;
            self.save_indexes();
        }
        let known: BTreeMap<_, _> = upkeep
            .points
            .iter()
            .map(|(id, point)| (*id, point))
            .collect();
        let points: Vec<_> = self
            .all_slots()
            .iter()
            .filter_map(|slot| Some((slot.id, lock(&slot.log).as_ref()?.recovery_point())))
            .collect();
        let is_same = points.len() == known.len()
            && points
                .iter()
                .all(|(id, point)| known.get(id) == Some(&point));
        if !is_same {
            upkeep.dir.write_points(&bounded(&points))?;
            upkeep.points = points;
        }
        Ok(())
    }
}

impl Slot {
    /// Syncs what the log holds, unless it is synced up to `end` already.
    pub(super) fn sync_up_to(self: &Arc<Self>, end: Offset) -> Result<(), LogError> {
        if self.reader.marks().synced() >= end {
            return Ok(());
        }
        let target = lock(&self.log).as_ref().map(|log| log.sync_target());
        target.map_or(Ok(()), |target| target.sync())
    }
}

/// The points without the producers that are too many for a file which is written every second: a
/// start after a crash walks those logs instead.
pub(super) fn bounded(points: &[(LogId, RecoveryPoint)]) -> Vec<(LogId, RecoveryPoint)> {
    let mut room = MOVED_BYTES_MAX;
    let fits = |(id, point): &(LogId, RecoveryPoint)| {
        let mut point = point.clone();
        let bytes = point.moved.as_ref().map_or(0, |moved| moved.windows.len());
        match room.checked_sub(bytes) {
            Some(left) => room = left,
            None => point.moved = None,
        }
        (*id, point)
    };
    points.iter().map(fits).collect()
}

/// About 45,000 producers.
const MOVED_BYTES_MAX: usize = 4 << 20;

/// So much is scanned at most after a crash beside what the last second has written.
const POINT_AFTER_BYTES: u64 = 64 << 20;
