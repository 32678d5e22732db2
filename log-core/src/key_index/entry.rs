//! One record, as the index of its log knows it.
//!
//! Floor 3 of log-core. Pure.
//!
//! Layout, big-endian, 32 bytes: hash of the key (16), revision (4), offset (8), position of its
//! batch in its segment (4); the highest bit of the position says that the record is a tombstone.
//!
//! Invariants
//! - The order of the bytes is the order of keys and, within a key, of revisions.

use crate::error::LogError;
use crate::keys::{Head, KeyHash, RecordKey};
use crate::types::Offset;

/// Bytes of a packed entry.
pub(crate) const ENTRY_BYTES: usize = 32;

/// An entry, as it stands in memory and in files.
pub(crate) type Packed = [u8; ENTRY_BYTES];

/// Where the record of a stream with a revision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: KeyHash,
    pub(crate) revision: u32,
    pub(crate) offset: Offset,
    /// Where its batch begins in its segment's file: below 2 GiB, as a segment is.
    pub(crate) position: u32,
    pub(crate) is_tombstone: bool,
}

impl Entry {
    /// The entry of a record that follows the last one of its stream. It is in no segment yet.
    ///
    /// # Errors
    /// [`LogError::Keys`] if the stream has no revision left.
    pub(crate) fn behind(
        head: Option<Head>,
        record: &RecordKey,
        offset: Offset,
    ) -> Result<Self, LogError> {
        let revision = head.map_or(0, |head| head.revision + 1);
        Ok(Self {
            key: record.key,
            revision: u32::try_from(revision).map_err(|_| LogError::Keys {
                why: format!("a stream has at most {REVISIONS_MAX} records"),
            })?,
            offset,
            position: 0,
            is_tombstone: record.is_tombstone,
        })
    }

    /// The entry of a record whose batch is at this position of its segment.
    pub(crate) fn at(self, position: u32) -> Self {
        Self { position, ..self }
    }

    pub(crate) fn pack(&self) -> Packed {
        let mut packed = [0; ENTRY_BYTES];
        let mark = if self.is_tombstone { TOMBSTONE } else { 0 };
        packed[..16].copy_from_slice(&self.key.0.to_be_bytes());
        packed[16..20].copy_from_slice(&self.revision.to_be_bytes());
        packed[20..28].copy_from_slice(&self.offset.0.to_be_bytes());
        packed[28..].copy_from_slice(&(self.position | mark).to_be_bytes());
        packed
    }

    pub(crate) fn unpack(packed: &Packed) -> Self {
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&packed[at..at + 4]);
            u32::from_be_bytes(bytes)
        };
        let offset = (u64::from(number(20)) << 32) | u64::from(number(24));
        let marked = number(28);
        Self {
            key: key_of(packed),
            revision: number(16),
            offset: Offset(offset.cast_signed()),
            position: marked & !TOMBSTONE,
            is_tombstone: marked & TOMBSTONE != 0,
        }
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            revision: u64::from(self.revision),
            offset: self.offset,
            is_tombstone: self.is_tombstone,
        }
    }
}

/// The key of a packed entry.
pub(crate) fn key_of(packed: &Packed) -> KeyHash {
    let mut key = [0; 16];
    key.copy_from_slice(&packed[..16]);
    KeyHash(u128::from_be_bytes(key))
}

/// The first bytes of the entry of a revision: it is not above that entry, and above all before it.
pub(crate) fn floor_of(key: KeyHash, revision: u32) -> Packed {
    Entry {
        key,
        revision,
        offset: Offset::ZERO,
        position: 0,
        is_tombstone: false,
    }
    .pack()
}

const TOMBSTONE: u32 = 1 << 31;
const REVISIONS_MAX: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let numbers = (
            any::<u128>(),
            any::<u32>(),
            0..i64::MAX,
            0..TOMBSTONE,
            any::<bool>(),
        );
        numbers.prop_map(|(key, revision, offset, position, is_tombstone)| Entry {
            key: KeyHash(key),
            revision,
            offset: Offset(offset),
            position,
            is_tombstone,
        })
    }

    proptest! {
        #[test]
        fn packed_entries_come_back_and_keep_their_order(a in entries(), b in entries()) {
            prop_assert_eq!(Entry::unpack(&a.pack()), a);
            let (by_bytes, by_meaning) = (
                a.pack()[..20].cmp(&b.pack()[..20]),
                (a.key, a.revision).cmp(&(b.key, b.revision)),
            );
            prop_assert_eq!(by_bytes, by_meaning);
            prop_assert!(floor_of(a.key, a.revision) <= a.pack());
        }
    }
}
