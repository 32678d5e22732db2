//! The readers' side of a log: cloned freely, never waits for the writer.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - A read gives whole batches, the first one containing the asked offset, and nothing at or
//!   above the asked mark. Record bytes are not parsed.
//! - Damage answers [`LogError::Corrupt`] for the offsets that it held, and for no other. What a
//!   repair gave up, and with `corrupt.read=skip` all of it, is passed over instead.
//! - Marks are loaded before the View, so that every offset below a mark is found in it.

mod keys;
mod scrub;
mod stream;
mod time;
mod walk;

use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use bytes::Bytes;

pub(crate) use self::keys::keys_of;
pub use self::scrub::{Scrub, Scrubbed};
pub use self::stream::{StreamAsk, StreamRecord, StreamSlice};
pub use self::time::TimeHit;
use crate::config::{CorruptRead, LogConfig, Verify};
use crate::error::LogError;
use crate::key_index::KeyIndex;
pub use crate::key_index::KeyIndexSize;
use crate::segment::{Ask, Piece};
use crate::types::{LeaderEpoch, Offset};
use crate::view::{CurrentView, Marks, View};

/// What the writer and the readers of a log share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: Arc<Path>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) view: CurrentView,
    /// `fetch.verify`, by [`verify_code`].
    pub(crate) verify: AtomicU8,
    /// `corrupt.read=skip`.
    pub(crate) skips_damage: AtomicBool,
    /// Where the records of each key are, once that is known, if it is to be.
    pub(crate) keys: OnceLock<Arc<KeyIndex>>,
    /// What its users have counted.
    pub(crate) produced_bytes: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) conflicts: AtomicU64,
}

impl Shared {
    /// Takes over what the policies say about reads.
    pub(crate) fn configure(&self, config: &LogConfig) {
        let skips_damage = config.corrupt_read == CorruptRead::Skip;
        self.verify
            .store(verify_code(config.fetch_verify), Ordering::Relaxed);
        self.skips_damage.store(skips_damage, Ordering::Relaxed);
    }
}

/// Reads a log.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// The mark that a read stops at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpTo {
    /// What consumers may see.
    Durable,
    /// Everything that is written: for internal readers.
    End,
}

/// What a read gives if even the first batch is larger than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    /// That batch all the same, so that every reader gets on.
    OneBatch,
    /// Nothing.
    None,
}

/// Whole batches, one behind another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The bytes, in as few pieces as segments and the limit allow.
    pub parts: Vec<Bytes>,
    /// The bytes of all parts.
    pub bytes: usize,
    /// The first offset of the first batch; without one the same as `next_offset`.
    pub first_offset: Offset,
    /// The offset to read next: behind the last batch, and behind damage that was passed over.
    pub next_offset: Offset,
}

/// One segment, for an overview of the log's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The first offset.
    pub base: Offset,
    /// The offset behind the last record.
    pub end: Offset,
    /// The size of the log file.
    pub bytes: u64,
    /// Whether it does not change any more.
    pub is_sealed: bool,
}

impl LogReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Reads whole batches, the one that contains `from` first, of at most `bytes_max` bytes
    /// together. It may stop short of the limit by an index interval. At the asked mark the
    /// answer is empty. Where damage is passed over, the first batch may begin behind `from`, and
    /// batches may not follow one another.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] for an offset below the start or above the end;
    /// [`LogError::Corrupt`] if the batch that holds it is damaged; the disk's.
    pub fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        up_to: UpTo,
        minimum: Minimum,
    ) -> Result<Slice, LogError> {
        let marks = &self.shared.marks;
        let (start, durable, end) = (marks.start(), marks.durable(), marks.end());
        if from < start || from > end {
            return Err(LogError::OutOfRange {
                asked: from,
                start,
                end,
            });
        }
        let limit = match up_to {
            UpTo::Durable => durable,
            UpTo::End => end,
        };
        let mut slice = Slice {
            parts: Vec::with_capacity(1),
            bytes: 0,
            first_offset: from,
            next_offset: from,
        };
        if from >= limit {
            return Ok(slice);
        }
        let view = self.shared.view.load();
        if from < view.first() {
            // Retention went on between the two loads.
            return Err(LogError::OutOfRange {
                asked: from,
                start: view.first(),
                end,
            });
        }
        let verify = self.verify();
        while slice.next_offset < limit {
            let is_first = slice.parts.is_empty();
            let ask = Ask {
                from: slice.next_offset,
                bytes_max: bytes_max - slice.bytes.min(bytes_max),
                at_least_one: is_first && minimum == Minimum::OneBatch,
                limit,
                verify,
            };
            match read_view(&view, &ask) {
                Ok(Some(piece)) => slice.add(piece),
                Ok(None) => break,
                Err(error) if self.pass_over(&view, &mut slice, limit, &error) => continue,
                // What is good is served; whoever asks for the next offset gets the error.
                Err(_) if !is_first => break,
                Err(error) => return Err(self.unless_deleted(from, error)),
            }
            // A piece that ends within its segment has used up the limit, or met damage.
            if slice.bytes >= bytes_max || !self.goes_on(&view, slice.next_offset) {
                break;
            }
        }
        Ok(slice)
    }

    /// `offset`, or the offset behind the damage that holds it and that reads pass over, as far as
    /// that is known.
    #[must_use]
    pub fn behind_gap(&self, offset: Offset) -> Offset {
        let view = self.shared.view.load();
        let skips_damage = self.skips_damage();
        let mut offset = offset;
        while let Some(end) = view.behind_gap(offset, skips_damage) {
            offset = end;
        }
        offset
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.shared.marks.start()
    }

    /// The offset that consumers may read up to.
    #[must_use]
    pub fn durable(&self) -> Offset {
        self.shared.marks.durable()
    }

    /// Below it a power cut takes nothing from the segment files.
    #[must_use]
    pub fn synced(&self) -> Offset {
        self.shared.marks.synced()
    }

    /// The next offset.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.shared.marks.end()
    }

    /// All marks.
    #[must_use]
    pub fn marks(&self) -> &Arc<Marks> {
        &self.shared.marks
    }

    /// Where `epoch` ended, as the protocol's OffsetForLeaderEpoch answers: see
    /// [`Epochs::end_of`](crate::epochs::Epochs::end_of).
    #[must_use]
    pub fn epoch_end(&self, epoch: i32) -> (i32, Offset) {
        let end = self.end();
        self.shared.view.load().epochs.end_of(epoch, end)
    }

    /// The epoch of the next append.
    #[must_use]
    pub fn current_epoch(&self) -> LeaderEpoch {
        self.shared.view.load().epochs.current()
    }

    /// The epoch of the record at `offset`; `None` below the log's first known epoch.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.shared.view.load().epochs.at(offset)
    }

    /// The size of all log files in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.bytes).sum()
    }

    /// Counts bytes that a producer sends to the log; nothing here depends on it.
    pub fn count_produced(&self, bytes: u64) {
        self.shared
            .produced_bytes
            .fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that a consumer gets from the log; nothing here depends on it.
    pub fn count_fetched(&self, bytes: u64) {
        self.shared
            .fetched_bytes
            .fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was counted since the log was opened: bytes produced, and bytes fetched.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (
            read(&self.shared.produced_bytes),
            read(&self.shared.fetched_bytes),
        )
    }

    /// Counts events that were appended to streams, under conditions or not.
    pub fn count_events(&self, count: u64) {
        self.shared.events.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts an append that was refused because a stream is not as expected.
    pub fn count_conflict(&self) {
        self.shared.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since the log was opened: events appended, and conflicts.
    #[must_use]
    pub fn counted_events(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.shared.events), read(&self.shared.conflicts))
    }

    /// How many ranges of the log are known to be damaged and not given up, whether a start, a
    /// check or a read found them.
    #[must_use]
    pub fn damaged_ranges(&self) -> usize {
        let view = self.shared.view.load();
        let sealed = view.sealed.iter().map(|sealed| sealed.bad().open_count());
        sealed.sum::<usize>() + view.active.bad().open_count()
    }

    /// The segments, in order; the last one is the active one.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let end = self.end();
        let view = self.shared.view.load();
        let sealed = view.sealed.iter().map(|sealed| SegmentInfo {
            base: sealed.info.base,
            end: sealed.info.end,
            bytes: sealed.info.bytes,
            is_sealed: true,
        });
        let active = SegmentInfo {
            base: view.active.base,
            end: end.max(view.active.base),
            bytes: view.active.written(),
            is_sealed: false,
        };
        sealed.chain([active]).collect()
    }

    /// Retention may remove a file between the look at the View and the first use of the file; it
    /// has moved the start before.
    fn unless_deleted(&self, from: Offset, error: LogError) -> LogError {
        let (start, end) = (self.start(), self.end());
        if from < start {
            LogError::OutOfRange {
                asked: from,
                start,
                end,
            }
        } else {
            error
        }
    }

    /// Whether more can be read behind a piece that ended at `next`.
    fn goes_on(&self, view: &View, next: Offset) -> bool {
        view.is_boundary(next) || view.behind_gap(next, self.skips_damage()).is_some()
    }

    /// Goes on behind the damage that answered with `error`, if that may be passed over.
    fn pass_over(&self, view: &View, slice: &mut Slice, limit: Offset, error: &LogError) -> bool {
        let is_damage = matches!(error, LogError::Corrupt { .. });
        let gap = view.behind_gap(slice.next_offset, self.skips_damage());
        match gap.filter(|_| is_damage) {
            Some(end) => slice.pass_over(end.min(limit)),
            None => return false,
        }
        true
    }

    fn skips_damage(&self) -> bool {
        self.shared.skips_damage.load(Ordering::Relaxed)
    }

    fn verify(&self) -> Verify {
        match self.shared.verify.load(Ordering::Relaxed) {
            ALWAYS => Verify::Always,
            NEVER => Verify::Never,
            _ => Verify::First,
        }
    }
}

impl Slice {
    /// Whether no batch was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Goes on at an offset that is above the last one: damage is never empty.
    fn pass_over(&mut self, end: Offset) {
        assert!(end > self.next_offset, "the damage held the offset");
        if self.parts.is_empty() {
            self.first_offset = end;
        }
        self.next_offset = end;
    }

    fn add(&mut self, piece: Piece) {
        if self.parts.is_empty() {
            self.first_offset = piece.first;
        }
        self.bytes += piece.bytes.len();
        self.next_offset = piece.next;
        self.parts.push(piece.bytes);
    }
}

/// Asks the segment that holds the offset.
fn read_view(view: &View, ask: &Ask) -> Result<Option<Piece>, LogError> {
    match view.sealed_slot(ask.from) {
        Some(slot) => view.sealed[slot].read(ask),
        None => view.active.read(ask),
    }
}

/// `fetch.verify` as a number that an atomic holds.
fn verify_code(verify: Verify) -> u8 {
    match verify {
        Verify::First => FIRST,
        Verify::Always => ALWAYS,
        Verify::Never => NEVER,
    }
}

const FIRST: u8 = 0;
const ALWAYS: u8 = 1;
const NEVER: u8 = 2;
