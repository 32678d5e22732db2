//! Where the records of each key of a log are: the newest in memory, the others in sorted runs.
//!
//! Floor 3 of log-core.
//!
//! A record is noted in `Recent`; when that has many, they become a run, and runs of about the same
//! size become one. The index is derived from the log. A run that is missing or damaged is made
//! anew from it at a start; only what retention has removed from the log stands in runs alone, so
//! that the revisions of its keys go on.
//!
//! Invariants
//! - The runs cover the offsets from 0 on without a gap, in order, and `Recent` covers the rest.
//! - A batch is in one run, or in `Recent`.
//! - Every entry of a key has the revision after that of the entry before it.
//! - Whoever looks up a key sees all that was noted before: a run is in the list before `Recent`
//!   lets go of its entries, and `Recent` is looked at first.
//! - A failure to write a run costs memory, and nothing else.

mod bloom;
mod cache;
mod entry;
mod merge;
mod recent;
mod run;
mod run_writer;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::cache::{Cache, Known};
pub(crate) use self::entry::Entry;
use self::entry::Packed;
use self::recent::Recent;
pub(crate) use self::run::{Cover, Run, parse_name};
use self::run_writer::RunWriter;
use crate::error::LogError;
use crate::fs::Fs;
use crate::keys::{Head, KeyHash, KeySeed};
use crate::types::{LogId, Offset};

/// The index of one log, shared by its writer and its readers.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    fs: Arc<dyn Fs>,
    dir: Arc<Path>,
    log: LogId,
    seed: KeySeed,
    recent: RwLock<Recent>,
    runs: RwLock<Arc<Vec<Arc<Run>>>>,
    cache: Mutex<Cache>,
    /// Held by whoever replaces runs by one.
    merging: Mutex<()>,
    /// Entries that become a run.
    spill_entries: usize,
    /// How many entries `recent` has when the next run is written.
    spill_at: AtomicUsize,
    /// What a run covers that turned out to be damaged.
    damaged: Mutex<Option<(Offset, Offset)>>,
    /// The log is nobody's any more.
    is_over: AtomicBool,
}

/// How large an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyIndexSize {
    /// Records that are in memory and in no file yet.
    pub recent_entries: u64,
    /// Files.
    pub runs: u64,
    /// The records in them.
    pub run_entries: u64,
    /// The memory that all of it takes, about.
    pub memory_bytes: u64,
}

impl KeyIndex {
    /// An index that covers nothing yet, of a log with segments of this size.
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: Arc<Path>,
        log: LogId,
        seed: KeySeed,
        segment_bytes: u64,
    ) -> Self {
        let spill_entries = spill_entries(segment_bytes);
        Self {
            fs,
            dir,
            log,
            seed,
            recent: RwLock::default(),
            runs: RwLock::default(),
            cache: Mutex::default(),
            merging: Mutex::default(),
            spill_entries,
            spill_at: AtomicUsize::new(spill_entries),
            damaged: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    pub(crate) fn seed(&self) -> KeySeed {
        self.seed
    }

    /// The offset behind what the runs cover.
    pub(crate) fn covered(&self) -> Offset {
        self.runs()
            .last()
            .map_or(Offset::ZERO, |run| run.cover().end)
    }

    /// The last record of a key, written or durable.
    ///
    /// # Errors
    /// The disk's; [`LogError::Corrupt`] for a run that is damaged.
    pub(crate) fn head(&self, key: KeyHash) -> Result<Option<Head>, LogError> {
        match self.recent().last(key) {
            Some(last) => Ok(Some(last.head())),
            None => self.head_in_runs(key),
        }
    }

    /// Brings into memory what [`Self::head`] needs. It waits for nobody who notes records: then it
    /// may look at files for nothing.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub(crate) fn prepare(&self, key: KeyHash) -> Result<(), LogError> {
        let recent = self.recent.try_read();
        if recent.is_ok_and(|recent| recent.last(key).is_some()) {
            return Ok(());
        }
        self.head_in_runs(key).map(drop)
    }

    fn head_in_runs(&self, key: KeyHash) -> Result<Option<Head>, LogError> {
        let runs = self.runs();
        let known = self.cache().get(key);
        let below = known.map_or(Offset::ZERO, |known| known.below);
        let mut head = known.and_then(|known| known.head);
        let unknown = runs.iter().rev().take_while(|run| run.cover().end > below);
        for run in unknown.filter(|run| run.may_hold(key)) {
            if let Some(last) = self.heeding(run, run.last(key))? {
                head = Some(last.head());
                break;
            }
        }
        let below = runs.last().map_or(Offset::ZERO, |run| run.cover().end);
        self.cache().put(key, Known { head, below });
        Ok(head)
    }

    /// At most `count_max` entries of a key from a revision on, in order.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub(crate) fn since(
        &self,
        key: KeyHash,
        revision: u32,
        count_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        // Before the runs: what it lets go of is in one of them by then.
        let recent = self.recent().since(key, revision);
        let end = recent.first().map_or(u32::MAX, |first| first.revision);
        let mut found: Vec<Entry> = Vec::new();
        for run in self.runs().iter() {
            let next = found.last().map_or(revision, |last| last.revision + 1);
            if found.len() == count_max || next >= end {
                break;
            }
            if run.may_hold(key) {
                let more = self.heeding(run, run.since(key, next, count_max - found.len()))?;
                found.extend(more.into_iter().take_while(|entry| entry.revision < end));
            }
        }
        let left = count_max - found.len();
        found.extend(recent.into_iter().take(left));
        Ok(found)
    }

    /// Notes records that were written, in the order of their offsets.
    pub(crate) fn note(&self, entries: impl Iterator<Item = Entry>) {
        let mut recent = self.recent_mut();
        entries.for_each(|entry| recent.note(&entry));
    }

    /// Writes a run if so many records were noted. `end` is where the last batch of them ends: what
    /// follows a run begins with a whole batch.
    pub(crate) fn spill_if_due(&self, end: Offset) {
        let count = self.recent().len();
        if count >= self.spill_at.load(Ordering::Relaxed)
            && let Err(error) = self.spill(end)
        {
            // They stay in memory, and the next run has them, too.
            self.spill_at
                .store(count + self.spill_entries, Ordering::Relaxed);
            tracing::warn!(log = %self.log, %error, "a part of the key index could not be written");
        }
    }

    /// Writes what is in memory only as a run that ends at the log's end.
    pub(crate) fn spill(&self, end: Offset) -> Result<(), LogError> {
        let from = self.covered();
        let (entries, keys) = {
            let recent = self.recent();
            if recent.is_empty() || end <= from {
                return Ok(());
            }
            (recent.sorted(), recent.keys() as u64)
        };
        let run = self.write_run(self.cover(from, end), keys, entries.iter())?;
        let mut recent = self.recent_mut();
        self.add_run(run);
        *recent = Recent::default();
        self.spill_at.store(self.spill_entries, Ordering::Relaxed);
        Ok(())
    }

    /// Makes all runs durable, names included, and what is in memory only one of them.
    pub(crate) fn sync(&self, end: Offset) -> Result<(), LogError> {
        self.spill(end)?;
        for run in self.runs().iter() {
            match run.is_left() {
                true => self.copy(run)?,
                false => run.sync()?,
            }
        }
        self.fs
            .sync_dir(&self.dir)
            .map_err(|error| LogError::io("sync", &self.dir, error))
    }

    /// Writes a run of sorted entries.
    fn write_run<'a>(
        &self,
        cover: Cover,
        keys_max: u64,
        mut entries: impl Iterator<Item = &'a Packed>,
    ) -> Result<Run, LogError> {
        let fs = &*self.fs;
        let written =
            RunWriter::create(fs, &self.dir, cover, (keys_max, false)).and_then(|mut writer| {
                entries.try_for_each(|entry| writer.push(entry))?;
                writer.finish(fs)
            });
        if written.is_err() {
            RunWriter::abandon(fs, &self.dir, &cover);
        }
        written
    }

    fn cover(&self, from: Offset, end: Offset) -> Cover {
        Cover {
            log: self.log,
            seed: self.seed,
            from,
            end,
        }
    }

    /// Takes a run that is there, behind what was noted before it.
    pub(crate) fn take_run(&self, run: Run) -> Result<(), LogError> {
        self.spill(run.cover().from)?;
        self.add_run(run);
        Ok(())
    }

    fn add_run(&self, run: Run) {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::clone(&runs);
        all.push(Arc::new(run));
        *runs = Arc::new(all);
    }

    /// What a run covers that was found damaged, and has to be made anew.
    pub(crate) fn damaged(&self) -> Option<(Offset, Offset)> {
        *self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another index of the same log that covers only what comes before an offset.
    pub(crate) fn before(&self, offset: Offset) -> Self {
        let runs = self.runs();
        let kept = runs.iter().filter(|run| run.cover().end <= offset);
        Self {
            fs: Arc::clone(&self.fs),
            dir: Arc::clone(&self.dir),
            log: self.log,
            seed: self.seed,
            recent: RwLock::default(),
            runs: RwLock::new(Arc::new(kept.cloned().collect())),
            cache: Mutex::default(),
            merging: Mutex::default(),
            spill_entries: self.spill_entries,
            spill_at: AtomicUsize::new(self.spill_entries),
            damaged: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Puts the runs of `anew` that begin at `from` or behind in the place of those between `from`
    /// and the end of the damaged one. If a merge has replaced that meanwhile, it was read well.
    pub(crate) fn heal(&self, damaged: (Offset, Offset), from: Offset, anew: &Self) {
        let _merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let is_there = |run: &Arc<Run>| (run.cover().from, run.cover().end) == damaged;
        let is_border = |run: &Arc<Run>| run.cover().from == from;
        if runs.iter().any(is_there) && runs.iter().any(is_border) {
            let before = runs.iter().filter(|run| run.cover().end <= from);
            let anew = anew.runs();
            let anew = anew.iter().filter(|run| run.cover().from >= from);
            let behind = runs.iter().filter(|run| run.cover().from >= damaged.1);
            let all = before.chain(anew).chain(behind).cloned().collect();
            *runs = Arc::new(all);
            tracing::info!(log = %self.log, %from, "a part of the key index was made anew");
        }
        drop(runs);
        // What was looked up before the damage was seen is no less true.
        *self.damaged.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The log is closed or removed: nothing is written any more once this returns.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        drop(self.merging.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How large it is.
    pub(crate) fn size(&self) -> KeyIndexSize {
        let runs = self.runs();
        let recent = self.recent();
        let in_runs: usize = runs.iter().map(|run| run.bytes()).sum();
        let memory = recent.bytes() + self.cache().bytes() + in_runs;
        KeyIndexSize {
            recent_entries: recent.len() as u64,
            runs: runs.len() as u64,
            run_entries: runs.iter().map(|run| run.entries()).sum(),
            memory_bytes: memory as u64,
        }
    }

    /// Notes a run that is damaged, and removes it, so that a start makes it anew if nobody does
    /// before.
    fn heeding<T>(&self, run: &Run, result: Result<T, LogError>) -> Result<T, LogError> {
        let is_in_use = || self.runs().iter().any(|other| std::ptr::eq(&**other, run));
        let is_news = || self.damaged().is_none() && is_in_use();
        if matches!(result, Err(LogError::Corrupt { .. })) && is_news() {
            let covered = (run.cover().from, run.cover().end);
            *self.damaged.lock().unwrap_or_else(PoisonError::into_inner) = Some(covered);
            tracing::error!(file = %run.path().display(), "a part of the key index is damaged");
            if let Err(error) = self.fs.remove(run.path()) {
                tracing::warn!(%error, "it could not be removed");
            }
        }
        result
    }

    fn runs(&self) -> Arc<Vec<Arc<Run>>> {
        Arc::clone(&self.runs.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_mut(&self) -> RwLockWriteGuard<'_, Recent> {
        self.recent.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records that become a run: at most a megabyte of file and a few milliseconds of work, and fewer
/// where segments are so small that memory must be, too.
fn spill_entries(segment_bytes: u64) -> usize {
    let by_segment = usize::try_from(segment_bytes / 4096).unwrap_or(usize::MAX);
    by_segment.clamp(16, 32 << 10)
}
