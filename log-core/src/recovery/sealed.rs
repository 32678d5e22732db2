//! Opens the segments below the active one.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - A segment that the checkpoint names is not read, unless its file or an index is missing or
//!   has another length.
//! - Any other one was synced before the segment behind it was created, so that whatever is wrong
//!   in it is damage.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::Recovery;
use crate::checkpoint::{SealedInfo, read_whole};
use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};
use crate::index_file::{IndexKind, TRAILER_BYTES, parse_trailer};
use crate::segment::{
    BadRange, Indexes, Sealed, SegmentFile, Survey, file_of, sealed_info, write_whole,
};
use crate::types::Offset;

impl Recovery<'_> {
    /// Opens a sealed segment; the next one begins at `next`.
    pub(super) fn open_sealed(&mut self, base: Offset, next: Offset) -> Result<Sealed, LogError> {
        let Some(info) = self.noted(base) else {
            return self.open_unnoted(base, next);
        };
        let age_ms = self
            .checkpoint
            .written_ms
            .saturating_sub(info.last_append_ms)
            .max(0);
        let last_append_ms = self.now_ms - age_ms.saturating_add(self.stop_ms);
        let mut bad = self.noted_damage(base);
        let bytes = self.log_bytes(base)?;
        let is_short = bytes < info.bytes && bad.is_empty();
        if !is_short && self.has_index(&info)? {
            return Ok(self.finish_sealed(info, next, last_append_ms, bad));
        }
        let history = self.known_epochs();
        let survey = |file: &dyn File| Survey::of_sealed(file, &info, &bad, &history);
        let survey = self.survey(survey, base)?;
        let mut info = info;
        let is_known = survey.bad.is_empty() || survey.tally.sum == info.sum;
        if survey.has_news(&bad) || !is_known {
            // The sum that was noted covers bytes that are gone; from now on the sum of the rest
            // is what the index is compared with. An index that has the one sum must not be met
            // with a checkpoint that has the other: the next start makes it.
            info.sum = survey.tally.sum;
            self.report_damage(base, &survey.bad);
            forget_index(&**self.fs, self.dir, base)?;
            self.report.rebuilt_indexes += 1;
        } else {
            self.save_index(base, &survey.indexes, (info.bytes, info.sum))?;
        }
        bad = survey.bad;
        let sealed = self.finish_sealed(info, next, last_append_ms, bad);
        Ok(sealed.with_indexes(survey.indexes))
    }

    /// A segment that no checkpoint names: all of it is read.
    fn open_unnoted(&mut self, base: Offset, next: Offset) -> Result<Sealed, LogError> {
        self.is_changed = true;
        let bytes = self.log_bytes(base)?;
        let history = self.known_epochs();
        let noted = self.noted_damage(base);
        let survey = |file: &dyn File| Survey::of(file, base, bytes, next, &noted, &history);
        let survey = self.survey(survey, base)?;
        self.epochs.extend(survey.epochs.iter().copied());
        self.report_damage(base, &survey.bad);
        self.report.batches_scanned += survey.tally.batches;
        self.report.bytes_scanned += bytes;
        let segment = (survey.tally.position, survey.tally.sum);
        self.save_index(base, &survey.indexes, segment)?;
        let info = sealed_info(base, &survey.tally, self.now_ms);
        let sealed = self.finish_sealed(info, next, self.now_ms, survey.bad);
        Ok(sealed.with_indexes(survey.indexes))
    }

    /// Batches that are missing between this segment and the next are damage of this one.
    fn finish_sealed(
        &mut self,
        info: SealedInfo,
        next: Offset,
        last_append_ms: i64,
        mut bad: Vec<BadRange>,
    ) -> Sealed {
        let mut info = info;
        if info.end < next {
            let missing = BadRange {
                position: info.bytes,
                position_end: info.bytes,
                first: info.end,
                end: next,
                is_hole: false,
            };
            self.report_damage(info.base, &[missing]);
            bad.push(missing);
            info.end = next;
        }
        Sealed::new(
            Arc::clone(self.fs),
            Arc::clone(self.dir),
            info,
            last_append_ms,
            bad,
        )
    }

    /// Whether both index files end as this segment was sealed. Their entries are checked when
    /// they are loaded.
    fn has_index(&self, info: &SealedInfo) -> Result<bool, LogError> {
        for kind in [IndexKind::Offset, IndexKind::Time] {
            let path = file_of(kind).path(self.dir, info.base);
            let tail = match self.fs.open(&path, OpenMode::Read) {
                Ok(file) => read_tail(&*file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => Err(error),
            };
            let tail = tail.map_err(|error| LogError::io("read", &path, error))?;
            if !parse_trailer(tail).is_some_and(|trailer| trailer.is_of((info.bytes, info.sum))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes and syncs the indexes of a segment that was read.
    pub(super) fn save_index(
        &mut self,
        base: Offset,
        indexes: &Indexes,
        segment: (u64, u32),
    ) -> Result<(), LogError> {
        self.report.rebuilt_indexes += 1;
        // A power cut would take names that nobody synced, and the next start read it all again.
        self.is_changed = true;
        let files = indexes.sealed_files(segment);
        for (kind, bytes) in [IndexKind::Offset, IndexKind::Time].into_iter().zip(files) {
            write_whole(&**self.fs, &file_of(kind).path(self.dir, base), &bytes)?;
        }
        Ok(())
    }

    pub(super) fn survey(
        &self,
        read: impl FnOnce(&dyn File) -> io::Result<Survey>,
        base: Offset,
    ) -> Result<Survey, LogError> {
        let path = SegmentFile::Log.path(self.dir, base);
        let mode = if self.from.clean {
            OpenMode::Read
        } else {
            OpenMode::Recover
        };
        let file = self.fs.open(&path, mode);
        file.and_then(|file| read(&*file))
            .map_err(|error| LogError::io("read", &path, error))
    }

    /// The whole of an index file; `None` if there is none.
    pub(super) fn index_bytes(
        &self,
        kind: IndexKind,
        base: Offset,
    ) -> Result<Option<Bytes>, LogError> {
        let path = file_of(kind).path(self.dir, base);
        // It is a cache, whatever a power cut leaves of it.
        read_whole(&**self.fs, &path, OpenMode::Read, INDEX_BYTES_MAX)
    }
}

/// Removes both indexes of a segment, durably.
pub(crate) fn forget_index(fs: &dyn Fs, dir: &Path, base: Offset) -> Result<(), LogError> {
    for kind in [IndexKind::Offset, IndexKind::Time] {
        let path = file_of(kind).path(dir, base);
        match fs.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::io("remove", &path, error));
            }
            _ => {}
        }
    }
    fs.sync_dir(dir)
        .map_err(|error| LogError::io("sync", dir, error))
}

/// The last bytes of an index file, as many as a trailer has.
fn read_tail(file: &dyn File) -> io::Result<Bytes> {
    let position = file.len()?.saturating_sub(TRAILER_BYTES as u64);
    file.read_at(position, TRAILER_BYTES)
}

/// Room for an entry per batch header of the largest segment.
pub(crate) const INDEX_BYTES_MAX: u64 = 1 << 30;
