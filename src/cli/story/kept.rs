//! The events of a story that are kept: the oldest ones, within limits.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - At most twice the limits are held; what is let go is later than all that is kept.

use std::cmp::Ordering;

use crate::cli::told::Told;

/// Events, at most so many of them and so many bytes.
#[derive(Debug)]
pub(super) struct Kept {
    told: Vec<Told>,
    bytes: usize,
    max: usize,
    bytes_max: usize,
    has_more: bool,
}

impl Kept {
    pub(super) fn new(max: usize) -> Self {
        Self {
            told: Vec::new(),
            bytes: 0,
            max,
            bytes_max: BYTES_MAX,
            has_more: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty() && !self.has_more
    }

    /// Takes an event.
    pub(super) fn add(&mut self, told: Told) {
        let told = told.alone();
        self.bytes += told.bytes();
        self.told.push(told);
        if self.told.len() > self.max.saturating_mul(2) || self.bytes > 2 * self.bytes_max {
            self.shrink();
        }
    }

    /// Takes what another one has.
    pub(super) fn merge(&mut self, other: Self) {
        self.has_more |= other.has_more;
        other.told.into_iter().for_each(|told| self.add(told));
    }

    /// The events in their order, and whether there are more.
    pub(super) fn finish(mut self) -> (Vec<Told>, bool) {
        self.shrink();
        (self.told, self.has_more)
    }

    fn shrink(&mut self) {
        self.told.sort_by(in_time);
        let mut bytes = 0;
        let fits = self.told.iter().take(self.max).take_while(|told| {
            bytes += told.bytes();
            bytes <= self.bytes_max
        });
        let count = fits.count();
        self.has_more |= count < self.told.len();
        self.told.truncate(count);
        self.bytes = self.told.iter().map(Told::bytes).sum();
    }
}

fn in_time(one: &Told, other: &Told) -> Ordering {
    let (a, b) = (&one.record, &other.record);
    a.timestamp
        .cmp(&b.timestamp)
        .then_with(|| a.topic.cmp(&b.topic))
        .then_with(|| (a.partition, a.offset).cmp(&(b.partition, b.offset)))
}

/// A story is for people; it is larger only if its events are documents.
const BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use highwater_client::ConsumerRecord;

    use super::*;

    fn told(timestamp: i64, offset: i64, bytes: usize) -> Told {
        Told {
            record: ConsumerRecord {
                topic: "t".into(),
                partition: 0,
                offset,
                timestamp,
                key: None,
                value: Some(Bytes::from(vec![0; bytes])),
                headers: Vec::new(),
            },
            revision: None,
        }
    }

    fn kept(kept: Kept) -> (Vec<i64>, bool) {
        let (told, has_more) = kept.finish();
        (told.iter().map(|it| it.record.offset).collect(), has_more)
    }

    #[test]
    fn the_oldest_are_kept_whatever_the_order_in_which_they_come() {
        let mut some = Kept::new(3);
        for offset in [9, 2, 8, 1, 7, 3, 6, 0, 5, 4] {
            some.add(told(offset * 10, offset, 1));
            assert!(some.told.len() <= 6);
        }
        assert_eq!(kept(some), (vec![0, 1, 2], true));
        let mut all = Kept::new(3);
        for offset in [2, 0, 1] {
            all.add(told(5, offset, 1));
        }
        assert_eq!(kept(all), (vec![0, 1, 2], false));
    }

    #[test]
    fn no_more_bytes_are_held_than_twice_the_limit() {
        let mut some = Kept::new(100);
        some.bytes_max = 10;
        for offset in (0..20).rev() {
            some.add(told(offset, offset, 4));
            assert!(some.bytes <= 20, "{}", some.bytes);
        }
        assert_eq!(kept(some), (vec![0, 1], true));
    }

    #[test]
    fn what_others_had_to_let_go_is_not_forgotten() {
        let mut other = Kept::new(1);
        for offset in 0..3 {
            other.add(told(offset, offset, 0));
        }
        let mut one = Kept::new(5);
        assert!(one.is_empty());
        one.merge(other);
        assert_eq!(kept(one), (vec![0], true));
    }
}
