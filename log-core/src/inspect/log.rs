//! Checks one log against everything that was noted about it.
//!
//! Floor 8 of log-core.
//!
//! Invariants
//! - The same bytes count as durable as at a start: sealed segments, and the active one up to the
//!   recovery point; all of it after a clean stop.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::index::IndexCheck;
use super::{Finding, FindingKind, Teller};
use crate::checkpoint::{Damage, LogCheckpoint, RecoveryPoint, SealedInfo, read_whole};
use crate::envelope::EnvelopeError;
use crate::epochs::Epochs;
use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};
use crate::index_file::IndexKind;
use crate::producers::Producers;
use crate::recovery::{CHECKPOINT_BYTES_MAX, CHECKPOINT_FILE, INDEX_BYTES_MAX, bad_ranges};
use crate::recovery::{PRODUCERS_FILE, SNAPSHOT_BYTES_MAX};
use crate::segment::{
    BadRange, Check, Extent, Found, Scan, SegmentFile, Survey, Tally, file_of, find_valid,
    sealed_info,
};
use crate::types::{LogId, Offset, Position};

/// One log, and what its data directory says about it.
pub(super) struct LogCheck<'a, 'b> {
    /// Which one, if its directory says so.
    pub(super) id: Option<LogId>,
    pub(super) fs: &'a Arc<dyn Fs>,
    pub(super) dir: &'a Path,
    pub(super) point: Option<&'a RecoveryPoint>,
    /// Where it ended at a clean stop.
    pub(super) stopped_at: Option<Offset>,
    /// Whether checkpoint and point know every epoch that was begun.
    pub(super) knows_epochs: bool,
    /// What earlier repairs gave up.
    pub(super) holes: Vec<Damage>,
    pub(super) teller: &'a mut Teller<'b>,
}

impl LogCheck<'_, '_> {
    /// Reads the whole log; answers its end.
    pub(super) fn run(&mut self) -> Result<Offset, LogError> {
        self.teller.verified.logs += 1;
        let names = self
            .fs
            .list(self.dir)
            .map_err(|error| LogError::io("list", self.dir, error))?;
        let mut bases: Vec<Offset> = names
            .iter()
            .filter_map(|name| SegmentFile::parse(name))
            .filter(|(_, file)| *file == SegmentFile::Log)
            .map(|(base, _)| base)
            .collect();
        bases.sort_unstable();
        let checkpoint = self.checkpoint(!bases.is_empty())?;
        self.knows_epochs &= !checkpoint.epochs.is_empty();
        self.check_producers()?;
        let point_start = self.point.map_or(Offset::ZERO, |point| point.start);
        let start = checkpoint.start.max(point_start);
        // Retention has forgotten them, and was stopped before it removed them.
        while bases.len() > 1 && bases[1] <= start {
            bases.remove(0);
        }
        let mut end = bases.first().map_or(start, |first| start.max(*first));
        self.find_missing(&checkpoint, start, &bases);
        let history = self.history(&checkpoint);
        self.holes = checkpoint.damage.clone();
        self.holes.retain(|damage| damage.is_hole);
        for (slot, base) in bases.iter().enumerate() {
            if *base < end && slot > 0 {
                let what = format!("it begins at offset {base}, where {end} should follow");
                let kind = FindingKind::CorruptBatch;
                self.find(kind, SegmentFile::Log, *base, 0, what);
            }
            let noted = checkpoint.sealed.iter().find(|info| info.base == *base);
            let next = bases.get(slot + 1).copied();
            end = match (noted, next) {
                (Some(info), next) => self.check_sealed(info, next, &history)?,
                (None, Some(next)) => self.check_unnoted(*base, next, &history)?,
                (None, None) => self.check_active(*base, &history)?,
            };
        }
        self.check_end(end);
        Ok(end)
    }

    fn checkpoint(&mut self, has_segments: bool) -> Result<LogCheckpoint, LogError> {
        let path = self.dir.join(CHECKPOINT_FILE);
        let bytes = read_whole(&**self.fs, &path, OpenMode::Read, CHECKPOINT_BYTES_MAX)?;
        let why = match bytes.map(|bytes| LogCheckpoint::decode(bytes, self.id)) {
            Some(Ok(checkpoint)) => return Ok(checkpoint),
            Some(Err(error @ EnvelopeError::TooNew { .. })) => {
                return Err(LogError::TooNew {
                    dir: self.dir.to_owned(),
                    why: format!("{}: {error}", path.display()),
                });
            }
            Some(Err(error)) => error.to_string(),
            None => "it is missing".to_owned(),
        };
        if has_segments {
            self.find_state(CHECKPOINT_FILE, why);
        }
        Ok(LogCheckpoint::default())
    }

    fn check_producers(&mut self) -> Result<(), LogError> {
        let path = self.dir.join(PRODUCERS_FILE);
        let bytes = read_whole(&**self.fs, &path, OpenMode::Read, SNAPSHOT_BYTES_MAX)?;
        if let Some(Err(error)) = bytes.map(|bytes| Producers::decode(bytes, self.id, 0)) {
            self.find_state(PRODUCERS_FILE, error.to_string());
        }
        Ok(())
    }

    /// Segments that the checkpoint names and that are gone from the begin of the log.
    fn find_missing(&mut self, checkpoint: &LogCheckpoint, start: Offset, bases: &[Offset]) {
        let first = bases.first();
        let is_missing =
            |info: &&SealedInfo| info.end > start && first.is_none_or(|first| info.base < *first);
        for info in checkpoint.sealed.iter().filter(is_missing) {
            let gap = missing(info.base.max(start), info.end, info.bytes);
            self.find_bad(info.base, &gap, "its file is gone");
        }
    }

    fn history(&self, checkpoint: &LogCheckpoint) -> Epochs {
        let point = self.point.iter().flat_map(|point| point.epochs.iter());
        let mut known: Vec<_> = checkpoint.epochs.iter().chain(point).copied().collect();
        known.sort_unstable();
        Epochs::from_entries(known)
    }

    fn check_sealed(
        &mut self,
        info: &SealedInfo,
        next: Option<Offset>,
        history: &Epochs,
    ) -> Result<Offset, LogError> {
        let Some(Readable { file, bytes }) = self.open(info.base)? else {
            return Ok(info.end);
        };
        let mut index = self.indexes(info.base, Some((info.bytes, info.sum)))?;
        let extent = Extent {
            base: info.base,
            bytes: info.bytes,
            end: info.end,
        };
        let holes = self.holes_of(info.base);
        let survey = Survey::watched(&*file, extent, &holes, history, &mut |tally| {
            index.note(tally);
        });
        let survey = survey
            .map_err(|error| self.unreadable(info.base, error))?
            .compared_with(info);
        let mut survey = survey;
        if let Some(next) = next.filter(|next| info.end < *next) {
            survey.bad.push(missing(info.end, next, info.bytes));
        }
        if bytes > info.bytes {
            let what = format!(
                "{} bytes stand behind the end of the sealed segment",
                bytes - info.bytes
            );
            self.find(
                FindingKind::State,
                SegmentFile::Log,
                info.base,
                info.bytes,
                what,
            );
        }
        Ok(next
            .unwrap_or(info.end)
            .max(self.conclude(info.base, &survey, index, true)))
    }

    fn check_unnoted(
        &mut self,
        base: Offset,
        next: Offset,
        history: &Epochs,
    ) -> Result<Offset, LogError> {
        let Some(Readable { file, bytes }) = self.open(base)? else {
            return Ok(next);
        };
        let mut index = self.indexes(base, None)?;
        let extent = Extent {
            base,
            bytes,
            end: next,
        };
        let holes = self.holes_of(base);
        let survey = Survey::watched(&*file, extent, &holes, history, &mut |tally| {
            index.note(tally);
        });
        let survey = survey.map_err(|error| self.unreadable(base, error))?;
        Ok(self.conclude(base, &survey, index, false))
    }

    /// The last segment: up to the recovery point it was durable, behind it a crash may have torn
    /// it.
    fn check_active(&mut self, base: Offset, history: &Epochs) -> Result<Offset, LogError> {
        let Some(Readable { file, bytes }) = self.open(base)? else {
            return Ok(base);
        };
        let point = self.point.filter(|point| point.segment == base);
        let durable = point.map_or_else(
            || Tally::empty(base),
            |point| Tally {
                end: point.offset,
                position: point.position.0,
                sum: point.sum,
                batches: point.batches,
                max_timestamp: point.max_timestamp,
            },
        );
        let mut index = self.indexes(base, None)?;
        let info = sealed_info(base, &durable, 0);
        let extent = Extent {
            base,
            bytes: durable.position,
            end: durable.end,
        };
        let holes = self.holes_of(base);
        let survey = Survey::watched(&*file, extent, &holes, history, &mut |tally| {
            index.note(tally);
        });
        let mut survey = survey
            .map_err(|error| self.unreadable(base, error))?
            .compared_with(&info);
        if bytes >= durable.position {
            survey.tally.end = durable.end;
            self.check_tail(&*file, base, &mut survey, bytes, &mut index, history)
                .map_err(|error| self.unreadable(base, error))?;
        }
        if let Some(point) = self.point.filter(|point| point.segment > base) {
            let end = survey.tally.end;
            survey.bad.push(missing(end, point.offset, bytes));
        }
        Ok(self.conclude(base, &survey, index, false))
    }

    /// Takes the batches that continue the segment behind the recovery point.
    fn check_tail(
        &mut self,
        file: &dyn File,
        base: Offset,
        survey: &mut Survey,
        bytes: u64,
        index: &mut IndexCheck,
        history: &Epochs,
    ) -> std::io::Result<()> {
        let epochs = history.from(survey.tally.end, self.knows_epochs);
        let mut scan =
            Scan::new(file, survey.tally.position, bytes, survey.tally.end).with_epochs(epochs);
        loop {
            match scan.next(Check::Crc)? {
                Found::End => return Ok(()),
                Found::Batch { header, head } => {
                    index.note(&survey.tally);
                    survey.tally.add(&header, scan.expected(), head);
                }
                Found::Invalid { why } => {
                    let position = scan.position();
                    let end = scan.expected();
                    let behind = find_valid(file, position, bytes, end)?;
                    let torn = bytes - position;
                    let (kind, what) = match (behind, self.stopped_at) {
                        (Some((_, header)), _) => (
                            FindingKind::CorruptTail,
                            format!(
                                "{why}; a right batch with offset {} stands behind it",
                                header.base_offset
                            ),
                        ),
                        (None, Some(_)) => (
                            FindingKind::CorruptTail,
                            format!("{why}; the log was closed cleanly"),
                        ),
                        (None, None) => (
                            FindingKind::TornTail,
                            format!("the last {torn} bytes are no whole batch: {why}"),
                        ),
                    };
                    let behind = behind.map(|(_, header)| Offset(header.last_offset()).plus(1));
                    self.teller.find(Finding {
                        kind,
                        file: SegmentFile::Log.path(self.dir, base),
                        position: Some(Position(position)),
                        bytes: torn,
                        offsets: behind.or(self.stopped_at).map(|behind| (end, behind)),
                        what,
                    });
                    return Ok(());
                }
            }
        }
    }

    /// Reports what a read of a segment has found; answers the segment's end.
    fn conclude(
        &mut self,
        base: Offset,
        survey: &Survey,
        index: IndexCheck,
        is_sealed: bool,
    ) -> Offset {
        self.teller.verified.batches += survey.tally.batches;
        let (holes, bad): (Vec<_>, Vec<_>) = survey.bad.iter().partition(|bad| bad.is_hole);
        self.teller.verified.holes += holes.len() as u64;
        for bad in bad {
            self.find_bad(base, bad, "they are not what was written");
        }
        // Over damage the sums of an index cannot be followed.
        if survey.bad.is_empty()
            && let Some((kind, why)) = index.verdict(is_sealed)
        {
            self.find(FindingKind::Index, file_of(kind), base, 0, why);
        }
        survey
            .bad
            .last()
            .map_or(survey.tally.end, |bad| bad.end.max(survey.tally.end))
    }

    fn holes_of(&self, base: Offset) -> Vec<BadRange> {
        bad_ranges(&self.holes, base)
    }

    fn check_end(&mut self, end: Offset) {
        let (kind, reached, what) = match (self.stopped_at, self.point) {
            (Some(stopped), _) if end < stopped => (
                FindingKind::OffsetGap,
                stopped,
                format!("the log ends at {end}, it was closed at {stopped}"),
            ),
            (Some(stopped), _) if end > stopped => (
                FindingKind::State,
                end,
                format!("the log ends at {end}, it was closed at {stopped}"),
            ),
            (None, Some(point)) if end < point.offset => (
                FindingKind::OffsetGap,
                point.offset,
                format!("the log ends at {end}, {} was durable", point.offset),
            ),
            _ => return,
        };
        self.teller.find(Finding {
            kind,
            file: self.dir.to_owned(),
            position: None,
            bytes: 0,
            offsets: Some((end, reached)).filter(|_| kind.is_damage()),
            what,
        });
    }

    /// A segment's file and its length; nothing if retention has removed it meanwhile.
    fn open(&mut self, base: Offset) -> Result<Option<Readable>, LogError> {
        let path = SegmentFile::Log.path(self.dir, base);
        let file = match self.fs.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| self.unreadable(base, error))?,
        };
        let bytes = file.len().map_err(|error| self.unreadable(base, error))?;
        self.teller.segment(path, bytes);
        Ok(Some(Readable { file, bytes }))
    }

    /// The indexes of a segment; of one that is sealed they end with its length and its sum.
    fn indexes(&self, base: Offset, sealed: Option<(u64, u32)>) -> Result<IndexCheck, LogError> {
        let read = |kind| -> Result<Bytes, LogError> {
            let path = file_of(kind).path(self.dir, base);
            let bytes = read_whole(&**self.fs, &path, OpenMode::Read, INDEX_BYTES_MAX)?;
            Ok(bytes.unwrap_or_default())
        };
        let files = [read(IndexKind::Offset)?, read(IndexKind::Time)?];
        Ok(IndexCheck::new(base, files, sealed))
    }

    fn unreadable(&self, base: Offset, error: std::io::Error) -> LogError {
        LogError::io("read", &SegmentFile::Log.path(self.dir, base), error)
    }

    fn find_state(&mut self, name: &str, what: String) {
        self.teller.find(Finding {
            kind: FindingKind::State,
            file: self.dir.join(name),
            position: None,
            bytes: 0,
            offsets: None,
            what,
        });
    }

    fn find(
        &mut self,
        kind: FindingKind,
        file: SegmentFile,
        base: Offset,
        position: u64,
        what: String,
    ) {
        self.teller.find(Finding {
            kind,
            file: file.path(self.dir, base),
            position: Some(Position(position)),
            bytes: 0,
            offsets: None,
            what,
        });
    }

    fn find_bad(&mut self, base: Offset, bad: &BadRange, why: &str) {
        let bytes = bad.position_end - bad.position;
        let (kind, what) = if bytes == 0 {
            let what = format!("offsets {} to {} are missing", bad.first, bad.end);
            (FindingKind::OffsetGap, what)
        } else {
            let what = format!(
                "{bytes} bytes, which hold offsets {} to {}: {why}",
                bad.first, bad.end
            );
            (FindingKind::CorruptBatch, what)
        };
        self.teller.find(Finding {
            kind,
            file: SegmentFile::Log.path(self.dir, base),
            position: Some(Position(bad.position)),
            bytes,
            offsets: Some((bad.first, bad.end)),
            what,
        });
    }
}

/// A segment's file, and how long it was when it was opened.
struct Readable {
    file: Arc<dyn File>,
    bytes: u64,
}

/// Offsets that no byte is left of.
fn missing(first: Offset, end: Offset, position: u64) -> BadRange {
    BadRange {
        position,
        position_end: position,
        first,
        end,
        is_hole: false,
    }
}
