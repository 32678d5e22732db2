//! The newest records of a log by their keys, in memory.
//!
//! Floor 3 of log-core. Pure.
//!
//! Invariants
//! - Entries are noted in the order of offsets; those of a key form a chain from its last one back.

use super::entry::{Entry, Packed};
use crate::keys::{KeyHash, KeyMap};

/// What no run holds yet.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    entries: Vec<Packed>,
    /// For each entry the place of the one before it of the same key, or [`NONE`].
    before: Vec<u32>,
    last: KeyMap<u32>,
}

impl Recent {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many keys it knows.
    pub(crate) fn keys(&self) -> usize {
        self.last.len()
    }

    pub(crate) fn note(&mut self, entry: &Entry) {
        let place = u32::try_from(self.entries.len()).unwrap_or(NONE);
        self.entries.push(entry.pack());
        let before = self.last.insert(entry.key, place);
        self.before.push(before.unwrap_or(NONE));
    }

    /// The last entry of a key.
    pub(crate) fn last(&self, key: KeyHash) -> Option<Entry> {
        self.at(*self.last.get(&key)?)
    }

    /// The entries of a key from a revision on, in order.
    pub(crate) fn since(&self, key: KeyHash, revision: u32) -> Vec<Entry> {
        let mut found = Vec::new();
        let mut place = self.last.get(&key).copied();
        while let Some((at, entry)) = place.and_then(|at| Some((at, self.at(at)?))) {
            if entry.revision < revision {
                break;
            }
            found.push(entry);
            place = self.before.get(at as usize).copied();
        }
        found.reverse();
        found
    }

    /// All entries, in the order of a run.
    pub(crate) fn sorted(&self) -> Vec<Packed> {
        let mut entries = self.entries.clone();
        entries.sort_unstable();
        entries
    }

    /// The memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let entry = size_of::<Packed>() + size_of::<u32>();
        // The map has room for an eighth more, and a byte of its own for each place.
        self.entries.capacity() * entry + self.last.capacity() * (size_of::<(KeyHash, u32)>() + 2)
    }

    fn at(&self, place: u32) -> Option<Entry> {
        self.entries.get(place as usize).map(Entry::unpack)
    }
}

/// No entry has this place: a run is written long before there are so many.
const NONE: u32 = u32::MAX;
