//! What a log knows about the keys of its records, and what appends expect of them.
//!
//! Floor 6 of log-core.
//!
//! Invariants
//! - An expectation is compared with all that was written before, and with what of its own group
//!   will be written before it; nothing else can be appended between the look and the write.
//! - The index is opened before the first append to the log, and covers all of it.
//! - A run of records that the log does not hold is removed, durably, before the log is appended
//!   to: others may take their offsets.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::batch::ProducedBatch;

use super::Log;
use crate::error::LogError;
use crate::key_index::{Entry, KeyIndex, Run, parse_name};
use crate::keys::{Conflict, ConflictOf, Expect, Head, KeyHash, KeyMap, Keyed};
use crate::reader::keys_of;
use crate::segment::Stored;
use crate::types::Offset;

/// A batch to be appended, and what is known about its keys.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The batch, checked.
    pub batch: ProducedBatch,
    /// Its keys, and what is expected. A log with a key index finds out what is missing here, and
    /// expects nothing then; any other log refuses it.
    pub keyed: Option<Keyed>,
}

impl From<ProducedBatch> for Sent {
    fn from(batch: ProducedBatch) -> Self {
        Self { batch, keyed: None }
    }
}

/// What the key index is told of batches once they are written.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// One for each record, in order.
    entries: Vec<Entry>,
    /// The last one of each of their keys.
    heads: KeyMap<Head>,
}

impl Placed {
    /// Forgets everything: the batches are written, or never will be. The room of what is not
    /// large stays for the next ones.
    pub(super) fn clear(&mut self) {
        if self.entries.capacity().max(self.heads.capacity()) > ROOM_KEPT {
            *self = Self::default();
        }
        self.entries.clear();
        self.heads.clear();
    }

    /// How many records have their place.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The revisions of the records behind so many.
    pub(super) fn revisions_from(&self, count: usize) -> Vec<u64> {
        let entries = self.entries[count..].iter();
        entries.map(|entry| entry.head().revision).collect()
    }

    /// Adds records that stand at `base` and behind, all if all that they expect is so, or none.
    fn place(&mut self, index: &KeyIndex, keyed: &Keyed, base: Offset) -> Result<(), LogError> {
        let before = self.entries.len();
        if let Err(error) = self.place_each(index, keyed, base) {
            self.entries.truncate(before);
            return Err(error);
        }
        let placed = self.entries[before..].iter();
        self.heads.extend(placed.map(|it| (it.key, it.head())));
        Ok(())
    }

    fn place_each(
        &mut self,
        index: &KeyIndex,
        keyed: &Keyed,
        base: Offset,
    ) -> Result<(), LogError> {
        let mut own = KeyMap::<Head>::default();
        for ((place, record), offset) in keyed.records.iter().enumerate().zip(base.0..) {
            let head = match own.get(&record.key) {
                Some(head) => Some(*head),
                None => self.head(index, record.key)?,
            };
            if !record.expect.is_met(head) {
                // Nothing of the batch is stored: what is told is what is there without it.
                let actual = self.head(index, record.key)?;
                let of = ConflictOf::Record(place);
                return Err(conflict(record.expect, actual, of));
            }
            let entry = Entry::behind(head, record, Offset(offset))?;
            // Nobody follows the last one; most batches have no other.
            if place + 1 < keyed.records.len() {
                own.insert(record.key, entry.head());
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    /// The last record of a key, written or about to be.
    fn head(&self, index: &KeyIndex, key: KeyHash) -> Result<Option<Head>, LogError> {
        match self.heads.get(&key) {
            Some(head) => Ok(Some(*head)),
            None => index.head(key),
        }
    }
}

impl Log {
    /// Adds the entries of a batch that would begin at `base` to those of its group, if all that it
    /// expects is so.
    pub(super) fn place_keys(
        &self,
        sent: &Sent,
        base: Offset,
        placed: &mut Placed,
    ) -> Result<(), LogError> {
        let Some(index) = self.shared.keys.get() else {
            return match (&sent.keyed, self.config.key_index) {
                (None, false) => Ok(()),
                (Some(_), false) => Err(refused("the log has no key index (append.conditional)")),
                (_, true) => Err(refused("the key index of the log could not be made")),
            };
        };
        let found;
        let keyed = match &sent.keyed {
            Some(keyed) => keyed,
            None => {
                found = keys_of(sent.batch.bytes(), index.seed())?;
                &found
            }
        };
        if i32::try_from(keyed.records.len()) != Ok(sent.batch.header().records_count) {
            return Err(refused(
                "it comes with more keys than records, or with fewer",
            ));
        }
        for (place, check) in keyed.checks.iter().enumerate() {
            let head = placed.head(index, check.key)?;
            if !check.expect.is_met(head) {
                return Err(conflict(check.expect, head, ConflictOf::Check(place)));
            }
        }
        placed.place(index, keyed, base)
    }

    /// Does what looks keys up; if the index turns out to be damaged, once more over a new one.
    pub(super) fn healing<T>(
        &self,
        mut look: impl FnMut() -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        // Each file may be damaged, and one that was made anew is not.
        let files = || self.shared.keys.get().map_or(0, |index| index.size().runs);
        let (mut looked, mut mended) = (look(), 0);
        while matches!(looked, Err(LogError::Corrupt { .. }))
            && mended < files()
            && self.heal_keys()?
        {
            (looked, mended) = (look(), mended + 1);
        }
        looked
    }

    /// Makes the part of the key index anew that was found damaged. Whether there was one.
    pub(crate) fn heal_keys(&self) -> Result<bool, LogError> {
        let Some(index) = self.shared.keys.get() else {
            return Ok(false);
        };
        let Some(damaged) = index.damaged() else {
            return Ok(false);
        };
        let (mut from, end) = damaged;
        loop {
            if from < self.marks.start() {
                tracing::error!(log = %self.id, "what the key index knew of deleted records is lost");
            }
            let anew = index.before(from);
            let filled = self.reader().fill_keys(&anew, end);
            match (filled.and_then(|()| anew.spill(end)), anew.damaged()) {
                (Ok(()), _) => {
                    index.heal(damaged, from, &anew);
                    return Ok(true);
                }
                // So is what comes before it.
                (Err(_), Some((before, _))) => from = before,
                (Err(error), None) => return Err(error),
            }
        }
    }

    /// The entries of a batch that the log has accepted once.
    pub(super) fn recovered_keys(&self, batch: &Bytes, base: Offset) -> Result<Placed, LogError> {
        let mut placed = Placed::default();
        if let Some(index) = self.shared.keys.get() {
            let keyed = keys_of(batch, index.seed())?;
            self.healing(|| placed.place(index, &keyed, base))?;
        }
        Ok(placed)
    }

    /// Tells the index of batches that are written, from this position of the segment on. `end` is
    /// the log's now.
    pub(super) fn note_keys(
        &self,
        stored: &[Stored],
        placed: &mut Placed,
        position: u64,
        end: Offset,
    ) {
        let Some(index) = self.shared.keys.get() else {
            return;
        };
        let mut batches = stored.iter();
        let (mut next, mut batch_position, mut batch_end) = (position, position, Offset::ZERO);
        let entries = placed.entries.drain(..).map(|entry| {
            while entry.offset >= batch_end
                && let Some(batch) = batches.next()
            {
                batch_position = next;
                batch_end = Offset(batch.header.last_offset()).plus(1);
                next += batch.header.total_bytes() as u64;
            }
            // A segment is below 2 GiB.
            entry.at(u32::try_from(batch_position).unwrap_or(u32::MAX))
        });
        index.note(entries);
        index.spill_if_due(end);
    }

    /// Gives the log its key index, if it is to have one: from its runs, and from its records where
    /// these are missing.
    pub(super) fn open_keys(&self) -> Result<(), LogError> {
        if !self.config.key_index || self.shared.keys.get().is_some() {
            return Ok(());
        }
        let mut damaged = None;
        loop {
            let end = self.marks.end();
            let runs = self.load_runs(end)?;
            let seed = runs.last().map_or(self.key_seed, |run| run.cover().seed);
            let (fs, dir) = (Arc::clone(&self.fs), Arc::clone(&self.dir));
            let index = KeyIndex::new(fs, dir, self.id, seed, self.config.segment_bytes);
            match (self.fill(&index, runs, end), index.damaged()) {
                // Nobody else sets it: the log has one writer.
                (Ok(()), _) => {
                    drop(self.shared.keys.set(Arc::new(index)));
                    return Ok(());
                }
                // The run is removed: without it there is a gap to be filled.
                (Err(_), found @ Some(_)) if found != damaged => damaged = found,
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Fills an index from runs, and from the records that they do not cover.
    fn fill(&self, index: &KeyIndex, runs: Vec<Run>, end: Offset) -> Result<(), LogError> {
        let reader = self.reader();
        for run in runs {
            reader.fill_keys(index, run.cover().from)?;
            index.take_run(run)?;
        }
        reader.fill_keys(index, end)
    }

    /// Writes what of the key index is in memory only, so that the next start need not find it out.
    pub(super) fn spill_keys(&self) {
        if let Some(index) = self.shared.keys.get()
            && let Err(error) = index.spill(self.marks.end())
        {
            tracing::warn!(log = %self.id, %error, "a part of the key index is not written");
        }
    }

    /// Makes the key index durable before the start moves: what it knows of records below that is
    /// nowhere else, once a start has removed their segment.
    pub(super) fn keep_revisions(&self) -> Result<(), LogError> {
        let Some(index) = self.shared.keys.get() else {
            return Ok(());
        };
        // A run that knows records which a power cut takes is not believed any more.
        if self.marks.synced() < self.marks.end() {
            self.sync_target().sync()?;
        }
        self.healing(|| index.sync(self.marks.end()))
    }

    /// Nobody writes files of the key index any more once this returns.
    fn end_keys(&self) {
        if let Some(index) = self.shared.keys.get() {
            index.end();
        }
    }

    /// The runs that belong to this log and its records, in order and without an overlap; all
    /// others are removed.
    fn load_runs(&self, end: Offset) -> Result<Vec<Run>, LogError> {
        let (fs, dir) = (&*self.fs, &*self.dir);
        let names = fs
            .list(dir)
            .map_err(|error| LogError::io("list", dir, error))?;
        let mut named: Vec<_> = names
            .iter()
            .filter_map(|name| Some((parse_name(name)?, name)))
            .collect();
        // Of two that begin alike the longer one was to replace the other.
        named.sort_by_key(|((from, end), _)| (*from, Reverse(*end)));
        let (mut runs, mut useless) = (Vec::<Run>::new(), Vec::new());
        for ((from, run_end), name) in named {
            let path = dir.join(name);
            let covered = runs.last().map_or(Offset::ZERO, |run| run.cover().end);
            let run = match from >= covered && run_end <= end {
                true => Run::open(fs, &path, self.id)?,
                false => None,
            };
            let is_named = |run: &Run| (run.cover().from, run.cover().end) == (from, run_end);
            match run.filter(is_named) {
                Some(run) => runs.push(run),
                None => useless.push(path),
            }
        }
        // All runs of a log have one seed, unless files of another life lie between them.
        if let Some(seed) = runs.last().map(|run| run.cover().seed) {
            let others = runs.extract_if(.., |run| run.cover().seed != seed);
            useless.extend(others.map(|run| run.path().to_owned()));
        }
        for path in &useless {
            tracing::info!(file = %path.display(), "a part of the key index is of no use");
            fs.remove(path)
                .map_err(|error| LogError::io("remove", path, error))?;
        }
        if !useless.is_empty() {
            fs.sync_dir(dir)
                .map_err(|error| LogError::io("sync", dir, error))?;
        }
        Ok(runs)
    }
}

impl Drop for Log {
    /// Its directory may be another's from now on, or gone.
    fn drop(&mut self) {
        self.end_keys();
    }
}

fn conflict(expected: Expect, actual: Option<Head>, of: ConflictOf) -> LogError {
    LogError::Conflict(Conflict {
        of,
        expected,
        actual,
    })
}

fn refused(why: &str) -> LogError {
    LogError::Keys {
        why: why.to_owned(),
    }
}

/// Records of a group: about 200 KiB.
const ROOM_KEPT: usize = 2048;
