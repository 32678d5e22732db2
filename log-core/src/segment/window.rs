//! Finds batches by their headers in a copy of a segment's bytes.
//!
//! Floor 3 of log-core. Pure.
//!
//! Invariants
//! - Record bytes are not looked at: a batch's header says where the next one begins.

use bytes::Bytes;
use highwater_proto::batch::{BatchError, BatchHeader, HEADER_BYTES};

use crate::types::Offset;

/// A copy of a range of a segment that begins with a batch.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) position: u64,
    pub(crate) bytes: Bytes,
}

/// A batch in a window: its header, and where it begins in the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) at: usize,
    pub(crate) header: BatchHeader,
}

/// The answer of a search in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sought {
    Here(Placed),
    /// Further on: at least at this place in the window, where `expected` begins.
    Beyond {
        at: usize,
        expected: Offset,
    },
}

/// Consecutive batches in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where the run ends in the window.
    pub(crate) end: usize,
    /// The offset behind it.
    pub(crate) next: Offset,
}

impl Window {
    /// The window from `position` on, if it reaches so far.
    pub(crate) fn behind(&self, position: u64) -> Option<Self> {
        let at = usize::try_from(position.checked_sub(self.position)?).ok()?;
        (at < self.bytes.len()).then(|| Self {
            position,
            bytes: self.bytes.slice(at..),
        })
    }

    /// `length` bytes from `position` on, if the window holds them all.
    pub(crate) fn part(&self, position: u64, length: usize) -> Option<Bytes> {
        let window = self.behind(position)?;
        (length <= window.bytes.len()).then(|| window.bytes.slice(..length))
    }

    /// The batch at `at`, whose header the window must hold; it begins with `expected`.
    pub(crate) fn batch(&self, at: usize, expected: Offset) -> Result<Placed, BatchError> {
        let header = BatchHeader::parse(self.bytes.get(at..).unwrap_or_default())?;
        // No checksum covers the base offset: a rotten one must not say what stands here.
        if header.base_offset != expected.0 || header.last_offset_delta < 0 {
            return Err(BatchError::BadCount {
                last_offset_delta: header.last_offset_delta,
                records_count: header.records_count,
            });
        }
        Ok(Placed { at, header })
    }

    /// The batch that contains `offset`, or the first one behind it. The window's first byte is
    /// where `expected` begins.
    pub(crate) fn find(&self, expected: Offset, offset: Offset) -> Result<Sought, BatchError> {
        let (mut at, mut expected) = (0, expected);
        loop {
            if at > 0 && at + HEADER_BYTES > self.bytes.len() {
                return Ok(Sought::Beyond { at, expected });
            }
            let placed = self.batch(at, expected)?;
            if placed.header.last_offset() >= offset.0 {
                return Ok(Sought::Here(placed));
            }
            at += placed.header.total_bytes();
            expected = Offset(placed.header.last_offset()).plus(1);
        }
    }

    /// As many whole batches behind `run` as stand in the window, end at or before `end_max` and
    /// begin below `limit`.
    pub(crate) fn extend(&self, run: Run, end_max: usize, limit: Offset) -> Run {
        let end_max = end_max.min(self.bytes.len());
        let mut run = run;
        while run.next < limit {
            let Ok(placed) = self.batch(run.end, run.next) else {
                break;
            };
            let end = run.end + placed.header.total_bytes();
            if end > end_max {
                break;
            }
            run = Run {
                end,
                next: Offset(placed.header.last_offset()).plus(1),
            };
        }
        run
    }
}
