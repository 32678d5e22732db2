//! The sparse index from offset to position, one entry an interval of the segment.
//!
//! Floor 2 of log-core. Pure.
//!
//! Invariants
//! - Entry 0 is the segment's first batch; each entry is the first batch of its interval, and the
//!   interval ends where the next entry begins. Offsets and positions rise strictly.
//! - An entry holds the running sum of the segment up to its position: a CRC-32 over the first 21
//!   bytes of each batch before it. Base offset, length, leader epoch and magic lie outside a
//!   batch's own CRC-32C; this sum is what guards them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::index_file::ENTRY_BYTES;

/// Where one interval begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The base offset of the interval's first batch, relative to the segment's.
    pub offset: u32,
    /// The position of that batch.
    pub position: u32,
    /// The segment's running sum up to `position`.
    pub sum: u32,
}

/// The entries of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetIndex {
    entries: Vec<IndexEntry>,
}

impl OffsetIndex {
    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Adds the next interval.
    ///
    /// # Panics
    /// If it does not lie behind the last one: the caller indexed batches out of order.
    pub fn push(&mut self, entry: IndexEntry) {
        assert!(
            self.entries.last().is_none_or(|last| rises(last, &entry)),
            "an index entry lies behind the one before it"
        );
        self.entries.push(entry);
    }

    /// The slot of the interval that holds `offset` (relative); `None` only in an empty index.
    #[must_use]
    pub fn floor(&self, offset: u32) -> Option<usize> {
        self.entries
            .partition_point(|entry| entry.offset <= offset)
            .checked_sub(1)
    }

    /// The slot of the interval that holds `position`; `None` only in an empty index.
    #[must_use]
    pub fn floor_position(&self, position: u32) -> Option<usize> {
        self.entries
            .partition_point(|entry| entry.position <= position)
            .checked_sub(1)
    }

    /// Forgets the intervals that begin at or behind `position`.
    pub fn cut_to(&mut self, position: u64) {
        let kept = self
            .entries
            .partition_point(|entry| u64::from(entry.position) < position);
        self.entries.truncate(kept);
    }

    /// Keeps the first `count` intervals.
    pub fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
    }

    /// The bytes of the entries from slot `from` on.
    #[must_use]
    pub fn encode_from(&self, from: usize) -> Bytes {
        let new = &self.entries[from..];
        let mut bytes = BytesMut::with_capacity(new.len() * ENTRY_BYTES);
        for entry in new {
            bytes.put_u32(entry.offset);
            bytes.put_u32(entry.position);
            bytes.put_u32(entry.sum);
            bytes.put_u32(0);
        }
        bytes.freeze()
    }

    /// Reads entries as far as they rise from offset 0 and position 0 on.
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Self {
        let mut index = Self {
            entries: Vec::with_capacity(bytes.len() / ENTRY_BYTES),
        };
        while bytes.len() >= ENTRY_BYTES {
            let entry = IndexEntry {
                offset: bytes.get_u32(),
                position: bytes.get_u32(),
                sum: bytes.get_u32(),
            };
            let flags = bytes.get_u32();
            let follows = match index.entries.last() {
                Some(last) => rises(last, &entry),
                None => entry.offset == 0 && entry.position == 0,
            };
            if !follows || flags != 0 {
                break;
            }
            index.entries.push(entry);
        }
        index
    }
}

fn rises(last: &IndexEntry, next: &IndexEntry) -> bool {
    last.offset < next.offset && last.position < next.position
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn indexes() -> impl Strategy<Value = OffsetIndex> {
        prop::collection::vec((1..9_u32, 61..200_u32, any::<u32>()), 1..20).prop_map(|steps| {
            let mut index = OffsetIndex::default();
            let (mut offset, mut position) = (0, 0);
            for (records, bytes, sum) in steps {
                index.push(IndexEntry {
                    offset,
                    position,
                    sum,
                });
                offset += records;
                position += bytes;
            }
            index
        })
    }

    proptest! {
        #[test]
        fn round_trip_and_floor(index in indexes(), asked in 0..200_u32, cut in 0..4000_u64) {
            prop_assert_eq!(&OffsetIndex::decode(index.encode_from(0)), &index);
            let linear = index.entries().iter().rposition(|entry| entry.offset <= asked);
            prop_assert_eq!(index.floor(asked), linear);
            let linear = index.entries().iter().rposition(|entry| entry.position <= asked);
            prop_assert_eq!(index.floor_position(asked), linear);
            let mut kept = index.clone();
            kept.cut_to(cut);
            let expected = index.entries().iter().filter(|entry| u64::from(entry.position) < cut);
            prop_assert!(kept.entries().iter().eq(expected));
        }

        #[test]
        fn entries_that_do_not_rise_end_the_index(index in indexes(), bytes in any::<[u8; 48]>()) {
            let mut all = index.encode_from(0).to_vec();
            all.extend_from_slice(&bytes);
            let decoded = OffsetIndex::decode(all.into());
            prop_assert!(decoded.entries().starts_with(index.entries()));
            prop_assert!(decoded.entries().windows(2).all(|pair| rises(&pair[0], &pair[1])));
        }
    }

    #[test]
    fn an_index_that_does_not_begin_at_zero_is_empty() {
        let mut bytes = BytesMut::new();
        for number in [5_u32, 0, 0, 0] {
            bytes.put_u32(number);
        }
        assert_eq!(OffsetIndex::decode(bytes.freeze()), OffsetIndex::default());
    }
}
