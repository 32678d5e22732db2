//! The sparse index from timestamp to offset.
//!
//! Floor 2 of log-core. Pure.
//!
//! An entry (t, o) says: t is the largest timestamp of all batches below offset o, and o begins an
//! interval of the offset index. Each interval but the first has its entry, so that for any time
//! the interval before the first entry at or above it holds the first batch that reaches it,
//! however the timestamps jump about.
//!
//! Invariants
//! - Offsets rise strictly, timestamps never fall.
//! - An entry names the sum of the offset index's entry that it belongs to: those of another
//!   segment are told from the segment's own, however well they would fit.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::index_file::ENTRY_BYTES;

/// The largest timestamp below an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// An offset relative to the segment's first one, which begins an interval.
    pub offset: u32,
    /// The running sum before that interval.
    pub sum: u32,
}

/// The entries of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeIndex {
    entries: Vec<TimeEntry>,
}

impl TimeIndex {
    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[TimeEntry] {
        &self.entries
    }

    /// Notes the largest timestamp below an interval's first offset.
    ///
    /// # Panics
    /// If it does not lie behind the last one: the caller indexed batches out of order.
    pub fn push(&mut self, entry: TimeEntry) {
        let follows = self.entries.last().is_none_or(|last| follows(last, &entry));
        assert!(follows, "a time entry lies behind the one before it");
        self.entries.push(entry);
    }

    /// The relative offset behind the interval in which the first batch lies that reaches
    /// `timestamp`; `None` if only the last interval can hold one.
    #[must_use]
    pub fn reached_before(&self, timestamp: i64) -> Option<u32> {
        let slot = self
            .entries
            .partition_point(|entry| entry.timestamp < timestamp);
        self.entries.get(slot).map(|entry| entry.offset)
    }

    /// Keeps the first `count` entries.
    pub fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
    }

    /// The bytes of the entries from slot `from` on.
    #[must_use]
    pub fn encode_from(&self, from: usize) -> Bytes {
        let new = &self.entries[from..];
        let mut bytes = BytesMut::with_capacity(new.len() * ENTRY_BYTES);
        for entry in new {
            bytes.put_i64(entry.timestamp);
            bytes.put_u32(entry.offset);
            bytes.put_u32(entry.sum);
        }
        bytes.freeze()
    }

    /// Reads entries as far as they follow one another.
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Self {
        let mut index = Self {
            entries: Vec::with_capacity(bytes.len() / ENTRY_BYTES),
        };
        while bytes.len() >= ENTRY_BYTES {
            let entry = TimeEntry {
                timestamp: bytes.get_i64(),
                offset: bytes.get_u32(),
                sum: bytes.get_u32(),
            };
            let is_next = index
                .entries
                .last()
                .is_none_or(|last| follows(last, &entry));
            if !is_next {
                break;
            }
            index.entries.push(entry);
        }
        index
    }
}

fn follows(last: &TimeEntry, next: &TimeEntry) -> bool {
    last.timestamp <= next.timestamp && last.offset < next.offset
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Intervals with one largest timestamp each, as an index and as a list to scan.
        #[test]
        fn the_interval_found_is_the_first_that_reaches(
            largest in prop::collection::vec(0..20_i64, 1..30), asked in 0..22_i64,
        ) {
            let mut index = TimeIndex::default();
            let mut so_far = i64::MIN;
            for (slot, timestamp) in largest.iter().enumerate().take(largest.len() - 1) {
                so_far = so_far.max(*timestamp);
                let offset = u32::try_from(slot + 1).unwrap() * 10;
                index.push(TimeEntry { timestamp: so_far, offset, sum: offset });
            }
            let first = largest.iter().position(|timestamp| *timestamp >= asked);
            match index.reached_before(asked) {
                Some(offset) => prop_assert_eq!(first, Some(offset as usize / 10 - 1)),
                None => prop_assert!(first.is_none_or(|slot| slot == largest.len() - 1)),
            }
            prop_assert_eq!(TimeIndex::decode(index.encode_from(0)), index);
        }

        #[test]
        fn any_entries_decode_to_ordered_ones(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let index = TimeIndex::decode(bytes.into());
            prop_assert!(index.entries().windows(2).all(|pair| follows(&pair[0], &pair[1])));
        }
    }
}
