//! Opens the segment that goes on being written.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - What lies below the recovery point is not read if its index vouches for it, and never cut.
//! - A segment that is shorter than the recovery point says is sealed as it is, with what is
//!   missing noted as damage; the log goes on in a new one, so that no offset is given twice.

use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::batch::BatchHeader;

use super::Recovery;
use crate::checkpoint::SealedInfo;
use crate::epochs::Epochs;
use crate::error::LogError;
use crate::fs::{File, OpenMode};
use crate::index_file::{self, IndexKind, LoadedIndex, frame};
use crate::offset_index::OffsetIndex;
use crate::segment::{
    ActiveWriter, BadRange, Check, Found, Indexes, RecoveredSegment, SavedIndex, Scan, Sealed,
    SegmentFile, Survey, Tally, file_of, sealed_info, write_whole,
};
use crate::time_index::TimeIndex;
use crate::types::{LeaderEpoch, Offset};

/// A segment, read up to the recovery point and then beyond it.
pub(super) struct Tail {
    pub(super) file: Arc<dyn File>,
    pub(super) tally: Tally,
    indexes: Indexes,
    bad: Vec<BadRange>,
    /// What the index files hold, if that is nothing but entries of a log that was open.
    saved: Option<Loaded>,
}

/// The entries of both index files, and the files' lengths.
struct Loaded {
    entries: [Bytes; 2],
    bytes: [u64; 2],
}

impl Recovery<'_> {
    /// Opens the last segment for writing. One that lost bytes below the recovery point joins the
    /// sealed ones.
    pub(super) fn open_active(
        &mut self,
        base: Option<Offset>,
        sealed: &mut Vec<Arc<Sealed>>,
        start: Offset,
    ) -> Result<ActiveWriter, LogError> {
        let least = self
            .from
            .point
            .as_ref()
            .map_or(start, |point| point.offset.max(start));
        let least = self
            .checkpoint
            .sealed
            .last()
            .map_or(least, |info| info.end.max(least));
        let Some(base) = base else {
            return self.create_active(least);
        };
        let is_noted =
            self.has_checkpoint && sealed.iter().all(|s| self.noted(s.info.base).is_some());
        let mut tail = self.read_tail(base)?;
        if tail.tally.end < least {
            let survivor = self.seal_short(base, tail, least)?;
            sealed.push(Arc::new(survivor));
            return self.create_active(least);
        }
        let saved = match tail
            .saved
            .take()
            .and_then(|saved| saved.begin(&tail.indexes))
        {
            Some(saved) => saved,
            None => self.rewrite_index(base, &tail.indexes)?,
        };
        let age_ms = |then_ms: i64| {
            let age = self.checkpoint.written_ms.saturating_sub(then_ms).max(0);
            age.saturating_add(self.stop_ms)
        };
        let since_ms = if is_noted {
            age_ms(self.checkpoint.active_since_ms)
        } else {
            0
        };
        let is_true = is_noted && self.from.clean && !self.is_changed;
        let idle_ms = if is_true {
            age_ms(self.checkpoint.active_last_append_ms)
        } else {
            0
        };
        let recovered = RecoveredSegment {
            file: tail.file,
            tally: tail.tally,
            indexes: tail.indexes,
            bad: tail.bad,
            saved: Some(saved),
            since_ms: self.now_ms - since_ms,
            last_append_ms: self.now_ms - idle_ms,
        };
        let interval_bytes = self.config.index_interval_bytes;
        Ok(ActiveWriter::adopt(
            &**self.fs,
            self.dir,
            base,
            interval_bytes,
            recovered,
        ))
    }

    /// A new segment; its name becomes durable with the checkpoint.
    fn create_active(&mut self, base: Offset) -> Result<ActiveWriter, LogError> {
        self.is_changed = true;
        let interval_bytes = self.config.index_interval_bytes;
        ActiveWriter::create(&**self.fs, self.dir, base, interval_bytes, self.now_ms)
    }

    fn read_tail(&mut self, base: Offset) -> Result<Tail, LogError> {
        let path = SegmentFile::Log.path(self.dir, base);
        let io = |error| LogError::io("read", &path, error);
        let point = self.from.point.as_ref();
        let below = match point.filter(|point| point.segment == base) {
            None => Tally::empty(base),
            Some(point) => Tally {
                end: point.offset,
                position: point.position.0,
                sum: point.sum,
                batches: point.batches,
                max_timestamp: point.max_timestamp,
            },
        };
        let is_clean = self.from.clean && self.log_bytes(base)? == below.position;
        let mode = if is_clean {
            OpenMode::Append
        } else {
            OpenMode::Recover
        };
        let file = self.fs.open(&path, mode).map_err(io)?;
        // Only now: where the page cache has lied, it is as long as the disk has it.
        let bytes = file.len().map_err(io)?;
        let vanished = point
            .filter(|point| point.segment > base)
            .map(|point| point.offset);
        if vanished.is_some() || bytes < below.position {
            let end = vanished.unwrap_or(below.end);
            let history = self.known_epochs();
            let noted = self.noted_damage(base);
            let held = below.position.max(bytes);
            let survey = Survey::of(&*file, base, held, end, &noted, &history);
            let survey = survey.map_err(io)?;
            return Ok(self.damaged_tail(base, file, survey));
        }
        let mut tail = self.below_point(base, file, &below, is_clean)?;
        if !is_clean {
            self.above_point(base, &mut tail, bytes)?;
        }
        Ok(tail)
    }

    /// Everything was durable, and some of it is gone.
    fn damaged_tail(&mut self, base: Offset, file: Arc<dyn File>, survey: Survey) -> Tail {
        self.epochs.extend(survey.epochs.iter().copied());
        self.report_damage(base, &survey.bad);
        let mut tally = survey.tally;
        // The offsets behind the last batch that is there are given out already.
        tally.end = survey.bad.last().map_or(tally.end, |bad| bad.first);
        Tail {
            file,
            tally,
            indexes: survey.indexes,
            bad: survey.bad,
            saved: None,
        }
    }

    /// The indexes up to the recovery point: from their files as far as these go, then from the
    /// batch headers.
    fn below_point(
        &mut self,
        base: Offset,
        file: Arc<dyn File>,
        below: &Tally,
        is_clean: bool,
    ) -> Result<Tail, LogError> {
        let noted = self.noted_damage(base);
        // Without a checkpoint the epochs stand in the batch headers only.
        let (mut indexes, saved) = match self.has_checkpoint {
            true => self.load_indexes(base, below)?,
            false => (Indexes::default(), None),
        };
        let holds_all =
            |saved: &Loaded| !saved.entries[0].is_empty() && saved.begin(&indexes).is_some();
        let has_all = self.has_checkpoint
            && is_clean
            && (saved.as_ref().is_some_and(holds_all) || below.position == 0);
        let epochs_before = self.epochs.len();
        let walked = has_all || self.walk(base, &*file, below, &mut indexes)?;
        let mut tail = Tail {
            file,
            tally: *below,
            indexes,
            bad: noted,
            saved,
        };
        if !has_all && below.position > 0 && is_clean {
            self.report.rebuilt_indexes += 1;
        }
        if walked {
            return Ok(tail);
        }
        // What rotten headers say of epochs is not kept.
        self.epochs.truncate(epochs_before);
        let path = SegmentFile::Log.path(self.dir, base);
        let noted_info = sealed_info(base, below, 0);
        let survey = Survey::of_sealed(&*tail.file, &noted_info, &tail.bad, &self.known_epochs())
            .map_err(|error| LogError::io("read", &path, error))?;
        self.report.rebuilt_indexes += 1;
        self.report_damage(base, &survey.bad);
        self.epochs.extend(survey.epochs);
        tail.bad = survey.bad;
        // From now on the sum is that of the batches that are left.
        tail.tally.sum = survey.tally.sum;
        tail.indexes = survey.indexes;
        tail.saved = None;
        Ok(tail)
    }

    /// What the index files hold below the recovery point, and all of it if they hold nothing but
    /// whole frames of entries. Times that the log has not reached are another segment's.
    fn load_indexes(
        &self,
        base: Offset,
        below: &Tally,
    ) -> Result<(Indexes, Option<Loaded>), LogError> {
        let offsets = self
            .index_bytes(IndexKind::Offset, base)?
            .unwrap_or_default();
        let times = self.index_bytes(IndexKind::Time, base)?.unwrap_or_default();
        let bytes = [offsets.len() as u64, times.len() as u64];
        let offsets = index_file::parse(IndexKind::Offset, offsets);
        let times = index_file::parse(IndexKind::Time, times);
        // Behind a trailer nothing can be appended: a roll that did not come to its end left it.
        let is_open = |loaded: &LoadedIndex| loaded.is_whole && loaded.trailer.is_none();
        let saved = (is_open(&offsets) && is_open(&times)).then(|| Loaded {
            entries: [offsets.entries.clone(), times.entries.clone()],
            bytes,
        });
        let offsets = OffsetIndex::decode(offsets.entries);
        let times = TimeIndex::decode(times.entries);
        let indexes = Indexes::below(offsets, times, below.position);
        let last = indexes.times.entries().last();
        match last.is_none_or(|last| last.timestamp <= below.max_timestamp) {
            true => Ok((indexes, saved)),
            false => Ok((Indexes::default(), None)),
        }
    }

    /// Completes the indexes up to the recovery point by the headers behind the last entry. Says
    /// whether they lead where the point says.
    fn walk(
        &mut self,
        base: Offset,
        file: &dyn File,
        below: &Tally,
        indexes: &mut Indexes,
    ) -> Result<bool, LogError> {
        let mut tally = Tally::empty(base);
        if let Some(last) = indexes.offsets.entries().last() {
            tally = Tally {
                end: base.plus(i64::from(last.offset)),
                position: u64::from(last.position),
                sum: last.sum,
                batches: u64::from(last.position > 0),
                max_timestamp: indexes
                    .times
                    .entries()
                    .last()
                    .map_or(i64::MIN, |t| t.timestamp),
            };
        }
        let mut scan = Scan::new(file, tally.position, below.position, tally.end)
            .with_epochs(LeaderEpoch(i32::MIN)..=LeaderEpoch(i32::MAX));
        loop {
            let found = scan.next(Check::Header).map_err(|error| {
                LogError::io("read", &SegmentFile::Log.path(self.dir, base), error)
            })?;
            match found {
                Found::Batch { header, head } => {
                    indexes.note(base, &tally, self.config.index_interval_bytes);
                    tally.add(&header, scan.expected(), head);
                    // The sum vouches for the first bytes of a batch, its own checksum for the
                    // rest, and that is not looked at here.
                    tally.max_timestamp = tally.max_timestamp.min(below.max_timestamp);
                    self.note_epoch(&header);
                }
                Found::End => return Ok(tally.sum == below.sum && tally.end == below.end),
                Found::Invalid { .. } => return Ok(false),
            }
        }
    }

    /// Takes the batches above the recovery point that continue the log, and cuts off what is
    /// behind them, durably. What is taken was synced when the file was opened.
    fn above_point(&mut self, base: Offset, tail: &mut Tail, bytes: u64) -> Result<(), LogError> {
        let path = SegmentFile::Log.path(self.dir, base);
        let io = |error| LogError::io("read", &path, error);
        let file = Arc::clone(&tail.file);
        let knows_epochs = self.has_checkpoint && self.from.is_newest;
        let epochs = self.known_epochs().from(tail.tally.end, knows_epochs);
        let mut scan =
            Scan::new(&*file, tail.tally.position, bytes, tail.tally.end).with_epochs(epochs);
        loop {
            match scan.next(Check::Crc).map_err(io)? {
                Found::Batch { header, head } => {
                    tail.indexes
                        .note(base, &tail.tally, self.config.index_interval_bytes);
                    tail.tally.add(&header, scan.expected(), head);
                    self.report.batches_scanned += 1;
                    self.report.bytes_scanned += header.total_bytes() as u64;
                    self.note_epoch(&header);
                }
                Found::End => return Ok(()),
                Found::Invalid { why } => {
                    tracing::info!(
                        file = %path.display(), position = tail.tally.position, %why,
                        "the tail is cut off"
                    );
                    self.cut(base, tail, bytes)?;
                    self.is_changed = true;
                    let synced = file.sync();
                    return synced.map_err(|error| LogError::io("sync", &path, error));
                }
            }
        }
    }

    /// Notes the epoch of a batch that was read, if it is the first one.
    fn note_epoch(&mut self, header: &BatchHeader) {
        let epoch = LeaderEpoch(header.leader_epoch);
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.push((epoch, Offset(header.base_offset)));
        }
    }

    /// The epoch history as it was noted; empty without a checkpoint.
    pub(super) fn known_epochs(&self) -> Epochs {
        if !self.has_checkpoint {
            return Epochs::default();
        }
        let point = self
            .from
            .point
            .iter()
            .flat_map(|point| point.epochs.iter().copied());
        let mut known: Vec<_> = self
            .checkpoint
            .epochs
            .iter()
            .copied()
            .chain(point)
            .collect();
        known.sort_unstable();
        Epochs::from_entries(known)
    }

    /// Goes on with what a segment has that lost bytes which were durable.
    fn seal_short(&mut self, base: Offset, tail: Tail, end: Offset) -> Result<Sealed, LogError> {
        self.is_changed = true;
        let Tail {
            tally,
            indexes,
            mut bad,
            ..
        } = tail;
        if bad.last().is_none_or(|last| last.end < end) {
            let missing = BadRange {
                position: tally.position,
                position_end: tally.position,
                first: tally.end,
                end,
                is_hole: false,
            };
            self.report_damage(base, &[missing]);
            bad.push(missing);
        }
        self.save_index(base, &indexes, (tally.position, tally.sum))?;
        let info = SealedInfo {
            end,
            ..sealed_info(base, &tally, self.now_ms)
        };
        let (fs, dir) = (Arc::clone(self.fs), Arc::clone(self.dir));
        Ok(Sealed::new(fs, dir, info, self.now_ms, bad).with_indexes(indexes))
    }

    /// Replaces the index files, so that no entry of batches that are gone can come back.
    fn rewrite_index(&self, base: Offset, indexes: &Indexes) -> Result<[SavedIndex; 2], LogError> {
        let offsets = frame(IndexKind::Offset, &indexes.offsets.encode_from(0));
        let times = frame(IndexKind::Time, &indexes.times.encode_from(0));
        for (kind, bytes) in [(IndexKind::Offset, &offsets), (IndexKind::Time, &times)] {
            write_whole(&**self.fs, &file_of(kind).path(self.dir, base), bytes)?;
        }
        let saved = |bytes: &Bytes, entries: usize| SavedIndex {
            bytes: bytes.len() as u64,
            entries,
        };
        Ok([
            saved(&offsets, indexes.offsets.entries().len()),
            saved(&times, indexes.times.entries().len()),
        ])
    }
}

impl Loaded {
    /// What the files hold, if it is the begin of `indexes`: then no entry of batches that are
    /// gone is among it, and the rest is appended by and by.
    fn begin(&self, indexes: &Indexes) -> Option<[SavedIndex; 2]> {
        let all = [indexes.offsets.encode_from(0), indexes.times.encode_from(0)];
        let saved = |slot: usize| {
            let (entries, all) = (&self.entries[slot], &all[slot]);
            all.starts_with(entries).then_some(SavedIndex {
                bytes: self.bytes[slot],
                entries: entries.len() / index_file::ENTRY_BYTES,
            })
        };
        Some([saved(0)?, saved(1)?])
    }
}
