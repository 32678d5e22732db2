//! Replaces runs of about the same size by one, so that a look at a key asks few of them.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - The new run and its name are durable before the old files go, and so are the records that it
//!   knows: one that knows more than the log is not believed at the next start.
//! - Of records that the log does not hold any more each key keeps the last one: revisions go on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::entry::{Entry, Packed, key_of};
use super::{KeyIndex, Run, RunWriter};
use crate::error::LogError;
use crate::types::Offset;

impl KeyIndex {
    /// Merges once, if enough runs are of a size. Neither appends nor lookups wait for it. `start`
    /// and `synced` are the log's. Whether it did.
    ///
    /// # Errors
    /// The disk's: then all is as it was.
    pub(crate) fn merge(&self, start: Offset, synced: Offset) -> Result<bool, LogError> {
        let _merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = self.runs();
        let Some(range) = self.candidates(&runs, synced).filter(|_| self.is_whole()) else {
            return Ok(false);
        };
        let old = &runs[range.clone()];
        let merged = self.merge_runs(old, start)?;
        self.sync_names()?;
        {
            let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
            // Runs are only added meanwhile, at the end.
            let mut all = Vec::clone(&runs);
            all.splice(range, [Arc::new(merged)]);
            *runs = Arc::new(all);
        }
        old.iter().for_each(|run| self.remove_replaced(run));
        Ok(true)
    }

    /// Puts a copy that is durable, but for its name, in the place of a run.
    pub(super) fn copy(&self, run: &Arc<Run>) -> Result<(), LogError> {
        let copy = Arc::new(self.merge_runs(std::slice::from_ref(run), Offset::ZERO)?);
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::clone(&runs);
        match all.iter_mut().find(|other| Arc::ptr_eq(other, run)) {
            Some(place) => *place = copy,
            // A merge was faster.
            None => self.remove_replaced(&copy),
        }
        *runs = Arc::new(all);
        Ok(())
    }

    fn remove_replaced(&self, run: &Run) {
        if let Err(error) = self.fs.remove(run.path()) {
            tracing::warn!(%error, "a part of the key index that was replaced is left");
        }
    }

    /// Whether there is a log, and no damage that has to be mended first.
    fn is_whole(&self) -> bool {
        self.damaged().is_none() && !self.is_over.load(Ordering::Acquire)
    }

    fn merge_runs(&self, old: &[Arc<Run>], start: Offset) -> Result<Run, LogError> {
        let (first, last) = (old.first(), old.last());
        let from = first.map_or(Offset::ZERO, |run| run.cover().from);
        let end = last.map_or(from, |run| run.cover().end);
        let cover = self.cover(from, end);
        let keys_max = old.iter().map(|run| run.keys()).sum();
        let fs = &*self.fs;
        let written =
            RunWriter::create(fs, &self.dir, cover, (keys_max, true)).and_then(|mut writer| {
                let mut cursors: Vec<_> = old.iter().map(|run| Cursor::new(run)).collect();
                let mut next = BinaryHeap::with_capacity(cursors.len());
                for (place, cursor) in cursors.iter_mut().enumerate() {
                    let entry = self.heeding(&old[place], cursor.next())?;
                    next.extend(entry.map(|entry| Reverse((entry, place))));
                }
                let mut before: Option<Packed> = None;
                while let Some(Reverse((entry, place))) = next.pop() {
                    if self.is_over.load(Ordering::Acquire) {
                        return Err(LogError::Closed);
                    }
                    let more = self.heeding(&old[place], cursors[place].next())?;
                    next.extend(more.map(|entry| Reverse((entry, place))));
                    if let Some(before) = before.filter(|before| is_kept(before, &entry, start)) {
                        writer.push(&before)?;
                    }
                    before = Some(entry);
                }
                before.map_or(Ok(()), |last| writer.push(&last))?;
                writer.finish(fs)
            });
        if written.is_err() {
            RunWriter::abandon(fs, &self.dir, &cover);
        }
        written
    }

    /// The oldest [`TOGETHER`] neighbours of one size.
    fn candidates(&self, runs: &[Arc<Run>], synced: Offset) -> Option<Range<usize>> {
        let mut begin = 0;
        let firm = runs.iter().take_while(|run| run.cover().end <= synced);
        for (place, run) in firm.enumerate() {
            if self.level(run) != self.level(&runs[begin]) {
                begin = place;
            }
            if place + 1 - begin == TOGETHER {
                return Some(begin..place + 1);
            }
        }
        None
    }

    /// How often runs were merged into one of this size, about.
    fn level(&self, run: &Run) -> u32 {
        let spills = run.entries() / self.spill_entries as u64;
        // Eight of a level are at least the next one, also if they came a little short.
        (spills + spills / 4).max(1).ilog(TOGETHER as u64)
    }

    fn sync_names(&self) -> Result<(), LogError> {
        self.fs
            .sync_dir(&self.dir)
            .map_err(|error| LogError::io("sync", &self.dir, error))
    }
}

/// Whether an entry is still needed if this one follows it.
fn is_kept(entry: &Packed, next: &Packed, start: Offset) -> bool {
    key_of(entry) != key_of(next) || Entry::unpack(entry).offset >= start
}

/// The entries of a run, a block at a time.
struct Cursor<'a> {
    run: &'a Run,
    block: usize,
    entries: std::vec::IntoIter<Packed>,
}

impl<'a> Cursor<'a> {
    fn new(run: &'a Run) -> Self {
        Self {
            run,
            block: 0,
            entries: Vec::new().into_iter(),
        }
    }

    fn next(&mut self) -> Result<Option<Packed>, LogError> {
        if let Some(entry) = self.entries.next() {
            return Ok(Some(entry));
        }
        if self.block == self.run.blocks() {
            return Ok(None);
        }
        self.entries = self.run.block(self.block)?.into_iter();
        self.block += 1;
        Ok(self.entries.next())
    }
}

/// Runs of a level that become one.
const TOGETHER: usize = 8;
