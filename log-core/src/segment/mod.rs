//! One segment of a log: a file of batches and the sparse indexes beside it.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - Batches stand one behind another without a gap, in bytes and in offsets; leader epochs never
//!   fall.
//! - Sealed bytes never change. Only the last segment of a log is active.
//! - Record bytes are never parsed on the way to a reader; what is checked is checked on copies.

mod active;
mod check;
mod scan;
mod sealed;
mod survey;
mod window;
mod witness;

use std::path::{Path, PathBuf};

use highwater_proto::batch::BatchHeader;

pub(crate) use self::active::{
    Active, ActiveWriter, RecoveredSegment, SavedIndex, Stored, WriteFailed, file_of, write_whole,
};
pub(crate) use self::check::{BadRange, BadRanges, Boundary, Checked, assess, batch_at};
pub(crate) use self::scan::{Check, Found, Scan, find_behind_damage, find_valid};
pub(crate) use self::sealed::Sealed;
pub(crate) use self::survey::{Extent, Survey};
use crate::checkpoint::SealedInfo;
use crate::error::LogError;
use crate::index_file::{IndexKind, Trailer, frame, trailer_frame};
use crate::offset_index::{IndexEntry, OffsetIndex};
use crate::time_index::{TimeEntry, TimeIndex};
use crate::types::{Offset, Position};

/// The bytes of a batch that the running sum covers: the prefix and the magic, which no CRC
/// guards, and the CRC-32C that guards the rest.
pub(crate) const SUMMED_BYTES: usize = 21;

/// What a segment holds so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) end: Offset,
    pub(crate) position: u64,
    pub(crate) sum: u32,
    pub(crate) batches: u64,
    /// `i64::MIN` without a batch.
    pub(crate) max_timestamp: i64,
}

impl Tally {
    /// A segment without a batch.
    pub(crate) fn empty(base: Offset) -> Self {
        Self {
            end: base,
            position: 0,
            sum: 0,
            batches: 0,
            max_timestamp: i64::MIN,
        }
    }

    /// Counts one batch, whose first [`SUMMED_BYTES`] are `head` as they stand in the file.
    pub(crate) fn add(&mut self, header: &BatchHeader, end: Offset, head: [u8; SUMMED_BYTES]) {
        self.end = end;
        self.position += header.total_bytes() as u64;
        self.sum = sum_after(self.sum, head);
        self.batches += 1;
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }
}

/// The running sum behind one more batch.
pub(crate) fn sum_after(sum: u32, head: [u8; SUMMED_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(sum);
    crc.update(&head);
    crc.finalize()
}

/// The first [`SUMMED_BYTES`] of a stored batch, if it has as many.
pub(crate) fn head_of(batch: &[u8]) -> Option<[u8; SUMMED_BYTES]> {
    batch.first_chunk().copied()
}

/// Both indexes of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Indexes {
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
}

impl Indexes {
    /// Notes that a batch begins where `tally` ends; says whether it began an interval.
    pub(crate) fn note(&mut self, base: Offset, tally: &Tally, interval_bytes: u32) -> bool {
        let begins = self.offsets.entries().last().is_none_or(|last| {
            tally.position - u64::from(last.position) >= u64::from(interval_bytes)
        });
        if begins {
            let offset = relative(base, tally.end);
            let position = u32::try_from(tally.position).expect("a segment is below 4 GiB");
            if !self.offsets.entries().is_empty() {
                self.times.push(TimeEntry {
                    timestamp: tally.max_timestamp,
                    offset,
                    sum: tally.sum,
                });
            }
            self.offsets.push(IndexEntry {
                offset,
                position,
                sum: tally.sum,
            });
        }
        begins
    }

    /// Takes what was loaded from two files, as far as it belongs together and lies below
    /// `position`.
    pub(crate) fn below(offsets: OffsetIndex, times: TimeIndex, position: u64) -> Self {
        let mut indexes = Self { offsets, times };
        indexes.offsets.cut_to(position);
        let behind_first = indexes.offsets.entries().iter().skip(1);
        let pairs = behind_first.zip(indexes.times.entries());
        let agreed = pairs
            .take_while(|(entry, time)| (entry.offset, entry.sum) == (time.offset, time.sum))
            .count();
        indexes.offsets.truncate(agreed + 1);
        indexes.times.truncate(agreed);
        indexes
    }

    /// The whole files of a sealed segment with its length and its sum, offsets first.
    pub(crate) fn sealed_files(&self, (segment_bytes, segment_sum): (u64, u32)) -> [Vec<u8>; 2] {
        let file = |kind, entries: bytes::Bytes, count: usize| {
            let trailer = Trailer {
                entries: count as u64,
                segment_bytes,
                segment_sum,
            };
            [frame(kind, &entries), trailer_frame(trailer)].concat()
        };
        [
            file(
                IndexKind::Offset,
                self.offsets.encode_from(0),
                self.offsets.entries().len(),
            ),
            file(
                IndexKind::Time,
                self.times.encode_from(0),
                self.times.entries().len(),
            ),
        ]
    }
}

/// `offset` counted from the segment's first one. The roll keeps it below 2^32.
pub(crate) fn relative(base: Offset, offset: Offset) -> u32 {
    u32::try_from(offset.0.saturating_sub(base.0).max(0)).unwrap_or(u32::MAX)
}

/// What a read of one segment gives.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Whole batches.
    pub(crate) bytes: bytes::Bytes,
    /// The first offset of the first batch.
    pub(crate) first: Offset,
    /// The offset behind the last batch.
    pub(crate) next: Offset,
}

/// What a reader asks one segment for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// The batch that contains this offset comes first.
    pub(crate) from: Offset,
    pub(crate) bytes_max: usize,
    /// Whether the first batch comes even if it is larger than `bytes_max`.
    pub(crate) at_least_one: bool,
    /// Batches at or above are not readable yet. Matters in the active segment only: a sealed
    /// one is synced.
    pub(crate) limit: Offset,
    pub(crate) verify: crate::config::Verify,
}

/// The three files of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SegmentFile {
    Log,
    Index,
    TimeIndex,
}

impl SegmentFile {
    pub(crate) const ALL: [Self; 3] = [Self::Log, Self::Index, Self::TimeIndex];

    const fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Index => "index",
            Self::TimeIndex => "timeindex",
        }
    }

    /// The file's path; its name is the segment's first offset in 20 digits, as Kafka's.
    pub(crate) fn path(self, dir: &Path, base: Offset) -> PathBuf {
        dir.join(format!("{:020}.{}", base.0, self.extension()))
    }

    /// What a file's name says.
    pub(crate) fn parse(name: &str) -> Option<(Offset, Self)> {
        let (digits, extension) = name.split_once('.')?;
        let kind = Self::ALL
            .into_iter()
            .find(|kind| kind.extension() == extension)?;
        let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        Some((Offset(digits.parse().ok().filter(|_| is_ours)?), kind))
    }
}

/// A damaged batch, as an error for whoever asked for it.
pub(crate) fn corrupt(dir: &Path, base: Offset, position: u64, why: impl Into<String>) -> LogError {
    LogError::Corrupt {
        file: SegmentFile::Log.path(dir, base),
        position: Position(position),
        why: why.into(),
    }
}

/// Says in the log of the process what a look at an interval found.
pub(crate) fn report(dir: &Path, base: Offset, found: &[BadRange]) {
    for bad in found {
        tracing::error!(
            file = %SegmentFile::Log.path(dir, base).display(),
            position = bad.position,
            first = bad.first.0,
            end = bad.end.0,
            "stored batches are damaged"
        );
    }
}

/// The checkpoint's line about a segment that ends with `tally`.
pub(crate) fn sealed_info(base: Offset, tally: &Tally, last_append_ms: i64) -> SealedInfo {
    SealedInfo {
        base,
        end: tally.end,
        bytes: tally.position,
        batches: tally.batches,
        max_timestamp: tally.max_timestamp,
        last_append_ms,
        sum: tally.sum,
    }
}

#[cfg(test)]
mod tests;
