//! Keys of records, and what an append expects of them.
//!
//! Floor 0 of log-core. Pure.
//!
//! A stream is all records of one key of one log; the revision of a record is its place in its
//! stream, counted from 0. A tombstone (a record without a value) takes a revision like any other.
//!
//! Invariants
//! - Two keys are told apart by 128 bits under a seed that nobody outside knows; who reads a
//!   stream compares the keys themselves.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::types::Offset;

/// What the hashes of a log's keys depend on: 16 bytes that nobody who chooses keys knows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KeySeed(pub [u8; 16]);

impl KeySeed {
    /// The hash of a key.
    ///
    /// ```
    /// use highwater_log::keys::KeySeed;
    ///
    /// let seed = KeySeed([7; 16]);
    /// assert_eq!(seed.hash(b"order-1"), seed.hash(b"order-1"));
    /// assert_ne!(seed.hash(b"order-1"), KeySeed([8; 16]).hash(b"order-1"));
    /// ```
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(key);
        KeyHash(hasher.finish128().as_u128())
    }
}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever knows it can make keys that collide.
        f.write_str("KeySeed")
    }
}

/// A key, as the index of a log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub u128);

/// A map by keys, which need no second hash: nobody can choose keys that meet in one place.
pub(crate) type KeyMap<T> = HashMap<KeyHash, T, BuildHasherDefault<Hashed>>;

/// The hash of what is a hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The last record of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its revision.
    pub revision: u64,
    /// Its offset.
    pub offset: Offset,
    /// Whether it is a tombstone: then the stream counts as deleted.
    pub is_tombstone: bool,
}

/// What an append expects of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It has no record.
    NoStream {
        /// Whether a deleted one is as good as none. Its revisions go on.
        allow_recreate: bool,
    },
    /// It has a record, and is not deleted.
    Exists,
    /// This is the revision of its last record, and it is not deleted.
    Revision(u64),
    /// This is the offset of its last record, and it is not deleted.
    LastOffset(Offset),
}

impl Expect {
    /// Whether a stream with this last record, or with none, is what is expected.
    ///
    /// ```
    /// use highwater_log::keys::{Expect, Head};
    /// use highwater_log::types::Offset;
    ///
    /// let head = Head { revision: 2, offset: Offset(40), is_tombstone: false };
    /// assert!(Expect::Revision(2).is_met(Some(head)));
    /// assert!(!Expect::NoStream { allow_recreate: true }.is_met(Some(head)));
    /// ```
    #[must_use]
    pub fn is_met(self, head: Option<Head>) -> bool {
        let Some(head) = head else {
            return matches!(self, Self::Any | Self::NoStream { .. });
        };
        match self {
            Self::Any => true,
            Self::NoStream { allow_recreate } => allow_recreate && head.is_tombstone,
            Self::Exists => !head.is_tombstone,
            Self::Revision(revision) => !head.is_tombstone && head.revision == revision,
            Self::LastOffset(offset) => !head.is_tombstone && head.offset == offset,
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::NoStream { .. } => f.write_str("no stream"),
            Self::Exists => f.write_str("a stream"),
            Self::Revision(revision) => write!(f, "revision {revision}"),
            Self::LastOffset(offset) => write!(f, "the last offset {offset}"),
        }
    }
}

/// An expectation of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The stream.
    pub key: KeyHash,
    /// What is expected.
    pub expect: Expect,
}

/// What a log with a key index has to know about one record of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKey {
    /// Its key.
    pub key: KeyHash,
    /// Whether it has no value.
    pub is_tombstone: bool,
    /// What is expected of its stream behind the records before it.
    pub expect: Expect,
}

/// The keys of a batch, and what the append of it expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyed {
    /// What must hold before the batch; also of streams that it does not touch.
    pub checks: Vec<Check>,
    /// One for each record, in order.
    pub records: Vec<RecordKey>,
}

/// An expectation that is not met: nothing of the batch was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Whose it is.
    pub of: ConflictOf,
    /// What was expected.
    pub expected: Expect,
    /// The last record of the stream, not counting those of the batch; none if it has none.
    pub actual: Option<Head>,
}

/// Which expectation of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictOf {
    /// That of `checks`, by its place there.
    Check(usize),
    /// That of `records`, by its place there.
    Record(usize),
}

impl Conflict {
    /// Whether it tells of a record at this offset or above.
    #[must_use]
    pub fn tells_of(&self, offset: Offset) -> bool {
        self.actual.is_some_and(|head| head.offset >= offset)
    }

    /// Whether it is with records before it in the same batch: without them all is as expected.
    #[must_use]
    pub fn is_within_batch(&self) -> bool {
        self.expected.is_met(self.actual)
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was expected, ", self.expected)?;
        if self.is_within_batch() {
            return f.write_str("and a record before it in its batch makes that untrue");
        }
        match self.actual {
            None => f.write_str("and there is no stream"),
            Some(head) if head.is_tombstone => {
                write!(
                    f,
                    "and the stream is deleted since revision {}",
                    head.revision
                )
            }
            Some(head) => write!(f, "and the stream is at revision {}", head.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of conditions: none, revision 4 at offset 40, deleted by it.
    #[test]
    fn each_cell_of_the_table() {
        let live = Head {
            revision: 4,
            offset: Offset(40),
            is_tombstone: false,
        };
        let deleted = Head {
            is_tombstone: true,
            ..live
        };
        let no_stream = |allow_recreate| Expect::NoStream { allow_recreate };
        let rows = [
            (Expect::Any, [true, true, true]),
            (no_stream(false), [true, false, false]),
            (no_stream(true), [true, false, true]),
            (Expect::Exists, [false, true, false]),
            (Expect::Revision(4), [false, true, false]),
            (Expect::Revision(3), [false, false, false]),
            (Expect::Revision(5), [false, false, false]),
            (Expect::LastOffset(Offset(40)), [false, true, false]),
            (Expect::LastOffset(Offset(39)), [false, false, false]),
        ];
        for (expect, wanted) in rows {
            let met = [None, Some(live), Some(deleted)].map(|head| expect.is_met(head));
            assert_eq!(met, wanted, "{expect:?}");
        }
    }

    #[test]
    fn a_seed_is_not_shown() {
        assert_eq!(format!("{:?}", KeySeed([9; 16])), "KeySeed");
    }
}
