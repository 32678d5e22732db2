//! Compares the indexes of a segment with its batches while they are read.
//!
//! Floor 8 of log-core. Pure.
//!
//! Invariants
//! - Only the first disagreement of a segment counts: what follows it proves nothing.

use bytes::Bytes;

use crate::index_file::{self, ENTRY_BYTES, IndexKind};
use crate::offset_index::OffsetIndex;
use crate::segment::{Tally, relative};
use crate::time_index::TimeIndex;
use crate::types::Offset;

/// Both indexes of one segment, and how far they agree with it.
#[derive(Debug)]
pub(super) struct IndexCheck {
    base: Offset,
    offsets: OffsetIndex,
    times: TimeIndex,
    slot: usize,
    wrong: Option<(IndexKind, String)>,
}

impl IndexCheck {
    /// Takes the files' bytes. Those of a segment that is sealed say its length and its sum. Files
    /// of an older version are made anew by the next start.
    pub(super) fn new(base: Offset, files: [Bytes; 2], sealed: Option<(u64, u32)>) -> Self {
        let [offsets, times] = files;
        let offsets = index_file::parse(IndexKind::Offset, offsets);
        let times = index_file::parse(IndexKind::Time, times);
        let mut check = Self {
            base,
            offsets: OffsetIndex::decode(offsets.entries.clone()),
            times: TimeIndex::decode(times.entries.clone()),
            slot: 0,
            wrong: None,
        };
        let counts = [check.offsets.entries().len(), check.times.entries().len()];
        let kinds = [IndexKind::Offset, IndexKind::Time];
        let is_older = offsets.is_older || times.is_older;
        for ((kind, file), count) in kinds.into_iter().zip([offsets, times]).zip(counts) {
            if is_older {
                check.offsets = OffsetIndex::default();
                break;
            }
            if file.entries.len() / ENTRY_BYTES != count {
                check.disagree(
                    kind,
                    format!("entry {count} does not follow the one before it"),
                );
            }
            let Some(segment) = sealed else {
                continue;
            };
            match file.trailer {
                None => check.disagree(kind, "it has no end, and its segment is sealed".to_owned()),
                Some(trailer) if !trailer.is_of(segment) => {
                    let (told, bytes) = (trailer.segment_bytes, segment.0);
                    let why = match told == bytes {
                        true => "it is of another segment".to_owned(),
                        false => format!("it is of a segment of {told} bytes, not {bytes}"),
                    };
                    check.disagree(kind, why);
                }
                Some(_) => {}
            }
        }
        check
    }

    /// Compares the entry of the batch that begins behind `tally`, if it has one.
    pub(super) fn note(&mut self, tally: &Tally) {
        let slot = self.slot;
        let Some(entry) = self.offsets.entries().get(slot).copied() else {
            return;
        };
        if self.wrong.is_some() || tally.position < u64::from(entry.position) {
            return;
        }
        self.slot += 1;
        let offset = relative(self.base, tally.end);
        if tally.position > u64::from(entry.position) {
            let position = entry.position;
            let why = format!("entry {slot} names byte {position}, where no batch begins");
            self.disagree(IndexKind::Offset, why);
        } else if entry.offset != offset || entry.sum != tally.sum {
            let why = format!(
                "entry {slot} does not match the batch at byte {}",
                tally.position
            );
            self.disagree(IndexKind::Offset, why);
        } else if let Some(before) = slot.checked_sub(1) {
            let time = self.times.entries().get(before);
            let agrees = |time: &crate::time_index::TimeEntry| {
                let tally = (offset, tally.max_timestamp, tally.sum);
                (time.offset, time.timestamp, time.sum) == tally
            };
            if !time.is_some_and(agrees) {
                let why = format!(
                    "entry {before} does not match the batches up to {}",
                    tally.end
                );
                self.disagree(IndexKind::Time, why);
            }
        }
    }

    /// What is wrong, once the whole segment was read. One that is not sealed may have entries
    /// that a crash has left of batches that are gone.
    pub(super) fn verdict(mut self, is_sealed: bool) -> Option<(IndexKind, String)> {
        let count = self.offsets.entries().len();
        if is_sealed && self.slot < count {
            let why = format!("entry {} lies behind the last batch", self.slot);
            self.disagree(IndexKind::Offset, why);
        }
        self.wrong
    }

    fn disagree(&mut self, kind: IndexKind, why: String) {
        self.wrong.get_or_insert((kind, why));
    }
}
