//! Tells that a run does not hold a key, without reading it.
//!
//! Floor 3 of log-core. Pure.
//!
//! Invariants
//! - A key that was added may be held; of those that were not, one in a hundred is said to be.
//! - The hashes of keys are random already: two halves of one make all the places that it needs.

use bytes::{BufMut, Bytes};

use crate::keys::KeyHash;

/// Bits for each key: a hundredth of false answers.
const BITS_PER_KEY: u64 = 10;
/// Places of a key: `BITS_PER_KEY` times ln 2.
const PLACES: u64 = 7;

/// So many times smaller can a filter become once its keys are known. A power of two.
const FOLD_MAX: usize = 8;

/// The words of a filter of so many keys.
fn words(keys: u64) -> usize {
    let words = (keys.max(1) * BITS_PER_KEY).div_ceil(64);
    usize::try_from(words).unwrap_or(usize::MAX)
}

/// A filter that is being made.
#[derive(Debug)]
pub(crate) struct BloomBuilder(Vec<u64>);

impl BloomBuilder {
    /// For at most so many keys.
    pub(crate) fn new(keys_max: u64) -> Self {
        Self(vec![0; words(keys_max).next_multiple_of(FOLD_MAX)])
    }

    /// Makes it as small as so many keys allow, up to [`FOLD_MAX`] times smaller. A place is the
    /// part of the range that the hash is of its own, so neighbours become one place.
    pub(crate) fn fold(&self, keys: u64) -> Self {
        let times = (self.0.len() / words(keys)).clamp(1, FOLD_MAX);
        let shift = times.ilog2();
        let mut folded = vec![0; self.0.len() >> shift];
        for (place, word) in self.0.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                let at = (place * 64 + left.trailing_zeros() as usize) >> shift;
                folded[at / 64] |= 1 << (at % 64);
                left &= left - 1;
            }
        }
        Self(folded)
    }

    pub(crate) fn add(&mut self, key: KeyHash) {
        let words = self.0.len();
        for place in places(key, words) {
            self.0[place / 64] |= 1 << (place % 64);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * 8
    }

    pub(crate) fn put(&self, out: &mut impl BufMut) {
        self.0.iter().for_each(|word| out.put_u64(*word));
    }
}

/// A filter that is read from a file.
#[derive(Clone, Debug)]
pub(crate) struct Bloom(Bytes);

impl Bloom {
    /// Bytes as [`BloomBuilder::put`] has made them; `None` if they are none.
    pub(crate) fn of(bytes: Bytes) -> Option<Self> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(8)).then_some(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn may_hold(&self, key: KeyHash) -> bool {
        let words = self.0.len() / 8;
        places(key, words).all(|place| {
            // The bits of a word count from its last byte.
            let byte = self.0[place / 64 * 8 + 7 - place % 64 / 8];
            byte & (1 << (place % 8)) != 0
        })
    }
}

/// The places of a key among the bits of so many words.
fn places(key: KeyHash, words: usize) -> impl Iterator<Item = usize> {
    let bits = words as u128 * 64;
    let halves = key.0.to_be_bytes();
    let [mut first, mut step] = [[0; 8]; 2];
    first.copy_from_slice(&halves[..8]);
    step.copy_from_slice(&halves[8..]);
    let (first, step) = (u64::from_be_bytes(first), u64::from_be_bytes(step) | 1);
    (0..PLACES).map(move |round| {
        let hash = first.wrapping_add(round.wrapping_mul(step));
        // The part of the range that the hash is of its own.
        usize::try_from((u128::from(hash) * bits) >> 64).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeySeed;

    #[test]
    fn every_key_is_found_and_one_in_a_hundred_of_the_others() {
        let seed = KeySeed([3; 16]);
        let key = |number: u32| seed.hash(&number.to_be_bytes());
        let mut builder = BloomBuilder::new(10_000);
        (0..10_000).for_each(|number| builder.add(key(number)));
        let mut bytes = Vec::new();
        builder.put(&mut bytes);
        assert_eq!(bytes.len(), builder.bytes());
        let bloom = Bloom::of(bytes.into()).unwrap();
        assert!((0..10_000).all(|number| bloom.may_hold(key(number))));
        let wrong = (10_000..110_000).filter(|number| bloom.may_hold(key(*number)));
        let wrong = wrong.count();
        assert!((500..1_500).contains(&wrong), "{wrong} of 100000");
    }

    /// Runs of the same keys become one run of no more keys.
    #[test]
    fn a_filter_made_for_more_keys_than_come_is_as_good_when_it_is_folded() {
        let seed = KeySeed([3; 16]);
        let key = |number: u32| seed.hash(&number.to_be_bytes());
        for (keys_max, times) in [
            (10_000, 1),
            (19_000, 1),
            (25_000, 2),
            (80_000, 8),
            (800_000, 8),
        ] {
            let mut builder = BloomBuilder::new(keys_max);
            (0..10_000).for_each(|number| builder.add(key(number)));
            let before = builder.bytes();
            let folded = builder.fold(10_000);
            assert_eq!(folded.bytes() * times, before, "for {keys_max}");
            let mut bytes = Vec::new();
            folded.put(&mut bytes);
            let bloom = Bloom::of(bytes.into()).unwrap();
            assert!((0..10_000).all(|number| bloom.may_hold(key(number))));
            let wrong = (10_000..110_000).filter(|number| bloom.may_hold(key(*number)));
            assert!(wrong.count() < 1_500, "for {keys_max}");
        }
    }

    #[test]
    fn no_bytes_are_no_filter() {
        assert!(Bloom::of(Bytes::new()).is_none());
        assert!(Bloom::of(Bytes::from_static(&[0; 9])).is_none());
    }
}
