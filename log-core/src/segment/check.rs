//! Which batches of an interval are what was written, and which intervals have been looked at.
//!
//! Floor 3 of log-core. Pure, apart from the bits.
//!
//! Invariants
//! - A batch passes only if its checksum agrees and it stands where offset and position say.
//! - What no batch's own checksum covers is covered by the running sum between two boundaries; if
//!   that disagrees, or damage keeps it from being made, nothing between them can be told from what
//!   was written.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use highwater_proto::batch::{BatchHeader, HEADER_BYTES, check_crc};

use super::head_of;
use super::witness::{Part, bears_out};
use crate::offset_index::IndexEntry;
use crate::types::Offset;

/// A place between two batches, known from an index or a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    pub(crate) offset: Offset,
    pub(crate) position: u64,
    pub(crate) sum: u32,
}

impl Boundary {
    pub(crate) fn of_entry(base: Offset, entry: &IndexEntry) -> Self {
        Self {
            offset: base.plus(i64::from(entry.offset)),
            position: u64::from(entry.position),
            sum: entry.sum,
        }
    }
}

/// Bytes of an interval that are not what was written, and the offsets that they held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadRange {
    pub(crate) position: u64,
    pub(crate) position_end: u64,
    pub(crate) first: Offset,
    pub(crate) end: Offset,
    /// Whether a repair gave the range up.
    pub(crate) is_hole: bool,
}

/// Checks the batches between two boundaries; `bytes` is what the file holds there. Damage that
/// is noted is skipped: the sums were made without it.
pub(crate) fn assess(
    bytes: &[u8],
    from: Boundary,
    to: Boundary,
    noted: &[BadRange],
) -> Vec<BadRange> {
    let covers = |bad: &BadRange| bad.position <= from.position && bad.position_end >= to.position;
    if noted.iter().any(covers) {
        return Vec::new();
    }
    let length = usize::try_from(to.position - from.position).unwrap_or(usize::MAX);
    let bytes = &bytes[..bytes.len().min(length)];
    let (mut bad, mut parts) = (Vec::new(), Vec::new());
    let (mut at, mut expected) = (0, from.offset);
    while at < length {
        let position = from.position + at as u64;
        let skipped = noted
            .iter()
            .find(|bad| (bad.position..bad.position_end).contains(&position));
        if let Some(bad) = skipped {
            at = usize::try_from(bad.position_end - from.position).unwrap_or(usize::MAX);
            expected = bad.end.min(to.offset);
            continue;
        }
        if let Some(header) = batch_at(&bytes[at.min(bytes.len())..], expected) {
            parts.extend(head_of(&bytes[at..]).map(Part::Right));
            at += header.total_bytes();
            expected = Offset(header.last_offset()).plus(1);
            continue;
        }
        let (next, offset) =
            behind_damage(bytes, at + 1, expected..to.offset).unwrap_or((length, to.offset));
        parts.extend(
            bytes
                .get(at..next)
                .map(|bytes| Part::Damaged(bytes, expected)),
        );
        bad.push(bad_range(from, at..next, expected..offset));
        (at, expected) = (next, offset);
    }
    // Where the file ends too early, its last heads are known to nobody.
    let agrees = bytes.len() < length || bears_out(&parts, from.sum, to.sum);
    match agrees && expected == to.offset {
        true => bad,
        false => vec![bad_range(from, 0..length, from.offset..to.offset)],
    }
}

/// Bytes behind a boundary that are not what was written.
pub(super) fn bad_range(from: Boundary, bytes: Range<usize>, offsets: Range<Offset>) -> BadRange {
    BadRange {
        position: from.position + bytes.start as u64,
        position_end: from.position + bytes.end as u64,
        first: offsets.start,
        end: offsets.end,
        is_hole: false,
    }
}

/// The header of a whole, right batch that begins with `expected`.
pub(crate) fn batch_at(bytes: &[u8], expected: Offset) -> Option<BatchHeader> {
    let header = BatchHeader::parse(bytes).ok()?;
    let batch = bytes.get(..header.total_bytes())?;
    let stands_here = header.base_offset == expected.0 && header.last_offset_delta >= 0;
    (stands_here && check_crc(batch).is_ok()).then_some(header)
}

/// Where the log goes on from `at` behind damage that held the first of the offsets: as
/// [`find_behind_damage`](super::find_behind_damage) finds it in a file.
fn behind_damage(bytes: &[u8], at: usize, offsets: Range<Offset>) -> Option<(usize, Offset)> {
    let offsets = offsets.start.plus(1)..offsets.end;
    let find = |from: usize| {
        let mut places = from..bytes.len();
        places.find_map(|at| any_batch_at(&bytes[at..], &offsets).map(|header| (at, header)))
    };
    let (mut at, mut header) = find(at)?;
    loop {
        let (mut behind, mut expected) = (at, Offset(header.base_offset));
        while let Some(header) = batch_at(&bytes[behind..], expected) {
            behind += header.total_bytes();
            expected = Offset(header.last_offset()).plus(1);
        }
        match find(behind).filter(|(_, next)| next.base_offset < expected.0) {
            Some(earlier) => (at, header) = earlier,
            None => return Some((at, Offset(header.base_offset))),
        }
    }
}

/// A right batch of these offsets.
fn any_batch_at(bytes: &[u8], offsets: &Range<Offset>) -> Option<BatchHeader> {
    if bytes.len() < HEADER_BYTES || bytes[16] != 2 {
        return None;
    }
    let header = BatchHeader::parse(bytes).ok()?;
    let is_inside = header.base_offset >= offsets.start.0 && header.last_offset() < offsets.end.0;
    is_inside
        .then(|| batch_at(bytes, Offset(header.base_offset)))
        .flatten()
}

/// The damage of one segment that is known.
#[derive(Debug, Default)]
pub(crate) struct BadRanges {
    /// What recovery or the rebuilding of an index found, in order: it stays, and the checkpoint
    /// keeps it.
    noted: RwLock<Vec<BadRange>>,
    /// What reads found, in order. It is looked at again at each read, so that a disk that once
    /// gave wrong bytes and then right ones is believed again.
    found: RwLock<Vec<BadRange>>,
}

impl BadRanges {
    /// Damage that recovery found.
    pub(crate) fn new(noted: Vec<BadRange>) -> Self {
        Self {
            noted: RwLock::new(noted),
            found: RwLock::default(),
        }
    }

    /// What stays.
    pub(crate) fn noted(&self) -> Vec<BadRange> {
        read(&self.noted).clone()
    }

    /// Ranges that nobody has given up yet: those that stay, and what reads found beside them.
    pub(crate) fn open_count(&self) -> usize {
        let noted = read(&self.noted);
        let found = read(&self.found);
        let is_new = |bad: &&BadRange| !noted.contains(bad);
        noted.iter().filter(|bad| !bad.is_hole).count() + found.iter().filter(is_new).count()
    }

    /// Adds what the rebuilding of an index found.
    pub(crate) fn note(&self, ranges: Vec<BadRange>) {
        let mut noted = write(&self.noted);
        for range in ranges {
            if !noted.contains(&range) {
                noted.push(range);
            }
        }
        noted.sort_by_key(|bad| bad.position);
    }

    /// Replaces what reads found between two boundaries. Answers whether that was all known for
    /// good, so that nobody need look again, and whether it is news.
    pub(crate) fn replace(&self, from: Boundary, to: Boundary, found: &[BadRange]) -> Outcome {
        let fresh: Vec<BadRange> = {
            let noted = read(&self.noted);
            found
                .iter()
                .filter(|bad| !noted.contains(bad))
                .copied()
                .collect()
        };
        let is_here = |bad: &BadRange| (from.position..to.position).contains(&bad.position);
        let mut known = write(&self.found);
        let is_news = fresh.iter().any(|bad| !known.contains(bad));
        let is_settled = fresh.is_empty();
        known.retain(|bad| !is_here(bad));
        known.extend(fresh);
        known.sort_by_key(|bad| bad.position);
        Outcome {
            is_settled,
            is_news,
        }
    }

    /// The range that held `offset`, if that stays.
    pub(crate) fn noted_at(&self, offset: Offset) -> Option<BadRange> {
        holding(&read(&self.noted), offset)
    }

    /// The range that held `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<BadRange> {
        self.noted_at(offset)
            .or_else(|| holding(&read(&self.found), offset))
    }

    /// Where the search for `offset` begins in the interval that begins at `from`: behind the
    /// damage before it.
    pub(crate) fn search_from(&self, from: Boundary, offset: Offset) -> Boundary {
        let is_before = |bad: &&BadRange| {
            bad.position >= from.position && bad.first < bad.end && bad.end <= offset
        };
        let last = |ranges: &[BadRange]| ranges.iter().rfind(is_before).copied();
        let both = [last(&read(&self.noted)), last(&read(&self.found))];
        let before = both.into_iter().flatten().max_by_key(|bad| bad.position);
        before.map_or(from, |bad| Boundary {
            offset: bad.end,
            position: bad.position_end,
            sum: from.sum,
        })
    }

    /// The first range that touches the bytes `[start, end)`.
    pub(crate) fn within(&self, start: u64, end: u64) -> Option<BadRange> {
        let touches = |bad: &&BadRange| bad.position < end && bad.position_end > start;
        let first = |ranges: &[BadRange]| ranges.iter().find(touches).copied();
        let both = [first(&read(&self.noted)), first(&read(&self.found))];
        both.into_iter().flatten().min_by_key(|bad| bad.position)
    }
}

/// What a look at an interval has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) is_settled: bool,
    pub(crate) is_news: bool,
}

fn holding(ranges: &[BadRange], offset: Offset) -> Option<BadRange> {
    let holds = |bad: &&BadRange| bad.first <= offset && offset < bad.end;
    ranges.iter().find(holds).copied()
}

/// The lists are whole at every moment.
fn read(list: &RwLock<Vec<BadRange>>) -> RwLockReadGuard<'_, Vec<BadRange>> {
    list.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(list: &RwLock<Vec<BadRange>>) -> RwLockWriteGuard<'_, Vec<BadRange>> {
    list.write().unwrap_or_else(PoisonError::into_inner)
}

/// One bit for each interval that has been looked at since the log was opened.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    words: Vec<AtomicU64>,
}

impl Checked {
    /// Room for `slots` bits.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.words
            .resize_with(slots.div_ceil(64), AtomicU64::default);
    }

    pub(crate) fn has(&self, slot: usize) -> bool {
        self.words[slot / 64].load(Ordering::Acquire) >> (slot % 64) & 1 == 1
    }

    /// Comes after what was found has been noted: whoever sees the bit sees the damage, too.
    pub(crate) fn set(&self, slot: usize) {
        self.words[slot / 64].fetch_or(1 << (slot % 64), Ordering::Release);
    }
}
