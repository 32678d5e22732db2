//! A segment that does not change any more.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - Every byte is durable. Readers get pieces of a map, which is dropped with the last of them;
//!   whatever looks at the bytes looks at copies.
//! - An index is loaded at the first read, and taken only if its envelopes, its trailer and its
//!   order agree with the checkpoint. Otherwise it is rebuilt from the log, and what the segment's
//!   sum does not vouch for is damage: an index made from rotten headers would bless them.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use highwater_proto::batch::HEADER_BYTES;

use super::window::{Placed, Run, Sought, Window};
use super::{
    Ask, BadRange, BadRanges, Boundary, Checked, Indexes, Piece, SegmentFile, Survey, assess,
    corrupt, relative, report,
};
use crate::checkpoint::{SealedInfo, read_whole};
use crate::config::Verify;
use crate::epochs::Epochs;
use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};
use crate::index_file::{self, IndexKind};
use crate::offset_index::OffsetIndex;
use crate::time_index::TimeIndex;
use crate::types::Offset;

/// A sealed segment, shared by all Views that hold it.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) info: SealedInfo,
    /// When its last batch was appended, in the log's own monotonic milliseconds.
    pub(crate) last_append_ms: i64,
    fs: Arc<dyn Fs>,
    dir: Arc<Path>,
    indexes: OnceLock<SealedIndexes>,
    file: OnceLock<Arc<dyn File>>,
    map: OnceLock<Arc<dyn File>>,
    /// One thread loads, the others wait for it.
    loading: Mutex<()>,
    bad: BadRanges,
}

/// The indexes of a sealed segment, and which of its intervals were looked at.
#[derive(Debug)]
struct SealedIndexes {
    indexes: Indexes,
    checked: Checked,
    /// The running sum behind the last batch, as the entries continue it.
    sum: u32,
}

impl SealedIndexes {
    fn new(indexes: Indexes, sum: u32) -> Self {
        let mut checked = Checked::default();
        checked.grow(indexes.offsets.entries().len());
        Self {
            indexes,
            checked,
            sum,
        }
    }

    /// The interval in `slot`, if there is one.
    fn begin(&self, base: Offset, slot: usize) -> Option<Boundary> {
        Some(Boundary::of_entry(
            base,
            self.indexes.offsets.entries().get(slot)?,
        ))
    }
}

impl Sealed {
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: Arc<Path>,
        info: SealedInfo,
        last_append_ms: i64,
        bad: Vec<BadRange>,
    ) -> Self {
        Self {
            info,
            last_append_ms,
            fs,
            dir,
            indexes: OnceLock::new(),
            file: OnceLock::new(),
            map: OnceLock::new(),
            loading: Mutex::new(()),
            bad: BadRanges::new(bad),
        }
    }

    /// Hands over indexes that need not be loaded.
    #[must_use]
    pub(crate) fn with_indexes(self, indexes: Indexes) -> Self {
        let indexes = SealedIndexes::new(indexes, self.info.sum);
        Self {
            indexes: OnceLock::from(indexes),
            ..self
        }
    }

    /// The damage that is known.
    pub(crate) fn bad(&self) -> &BadRanges {
        &self.bad
    }

    /// The file, for copies.
    pub(crate) fn file(&self) -> Result<&Arc<dyn File>, LogError> {
        self.opened(&self.file, OpenMode::Read)
    }

    /// Reads the whole segment from the disk, over the damage that is noted.
    pub(crate) fn survey(&self, history: &Epochs) -> Result<(Arc<dyn File>, Survey), LogError> {
        let file = self.reopened()?;
        let survey = Survey::of_sealed(&*file, &self.info, &self.bad.noted(), history);
        let survey = survey.map_err(|error| self.io("read", error))?;
        Ok((file, survey))
    }

    /// The file, opened so that reads come from the disk and not from what is cached.
    pub(crate) fn reopened(&self) -> Result<Arc<dyn File>, LogError> {
        let path = SegmentFile::Log.path(&self.dir, self.info.base);
        let file = self.fs.open(&path, OpenMode::Recover);
        file.map_err(|error| self.io("open", error))
    }

    /// Checks one interval as `file` has it: its bytes, and whether they are what was written, but
    /// for the damage that is noted. `None` behind the last interval.
    pub(crate) fn scrub(
        &self,
        file: &dyn File,
        slot: usize,
    ) -> Result<Option<(u64, bool)>, LogError> {
        let indexes = self.indexes()?;
        let Some((from, to)) = self.interval(indexes, slot) else {
            return Ok(None);
        };
        let length = usize::try_from(to.position - from.position).unwrap_or(usize::MAX);
        let bytes = file.read_at(from.position, length);
        let bytes = bytes.map_err(|error| self.io("read", error))?;
        let is_right = assess(&bytes, from, to, &self.bad.noted()).is_empty();
        Ok(Some((length as u64, is_right)))
    }

    /// Where the interval begins that holds `offset`.
    pub(crate) fn interval_of(&self, offset: Offset) -> Result<Option<Boundary>, LogError> {
        let indexes = self.indexes()?;
        let slot = indexes
            .indexes
            .offsets
            .floor(relative(self.info.base, offset));
        Ok(slot.and_then(|slot| indexes.begin(self.info.base, slot)))
    }

    /// Where the interval begins that holds the first batch to reach `timestamp`, if one does.
    pub(crate) fn interval_reaching(&self, timestamp: i64) -> Result<Option<Boundary>, LogError> {
        let indexes = self.indexes()?;
        let behind = indexes.indexes.times.reached_before(timestamp);
        let slot = indexes
            .indexes
            .offsets
            .floor(behind.map_or(u32::MAX, |offset| offset - 1));
        Ok(slot.and_then(|slot| indexes.begin(self.info.base, slot)))
    }

    /// Where the next interval begins behind `position`.
    pub(crate) fn interval_behind(&self, position: u64) -> Result<Option<Boundary>, LogError> {
        let indexes = self.indexes()?;
        let slot = indexes
            .indexes
            .offsets
            .floor_position(position_u32(position));
        Ok(slot.and_then(|slot| indexes.begin(self.info.base, slot + 1)))
    }

    /// Reads whole batches, as a piece of the map.
    pub(crate) fn read(&self, ask: &Ask) -> Result<Option<Piece>, LogError> {
        if let Some(bad) = self.bad.noted_at(ask.from) {
            return Err(self.corrupt(bad.position));
        }
        let indexes = self.indexes()?;
        let slot = indexes
            .indexes
            .offsets
            .floor(relative(self.info.base, ask.from));
        if let Some(slot) = slot {
            self.check(indexes, slot, ask.verify)?;
        }
        if let Some(bad) = self.bad.at(ask.from) {
            return Err(self.corrupt(bad.position));
        }
        let Some(from) = slot.and_then(|slot| indexes.begin(self.info.base, slot)) else {
            return Ok(None);
        };
        let Some((start, first)) = self.find(from, ask.from)? else {
            return Ok(None);
        };
        let Some((end, next)) = self.end_of_read(indexes, start, first, ask)? else {
            return Ok(None);
        };
        self.checked_piece(indexes, (start, first), (end, next), ask.verify)
            .map(Some)
    }

    /// Where the batch begins that contains `offset`.
    fn find(&self, from: Boundary, offset: Offset) -> Result<Option<(u64, Offset)>, LogError> {
        if from.offset == offset {
            return Ok(Some((from.position, offset)));
        }
        let from = self.bad.search_from(from, offset);
        let (mut position, mut expected) = (from.position, from.offset);
        while position < self.info.bytes {
            let window = self.window(position, SEARCH_BYTES)?;
            if window.bytes.len() < HEADER_BYTES {
                return Err(self.corrupt(position));
            }
            match window.find(expected, offset) {
                Ok(Sought::Here(Placed { at, header })) => {
                    return Ok(Some((position + at as u64, Offset(header.base_offset))));
                }
                Ok(Sought::Beyond { at, expected: next }) => {
                    position += at as u64;
                    expected = next;
                }
                Err(_) => return Err(self.corrupt(position)),
            }
        }
        Ok(None)
    }

    /// Where a read that starts at `start` ends: at the last interval that begins within the limit
    /// if there is one behind the start, else at the last batch that fits.
    fn end_of_read(
        &self,
        indexes: &SealedIndexes,
        start: u64,
        first: Offset,
        ask: &Ask,
    ) -> Result<Option<(u64, Offset)>, LogError> {
        let end_max = start.saturating_add(ask.bytes_max as u64);
        if end_max >= self.info.bytes {
            return Ok(Some((self.info.bytes, self.last_offset_held())));
        }
        let slot = indexes
            .indexes
            .offsets
            .floor_position(position_u32(end_max));
        let end = slot.and_then(|slot| indexes.begin(self.info.base, slot));
        if let Some(end) = end.filter(|end| end.position > start) {
            return Ok(Some((end.position, end.offset)));
        }
        self.last_that_fits(start, first, end_max, ask.at_least_one)
    }

    /// Where the last batch from `start` on ends that ends within `end_max`; headers only are read.
    fn last_that_fits(
        &self,
        start: u64,
        first: Offset,
        end_max: u64,
        at_least_one: bool,
    ) -> Result<Option<(u64, Offset)>, LogError> {
        let mut fitting = None;
        let (mut position, mut expected) = (start, first);
        while position < end_max || fitting.is_none() {
            let window = self.window(position, SEARCH_BYTES)?;
            let Ok(placed) = window.batch(0, expected) else {
                return if fitting.is_some() {
                    Ok(fitting)
                } else {
                    Err(self.corrupt(start))
                };
            };
            let next = Offset(placed.header.last_offset()).plus(1);
            let end = position + placed.header.total_bytes() as u64;
            if end > end_max {
                let is_wanted = fitting.is_none() && at_least_one;
                return Ok(if is_wanted {
                    Some((end, next))
                } else {
                    fitting
                });
            }
            // Small batches share a window.
            let run = Run {
                end: placed.header.total_bytes(),
                next,
            };
            let room = usize::try_from(end_max - position).unwrap_or(usize::MAX);
            let run = window.extend(run, room, self.info.end);
            (position, expected) = (position + run.end as u64, run.next);
            fitting = Some((position, expected));
        }
        Ok(fitting)
    }

    /// The bytes `[start, end)`, checked where they were not yet, ended before damage.
    fn checked_piece(
        &self,
        indexes: &SealedIndexes,
        (start, first): (u64, Offset),
        (mut end, mut next): (u64, Offset),
        verify: Verify,
    ) -> Result<Piece, LogError> {
        let offsets = &indexes.indexes.offsets;
        let slots = offsets
            .floor_position(position_u32(start))
            .zip(offsets.floor_position(position_u32(end - 1)));
        if let Some((first_slot, last_slot)) = slots {
            for slot in first_slot..=last_slot {
                self.check(indexes, slot, verify)?;
            }
        }
        if let Some(bad) = self.bad.within(start, end) {
            (end, next) = (bad.position, bad.first);
        }
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let map = self.opened(&self.map, OpenMode::Mapped)?;
        let bytes = map
            .read_at(start, length)
            .map_err(|error| self.io("read", error))?;
        if length == 0 || bytes.len() < length {
            return Err(self.corrupt(start));
        }
        Ok(Piece { bytes, first, next })
    }

    /// Checks an interval at its first read.
    fn check(&self, indexes: &SealedIndexes, slot: usize, verify: Verify) -> Result<(), LogError> {
        let is_due = match verify {
            Verify::Never => false,
            Verify::Always => true,
            Verify::First => !indexes.checked.has(slot),
        };
        let Some((from, to)) = self.interval(indexes, slot).filter(|_| is_due) else {
            return Ok(());
        };
        let length = usize::try_from(to.position - from.position).unwrap_or(usize::MAX);
        let window = self.window(from.position, length)?;
        let found = assess(&window.bytes, from, to, &self.bad.noted());
        let outcome = self.bad.replace(from, to, &found);
        if outcome.is_news {
            report(&self.dir, self.info.base, &found);
        }
        if outcome.is_settled {
            indexes.checked.set(slot);
        }
        Ok(())
    }

    /// The begin and the end of an interval, if there is one.
    fn interval(&self, indexes: &SealedIndexes, slot: usize) -> Option<(Boundary, Boundary)> {
        let from = indexes.begin(self.info.base, slot)?;
        let last = Boundary {
            offset: self.last_offset_held(),
            position: self.info.bytes,
            sum: indexes.sum,
        };
        let to = indexes.begin(self.info.base, slot + 1).unwrap_or(last);
        Some((from, to))
    }

    /// Where the offsets end that the file holds: before the segment's end if whole batches are
    /// missing behind it.
    fn last_offset_held(&self) -> Offset {
        let noted = self.bad.noted();
        let missing = noted.last().filter(|bad| bad.position == self.info.bytes);
        missing.map_or(self.info.end, |bad| bad.first)
    }

    /// The indexes, loaded at the first call.
    fn indexes(&self) -> Result<&SealedIndexes, LogError> {
        if let Some(indexes) = self.indexes.get() {
            return Ok(indexes);
        }
        let _one = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(indexes) = self.indexes.get() {
            return Ok(indexes);
        }
        let (indexes, sum) = match self.load()? {
            Some(indexes) => (indexes, self.info.sum),
            None => self.rebuild()?,
        };
        Ok(self
            .indexes
            .get_or_init(|| SealedIndexes::new(indexes, sum)))
    }

    /// The index files, if they are whole and belong to this segment.
    fn load(&self) -> Result<Option<Indexes>, LogError> {
        let mut loaded = Vec::with_capacity(2);
        for (kind, file) in [
            (IndexKind::Offset, SegmentFile::Index),
            (IndexKind::Time, SegmentFile::TimeIndex),
        ] {
            let path = file.path(&self.dir, self.info.base);
            let Some(bytes) = read_whole(&*self.fs, &path, OpenMode::Read, INDEX_BYTES_MAX)? else {
                return Ok(None);
            };
            let index = index_file::parse(kind, bytes);
            let end = (self.info.bytes, self.info.sum);
            if !index.trailer.is_some_and(|trailer| trailer.is_of(end)) {
                return Ok(None);
            }
            loaded.push(index.entries);
        }
        let count = loaded[0].len() / index_file::ENTRY_BYTES;
        let times = TimeIndex::decode(loaded.swap_remove(1));
        let offsets = OffsetIndex::decode(loaded.swap_remove(0));
        let indexes = Indexes::below(offsets, times, self.info.bytes);
        let entries = indexes.offsets.entries();
        let is_inside = entries
            .last()
            .is_some_and(|last| self.info.base.plus(i64::from(last.offset)) < self.info.end);
        Ok((entries.len() == count && is_inside).then_some(indexes))
    }

    /// Reads the whole segment and makes its indexes anew; what its sum does not vouch for becomes
    /// damage. Answers the sum behind the last batch, too.
    fn rebuild(&self) -> Result<(Indexes, u32), LogError> {
        tracing::warn!(segment = %self.info.base, dir = %self.dir.display(), "an index is rebuilt");
        let noted = self.bad.noted();
        let survey = Survey::of_sealed(&**self.file()?, &self.info, &noted, &Epochs::default());
        let survey = survey.map_err(|error| self.io("read", error))?;
        self.bad.note(survey.bad);
        Ok((survey.indexes, survey.tally.sum))
    }

    fn window(&self, position: u64, bytes: usize) -> Result<Window, LogError> {
        let left = usize::try_from(self.info.bytes.saturating_sub(position)).unwrap_or(usize::MAX);
        let read = self.file()?.read_at(position, bytes.min(left));
        Ok(Window {
            position,
            bytes: read.map_err(|error| self.io("read", error))?,
        })
    }

    fn opened<'a>(
        &self,
        cell: &'a OnceLock<Arc<dyn File>>,
        mode: OpenMode,
    ) -> Result<&'a Arc<dyn File>, LogError> {
        if let Some(file) = cell.get() {
            return Ok(file);
        }
        let path = SegmentFile::Log.path(&self.dir, self.info.base);
        let file = self
            .fs
            .open(&path, mode)
            .map_err(|error| self.io("open", error))?;
        Ok(cell.get_or_init(|| file))
    }

    fn corrupt(&self, position: u64) -> LogError {
        corrupt(
            &self.dir,
            self.info.base,
            position,
            "the batch is not what was written",
        )
    }

    fn io(&self, op: &'static str, error: std::io::Error) -> LogError {
        LogError::io(op, &SegmentFile::Log.path(&self.dir, self.info.base), error)
    }
}

fn position_u32(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// Headers of an interval are searched in pieces of this size: a piece costs about as much as the
/// call that reads it.
const SEARCH_BYTES: usize = 8 << 10;
/// Room for an entry per batch header of the largest segment.
const INDEX_BYTES_MAX: u64 = 1 << 30;
