//! What happens to a log besides appends: rolls, retention, deletion, the end.
//!
//! Floor 6 of log-core.
//!
//! Invariants
//! - A roll syncs the old segment and its indexes before the new one is created, and the new
//!   names and the checkpoint before the first append to it.
//! - The checkpoint that forgets a segment is durable before its files are removed.
//! - Once a new checkpoint may be in place, whatever fails poisons the log: the old state and the
//!   new one must not both go on.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use highwater_proto::clock::Now;

use super::{Log, SyncedPoint, move_to};
use crate::checkpoint::{self, LogCheckpoint, SealedInfo};
use crate::error::LogError;
use crate::fs::Fs;
use crate::recovery::{CHECKPOINT_FILE, PRODUCERS_FILE, damage_of, log_ms};
use crate::retention::{SegmentAge, plan};
use crate::segment::{ActiveWriter, Sealed, SegmentFile, Tally, sealed_info};
use crate::types::Offset;
use crate::view::View;

/// What retention removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Segments whose files were removed.
    pub segments: usize,
    /// The bytes of their log files.
    pub bytes: u64,
    /// The first offset of the log now.
    pub start: Offset,
}

impl Log {
    /// Seals the active segment and begins a new one; an empty segment stays.
    ///
    /// # Errors
    /// The disk's. If nothing was changed yet, the log goes on in the old segment; otherwise it
    /// is poisoned.
    pub fn roll(&mut self, now: Now) -> Result<(), LogError> {
        self.expect_healthy()?;
        if self.writer.is_empty() {
            return Ok(());
        }
        let prepared = self.writer.prepare_seal(&*self.fs);
        prepared.map_err(|error| self.settle(error.into()))?;
        let (base, tally) = (self.writer.base(), *self.writer.tally());
        let now_ms = log_ms(now);
        let interval_bytes = self.config.index_interval_bytes;
        let next = ActiveWriter::create(&*self.fs, &self.dir, tally.end, interval_bytes, now_ms);
        let next = next.map_err(|error| self.settle(error.into()))?;
        let info = sealed_info(base, &tally, 0);
        let (fs, dir) = (Arc::clone(&self.fs), Arc::clone(&self.dir));
        let bad = self.writer.shared().bad().noted();
        let sealed = Sealed::new(fs, dir, info, self.writer.last_append_ms(), bad)
            .with_indexes(self.writer.indexes());
        let view = self.shared.view.load();
        let mut all = view.sealed.clone();
        all.push(Arc::new(sealed));
        let view = View {
            sealed: all,
            active: Arc::clone(next.shared()),
            epochs: view.epochs.clone(),
        };
        let old = std::mem::replace(&mut self.writer, next);
        if let Err(failed) = self.save_view(&view, self.marks.start(), now) {
            let new = std::mem::replace(&mut self.writer, old);
            let error = self.settle(failed);
            if self.poisoned.is_none() {
                self.remove_quietly(new.base());
            }
            return Err(error);
        }
        self.marks.advance_synced(tally.end);
        self.marks.advance_durable(tally.end);
        move_to(
            &self.synced,
            SyncedPoint {
                segment: tally.end,
                tally: Tally::empty(tally.end),
            },
        );
        self.shared.view.store(view);
        Ok(())
    }

    /// Removes the segments that the policies do not keep. A segment that has been active for so
    /// long that all of it is too old is sealed first, so that it can go, too.
    ///
    /// # Errors
    /// The disk's. What could not be removed is forgotten all the same, and removed at the next
    /// start.
    pub fn apply_retention(&mut self, now: Now) -> Result<Retired, LogError> {
        self.expect_healthy()?;
        let now_ms = log_ms(now);
        self.producers
            .expire(now_ms, self.config.producer_id_expiration_ms);
        let rolled = match self.active_is_over(now) {
            true => self.roll(now),
            false => Ok(()),
        };
        // On a full disk what is sealed already makes room for the rest.
        self.expect_healthy()?;
        let view = self.shared.view.load();
        let ages: Vec<_> = view
            .sealed
            .iter()
            .map(|sealed| age_of(sealed, now_ms))
            .collect();
        let active_bytes = self.writer.tally().position;
        let start = self.marks.start();
        let count = plan(&ages, active_bytes, start, &self.config, now.wall.0);
        let retired = self.retire(count, start, now)?;
        if retired.segments == 0 {
            rolled?;
        }
        Ok(retired)
    }

    /// Deletes the records below `before`, durably: afterwards the log starts there, or where it
    /// started if that is later. Answers the new start.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] for an offset above the durable mark; the disk's.
    pub fn delete_records(&mut self, before: Offset, now: Now) -> Result<Offset, LogError> {
        self.expect_healthy()?;
        let (start, durable) = (self.marks.start(), self.marks.durable());
        if before > durable || before < Offset::ZERO {
            return Err(LogError::OutOfRange {
                asked: before,
                start,
                end: durable,
            });
        }
        if before <= start {
            return Ok(start);
        }
        if before > self.marks.synced() {
            // Else a power cut could take records above a start that is durable.
            let synced = self.sync_target().sync();
            self.poisoning(synced)?;
        }
        let view = self.shared.view.load();
        let count = view
            .sealed
            .partition_point(|sealed| sealed.info.end <= before);
        self.retire(count, before, now)?;
        Ok(self.marks.start())
    }

    /// Syncs everything and notes it, so that the next start reads nothing again. The log refuses
    /// changes afterwards.
    pub fn close(&mut self, now: Now) -> Result<(), LogError> {
        self.expect_healthy()?;
        let target = self.sync_target();
        self.writer.save_index(&*self.fs, 1);
        self.spill_keys();
        let synced = target.sync().and_then(|()| self.writer.sync_index());
        self.poisoning(synced)?;
        self.marks.advance_durable(target.end());
        let saved = self.save(now);
        saved.map_err(|failed| self.settle(failed))?;
        self.poison("it was closed");
        Ok(())
    }

    /// Removes the log's files and its directory.
    pub fn destroy(self) -> Result<(), LogError> {
        let (fs, dir) = (&*self.fs, &*self.dir);
        let names = fs
            .list(dir)
            .map_err(|error| LogError::io("list", dir, error))?;
        for name in names {
            remove(fs, &dir.join(name))?;
        }
        remove(fs, dir)?;
        match dir.parent() {
            Some(parent) => fs
                .sync_dir(parent)
                .map_err(|error| LogError::io("sync", parent, error)),
            None => Ok(()),
        }
    }

    /// Whether the active segment holds nothing that the policies or the start keep.
    fn active_is_over(&self, now: Now) -> bool {
        let idle_ms = log_ms(now).saturating_sub(self.writer.last_append_ms());
        let tally = self.writer.tally();
        let age = SegmentAge {
            end: tally.end,
            bytes: tally.position,
            idle_ms,
            max_timestamp: tally.max_timestamp,
        };
        let all_is_deleted = self.marks.start() >= tally.end;
        let config = &self.config;
        let is_old = config.delete
            && config
                .retention_ms
                .is_some_and(|kept| crate::retention::age_ms(&age, now.wall.0) >= kept);
        !self.writer.is_empty() && (all_is_deleted || is_old)
    }

    /// Forgets the `count` oldest segments and what lies below `start`, then removes their files.
    fn retire(&mut self, count: usize, start: Offset, now: Now) -> Result<Retired, LogError> {
        let view = self.shared.view.load();
        let (gone, kept) = view.sealed.split_at(count);
        let start = gone.last().map_or(start, |last| last.info.end.max(start));
        let mut retired = Retired {
            start,
            ..Retired::default()
        };
        if gone.is_empty() && start == self.marks.start() {
            return Ok(retired);
        }
        let mut epochs = view.epochs.clone();
        epochs.begin_at(start);
        let view = View {
            sealed: kept.to_vec(),
            active: Arc::clone(&view.active),
            epochs,
        };
        if !gone.is_empty() {
            let kept = self.keep_revisions();
            kept.map_err(|error| self.settle(error.into()))?;
        }
        let mut saved = self.save_view(&view, start, now);
        if saved.as_ref().is_err_and(Failed::is_for_space) {
            // The indexes of what goes are caches: their room is enough for a checkpoint, and a
            // crash before it makes them anew.
            for sealed in gone {
                self.remove_indexes(sealed.info.base)?;
            }
            saved = self.save_view(&view, start, now);
        }
        saved.map_err(|failed| self.settle(failed))?;
        self.marks.advance_start(start);
        self.shared.view.store(view);
        for sealed in gone {
            for file in SegmentFile::ALL {
                remove(&*self.fs, &file.path(&self.dir, sealed.info.base))?;
            }
            retired.segments += 1;
            retired.bytes += sealed.info.bytes;
        }
        Ok(retired)
    }

    fn remove_indexes(&self, base: Offset) -> Result<(), LogError> {
        for file in [SegmentFile::Index, SegmentFile::TimeIndex] {
            remove(&*self.fs, &file.path(&self.dir, base))?;
        }
        Ok(())
    }

    /// Writes the checkpoint and, where it may be, the snapshot of the producers.
    pub(super) fn save(&mut self, now: Now) -> Result<(), Failed> {
        let view = self.shared.view.load();
        self.save_view(&view, self.marks.start(), now)
    }

    /// As [`Self::save`], for a View and a start that are not in force yet.
    pub(super) fn save_view(&mut self, view: &View, start: Offset, now: Now) -> Result<(), Failed> {
        let now_ms = log_ms(now);
        let then_ms = |then_ms: i64| now.wall.0.saturating_sub(now_ms.saturating_sub(then_ms));
        let noted = |sealed: &Arc<Sealed>| SealedInfo {
            last_append_ms: then_ms(sealed.last_append_ms),
            ..sealed.info
        };
        let mut damage = Vec::new();
        for sealed in &view.sealed {
            damage.extend(damage_of(sealed.info.base, &sealed.bad().noted()));
        }
        damage.extend(damage_of(view.active.base, &view.active.bad().noted()));
        let bytes = LogCheckpoint {
            written_ms: now.wall.0,
            active_since_ms: then_ms(self.writer.since_ms()),
            active_last_append_ms: then_ms(self.writer.last_append_ms()),
            start,
            epochs: view.epochs.entries().to_vec(),
            sealed: view.sealed.iter().map(noted).collect(),
            damage,
        }
        .encode(self.id);
        // A snapshot of batches that a power cut can take would outlive them.
        let is_synced = self.writer.tally().end <= self.marks.synced() || self.writer.is_empty();
        let snapshot = is_synced.then(|| {
            let end = self.writer.tally().end;
            self.producers.encode(self.id, end, now_ms)
        });
        self.replace_files(&bytes, snapshot.as_deref())?;
        self.epochs_saved = view.epochs.entries().len();
        if is_synced {
            self.producers_from = None;
            let mut synced = super::lock(&self.synced);
            synced.moved.clear();
            synced.snapshot = Some(self.writer.tally().end);
        }
        Ok(())
    }

    /// Replaces the checkpoint and the snapshot by one sync of the directory.
    fn replace_files(&self, checkpoint: &[u8], snapshot: Option<&[u8]>) -> Result<(), Failed> {
        let (fs, dir) = (&*self.fs, &*self.dir);
        let first = checkpoint::stage(fs, dir, CHECKPOINT_FILE, checkpoint)?;
        let second = snapshot.map(|bytes| checkpoint::stage(fs, dir, PRODUCERS_FILE, bytes));
        let second = second.transpose()?;
        first
            .commit(fs)
            .and_then(|()| second.map_or(Ok(()), |second| second.commit(fs)))
            .and_then(|()| {
                fs.sync_dir(dir)
                    .map_err(|error| LogError::io("sync", dir, error))
            })
            .map_err(|error| Failed {
                error,
                is_final: true,
            })
    }

    /// Poisons the log if the failure is final; the error for the caller.
    pub(super) fn settle(&mut self, failed: Failed) -> LogError {
        if failed.is_final {
            self.poison_by(&failed.error)
        } else {
            failed.error
        }
    }

    /// Removes the files of a segment that no checkpoint names; recovery would, too.
    fn remove_quietly(&self, base: Offset) {
        for file in SegmentFile::ALL {
            let path = file.path(&self.dir, base);
            if let Err(error) = remove(&*self.fs, &path) {
                tracing::warn!(%error, "a segment that was not begun is left for the next start");
            }
        }
    }
}

/// Why a change did not come about, and whether the log may go on all the same.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: LogError,
    is_final: bool,
}

impl Failed {
    /// Whether nothing was changed, for lack of space.
    fn is_for_space(&self) -> bool {
        !self.is_final && self.error.is_full()
    }
}

impl From<LogError> for Failed {
    /// A sync that failed is final; anything else left the log as it was.
    fn from(error: LogError) -> Self {
        let is_final = matches!(error, LogError::Io { op: "sync", .. });
        Self { error, is_final }
    }
}

fn age_of(sealed: &Sealed, now_ms: i64) -> SegmentAge {
    SegmentAge {
        end: sealed.info.end,
        bytes: sealed.info.bytes,
        idle_ms: now_ms.saturating_sub(sealed.last_append_ms),
        max_timestamp: sealed.info.max_timestamp,
    }
}

fn remove(fs: &dyn Fs, path: &Path) -> Result<(), LogError> {
    match fs.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(LogError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
