//! The last records of the keys that were looked for lately.
//!
//! Floor 3 of log-core. Pure.
//!
//! Invariants
//! - It holds at most [`KEYS_MAX`] keys. What was not asked for during the last half of so many
//!   additions is forgotten.

use crate::keys::{Head, KeyHash, KeyMap};
use crate::types::Offset;

/// What was found of a key in the records below an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) head: Option<Head>,
    pub(crate) below: Offset,
}

/// Two generations: a key that is asked for moves into the young one.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    young: KeyMap<Known>,
    old: KeyMap<Known>,
}

impl Cache {
    pub(crate) fn get(&mut self, key: KeyHash) -> Option<Known> {
        if let Some(known) = self.young.get(&key) {
            return Some(*known);
        }
        let known = self.old.remove(&key)?;
        self.put(key, known);
        Some(known)
    }

    pub(crate) fn put(&mut self, key: KeyHash, known: Known) {
        if self.young.len() >= KEYS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }

    /// The memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let places = self.young.capacity() + self.old.capacity();
        places * (size_of::<(KeyHash, Known)>() + 2)
    }
}

/// About 6 MiB a log.
const KEYS_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut cache = Cache::default();
        let known = Known {
            head: None,
            below: Offset(9),
        };
        for number in 0..10 * KEYS_MAX as u128 {
            cache.put(KeyHash(number), known);
            assert!(cache.get(KeyHash(7)).is_some() || number < 7);
            assert!(cache.young.len() + cache.old.len() <= KEYS_MAX);
        }
        assert!(cache.get(KeyHash(8)).is_none());
    }
}
