//! Bytes in and out by topic, for as many topics as monitoring is told of.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - At most [`LABELS_MAX`] topics have counters of their own; all others count together.
//! - Counting takes a lock that only the first bytes of a topic take for themselves.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::{Counter, LABELS_MAX};

/// Bytes of records by topic.
#[derive(Debug)]
pub struct Topics {
    is_on: bool,
    by_id: RwLock<HashMap<[u8; 16], Traffic>>,
    others: Traffic,
}

/// The bytes of one topic.
#[derive(Debug)]
pub struct Traffic {
    /// Of the batches that passed validation.
    pub produced: Counter,
    /// That were handed out.
    pub fetched: Counter,
}

impl Traffic {
    fn new(is_on: bool) -> Self {
        Self {
            produced: Counter::new(is_on),
            fetched: Counter::new(is_on),
        }
    }
}

impl Topics {
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            by_id: RwLock::default(),
            others: Traffic::new(is_on),
        }
    }

    /// Counts for the topic of this id.
    #[inline]
    pub fn count(&self, topic: [u8; 16], add: impl Fn(&Traffic)) {
        if !self.is_on {
            return;
        }
        let known = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(&topic) {
            Some(traffic) => add(traffic),
            None if known.len() >= LABELS_MAX => add(&self.others),
            None => {
                drop(known);
                let mut known = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
                // Others may have come first, and taken the last places.
                if known.len() < LABELS_MAX || known.contains_key(&topic) {
                    add(known.entry(topic).or_insert_with(|| Traffic::new(true)));
                } else {
                    add(&self.others);
                }
            }
        }
    }

    /// Bytes in and out of each topic that still has a name, and of all others together. Topics
    /// that are gone give up their places.
    pub fn now<N: Ord>(
        &self,
        name: impl Fn([u8; 16]) -> Option<N>,
    ) -> (Vec<(N, [u64; 2])>, [u64; 2]) {
        let bytes = |of: &Traffic| [of.produced.value(), of.fetched.value()];
        let mut known = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::new();
        known.retain(|id, traffic| match name(*id) {
            Some(name) => {
                told.push((name, bytes(traffic)));
                true
            }
            None => false,
        });
        told.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        (told, bytes(&self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> [u8; 16] {
        (number as u128).to_be_bytes()
    }

    #[test]
    fn beyond_the_limit_topics_count_together_and_one_that_is_gone_makes_room() {
        let topics = Topics::new(true);
        for number in 0..LABELS_MAX + 5 {
            topics.count(id(number), |traffic| traffic.produced.add(2));
        }
        topics.count(id(0), |traffic| traffic.fetched.add(3));
        let number = |id| Some(u128::from_be_bytes(id)).filter(|number| *number != 1);
        let (told, others) = topics.now(number);
        assert_eq!(told.len(), LABELS_MAX - 1);
        assert_eq!((told[0], told[1]), ((0, [2, 3]), (2, [2, 0])));
        assert_eq!(others, [10, 0]);
        topics.count(id(LABELS_MAX), |traffic| traffic.produced.add(1));
        let (told, others) = topics.now(number);
        assert_eq!(told.last(), Some(&(LABELS_MAX as u128, [1, 0])));
        assert_eq!(others, [10, 0]);
    }
}
