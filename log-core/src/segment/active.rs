//! The segment that is being written, as its readers see it.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - `written` rises only after the bytes are in the file and in the index, so that a reader never
//!   sees a place that is not there.
//! - Readers get copies. Intervals are checked in the copy at hand if it holds them whole; of the
//!   one that still grows, what was not checked yet.

#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use highwater_proto::batch::HEADER_BYTES;

pub(crate) use self::writer::{
    ActiveWriter, RecoveredSegment, SavedIndex, Stored, WriteFailed, file_of, write_whole,
};
use super::window::{Placed, Run, Sought, Window};
use super::{
    Ask, BadRanges, Boundary, Checked, Indexes, Piece, SegmentFile, assess, batch_at, corrupt,
    relative, report,
};
use crate::config::Verify;
use crate::error::LogError;
use crate::fs::File;
use crate::types::Offset;

/// What readers see of the active segment.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) base: Offset,
    dir: Arc<Path>,
    file: Arc<dyn File>,
    /// Bytes that are written and indexed.
    written: AtomicU64,
    index: RwLock<ActiveIndex>,
    /// Where the segment ended when it was opened, and the running sum there.
    opened: Boundary,
    /// Up to where the last interval was checked, from its begin on.
    tail_checked: AtomicU64,
    bad: BadRanges,
}

#[derive(Debug)]
struct ActiveIndex {
    indexes: Indexes,
    checked: Checked,
}

/// An interval: where it begins, and where it ends if it does not grow any more.
#[derive(Clone, Copy, Debug)]
struct Interval {
    slot: usize,
    from: Boundary,
    to: Option<Boundary>,
}

impl Active {
    /// The file that readers share with the writer.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Bytes that readers may look at.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// The damage that is known.
    pub(crate) fn bad(&self) -> &BadRanges {
        &self.bad
    }

    /// Where the interval begins that holds `offset`.
    pub(crate) fn interval_of(&self, offset: Offset) -> Option<Boundary> {
        let index = self.index();
        let slot = index.indexes.offsets.floor(relative(self.base, offset))?;
        Some(self.interval(&index, slot).from)
    }

    /// Where the interval begins that holds the first batch to reach `timestamp`, if one does.
    pub(crate) fn interval_reaching(&self, timestamp: i64) -> Option<Boundary> {
        let index = self.index();
        let behind = index.indexes.times.reached_before(timestamp);
        let slot = index
            .indexes
            .offsets
            .floor(behind.map_or(u32::MAX, |offset| offset - 1))?;
        Some(self.interval(&index, slot).from)
    }

    /// Where the next interval begins behind `position`.
    pub(crate) fn interval_behind(&self, position: u64) -> Option<Boundary> {
        let index = self.index();
        let slot = index
            .indexes
            .offsets
            .floor_position(u32::try_from(position).ok()?)?
            + 1;
        let entry = index.indexes.offsets.entries().get(slot)?;
        Some(Boundary::of_entry(self.base, entry))
    }

    /// Reads whole batches below the limit.
    pub(crate) fn read(&self, ask: &Ask) -> Result<Option<Piece>, LogError> {
        if let Some(bad) = self.bad.noted_at(ask.from) {
            return Err(self.corrupt(bad.position));
        }
        let written = self.written();
        let interval = {
            let index = self.index();
            let slot = index.indexes.offsets.floor(relative(self.base, ask.from));
            match slot {
                Some(slot) => self.interval(&index, slot),
                None => return Ok(None),
            }
        };
        let from = self.bad.search_from(interval.from, ask.from);
        let window = self.window_of(interval, from, ask, written)?;
        self.check(interval, ask.verify, &window)?;
        if let Some(bad) = self.bad.at(ask.from) {
            return Err(self.corrupt(bad.position));
        }
        let (window, placed) = self.find(interval, ask, written, window)?;
        let first_bytes = placed.header.total_bytes();
        let is_readable = placed.header.base_offset < ask.limit.0;
        if !is_readable || (first_bytes > ask.bytes_max && !ask.at_least_one) {
            return Ok(None);
        }
        let (window, at) = if placed.at + first_bytes > window.bytes.len() {
            let position = window.position + placed.at as u64;
            (
                self.window(position, first_bytes.max(ask.bytes_max), written)?,
                0,
            )
        } else {
            (window, placed.at)
        };
        let next = Offset(placed.header.last_offset()).plus(1);
        let run = Run {
            end: at + first_bytes,
            next,
        };
        if run.end > window.bytes.len() {
            return Err(self.corrupt(window.position + at as u64));
        }
        let run = window.extend(run, at.saturating_add(ask.bytes_max), ask.limit);
        let first = Offset(placed.header.base_offset);
        self.checked_piece(&window, at, first, run, ask.verify)
            .map(Some)
    }

    /// What is read to find the asked offset, which stands at `from` or behind it.
    fn window_of(
        &self,
        interval: Interval,
        from: Boundary,
        ask: &Ask,
        written: u64,
    ) -> Result<Window, LogError> {
        let end = interval.to.map_or(written, |to| to.position);
        // The interval may begin with other batches; one read brings in both.
        let lead = match from.offset == ask.from {
            true => 0,
            false => usize::try_from(end.saturating_sub(from.position)).unwrap_or(usize::MAX),
        };
        let bytes = lead.min(LEAD_BYTES_MAX) + ask.bytes_max.clamp(HEADER_BYTES, READ_BYTES_MAX);
        self.window(from.position, bytes, written)
    }

    /// The batch that contains the asked offset, in a window that holds what follows, too: in the
    /// one at hand, or in one further on.
    fn find(
        &self,
        interval: Interval,
        ask: &Ask,
        written: u64,
        at_hand: Window,
    ) -> Result<(Window, Placed), LogError> {
        // The check may have found damage to be passed over.
        let mut from = self.bad.search_from(interval.from, ask.from);
        let at_hand = at_hand.behind(from.position);
        let mut at_hand = at_hand.filter(|window| window.bytes.len() >= HEADER_BYTES);
        loop {
            let window = match at_hand.take() {
                Some(window) => window,
                None => self.window_of(interval, from, ask, written)?,
            };
            match window.find(from.offset, ask.from) {
                Ok(Sought::Here(placed)) => return Ok((window, placed)),
                Ok(Sought::Beyond { at, expected }) => {
                    from.position += at as u64;
                    from.offset = expected;
                }
                Err(_) => return Err(self.corrupt(from.position)),
            }
        }
    }

    /// Checks what was not checked yet of the batches found, and ends them before damage.
    fn checked_piece(
        &self,
        window: &Window,
        at: usize,
        first: Offset,
        run: Run,
        verify: Verify,
    ) -> Result<Piece, LogError> {
        let start = window.position + at as u64;
        let (mut end, mut next) = (window.position + run.end as u64, run.next);
        if verify != Verify::Never {
            let tail = self.check_range(start, end, verify, window)?;
            let good = tail.and_then(|tail| self.check_tail(window, at, first, run, tail, verify));
            (end, next) = good.unwrap_or((end, next));
        }
        if let Some(bad) = self.bad.within(start, end) {
            (end, next) = (bad.position, bad.first);
        }
        if end <= start {
            return Err(self.corrupt(start));
        }
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        Ok(Piece {
            bytes: window.bytes.slice(at..at + length),
            first,
            next,
        })
    }

    /// Checks the intervals that `[start, end)` touches. Answers where the growing one
    /// begins, if it is among them.
    fn check_range(
        &self,
        start: u64,
        end: u64,
        verify: Verify,
        at_hand: &Window,
    ) -> Result<Option<u64>, LogError> {
        let [start, last] = [start, end - 1].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        let slots = {
            let index = self.index();
            let offsets = &index.indexes.offsets;
            offsets
                .floor_position(start)
                .zip(offsets.floor_position(last))
        };
        let Some((first, last)) = slots else {
            return Ok(None);
        };
        for slot in first..=last {
            let interval = self.interval(&self.index(), slot);
            self.check(interval, verify, at_hand)?;
            if interval.to.is_none() {
                return Ok(Some(interval.from.position));
            }
        }
        Ok(None)
    }

    /// Checks an interval at its first read: all of it if it does not grow any more, else what it
    /// held when the segment was opened. What the window at hand does not hold whole is read.
    fn check(&self, interval: Interval, verify: Verify, at_hand: &Window) -> Result<(), LogError> {
        let Interval { slot, from, to } = interval;
        let is_closed = to.is_some();
        let to = to.unwrap_or(self.opened);
        let is_due = match verify {
            Verify::Never => false,
            Verify::Always => true,
            Verify::First if is_closed => !self.index().checked.has(slot),
            Verify::First => self.tail_checked.load(Ordering::Acquire) < to.position,
        };
        if !is_due || to.position <= from.position {
            return Ok(());
        }
        let length = usize::try_from(to.position - from.position).unwrap_or(usize::MAX);
        let bytes = match at_hand.part(from.position, length) {
            Some(bytes) => bytes,
            None => self.window(from.position, length, to.position)?.bytes,
        };
        let found = assess(&bytes, from, to, &self.bad.noted());
        let outcome = self.bad.replace(from, to, &found);
        if outcome.is_news {
            report(&self.dir, self.base, &found);
        }
        if outcome.is_settled && is_closed {
            self.index().checked.set(slot);
        } else if outcome.is_settled {
            self.tail_checked.fetch_max(to.position, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Checks the batches of the interval that begins at `tail` and grows, in the copy at hand.
    /// Answers where the good ones end, if that is before the end of the run.
    fn check_tail(
        &self,
        window: &Window,
        at: usize,
        first: Offset,
        run: Run,
        tail: u64,
        verify: Verify,
    ) -> Option<(u64, Offset)> {
        let seen = self.tail_checked.load(Ordering::Acquire).max(tail);
        let skip_to = if verify == Verify::Always { tail } else { seen };
        let start = window.position + at as u64;
        let (mut at, mut expected) = (at, first);
        while at < run.end {
            let position = window.position + at as u64;
            let header = if position < skip_to {
                window.batch(at, expected).ok().map(|placed| placed.header)
            } else {
                batch_at(&window.bytes[at..run.end], expected)
            };
            let Some(header) = header else {
                return Some((position, expected));
            };
            at += header.total_bytes();
            expected = Offset(header.last_offset()).plus(1);
        }
        if start <= seen {
            self.tail_checked
                .fetch_max(window.position + run.end as u64, Ordering::AcqRel);
        }
        None
    }

    fn window(&self, position: u64, bytes: usize, written: u64) -> Result<Window, LogError> {
        let left = usize::try_from(written.saturating_sub(position)).unwrap_or(usize::MAX);
        let read = self.file.read_at(position, bytes.min(left));
        let path = || SegmentFile::Log.path(&self.dir, self.base);
        let bytes = read.map_err(|error| LogError::io("read", &path(), error))?;
        Ok(Window { position, bytes })
    }

    fn index(&self) -> RwLockReadGuard<'_, ActiveIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The interval in `slot`, which the caller found under the same lock.
    fn interval(&self, index: &ActiveIndex, slot: usize) -> Interval {
        let entries = index.indexes.offsets.entries();
        let to = entries
            .get(slot + 1)
            .map(|entry| Boundary::of_entry(self.base, entry));
        Interval {
            slot,
            from: Boundary::of_entry(self.base, &entries[slot]),
            to,
        }
    }

    fn corrupt(&self, position: u64) -> LogError {
        corrupt(
            &self.dir,
            self.base,
            position,
            "the batch is not what was written",
        )
    }
}

/// The most that is read of what lies before the asked batch in its interval at once.
const LEAD_BYTES_MAX: usize = 64 << 10;
/// The most that one read brings in; whoever asks for more gets the rest by the next read.
const READ_BYTES_MAX: usize = 16 << 20;
