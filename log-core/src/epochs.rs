//! The history of leader epochs: which offset each one began at.
//!
//! Floor 1 of log-core. Pure.
//!
//! Without replicas an epoch counts the unclean starts of a log. A consumer that read a tail which
//! a power cut took asks where its epoch ended, and learns from the answer that it must go back.
//!
//! Invariants
//! - Epochs rise strictly, their first offsets never fall.
//! - The last entry is the epoch of the next append, from before its first batch on.

use std::ops::RangeInclusive;

use crate::types::{LeaderEpoch, Offset};

/// The first offset of each leader epoch of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl Epochs {
    /// A history that begins with `epoch` at `start`.
    #[must_use]
    pub fn new(epoch: LeaderEpoch, start: Offset) -> Self {
        Self {
            entries: vec![(epoch, start)],
        }
    }

    /// A history from entries that were stored; what does not rise is left out.
    #[must_use]
    pub fn from_entries(entries: impl IntoIterator<Item = (LeaderEpoch, Offset)>) -> Self {
        let mut history = Self {
            entries: Vec::new(),
        };
        for (epoch, start) in entries {
            history.raise(epoch, start);
        }
        history
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The epoch of the next append; 0 for a log that knows none yet.
    #[must_use]
    pub fn current(&self) -> LeaderEpoch {
        self.entries
            .last()
            .map_or(LeaderEpoch(0), |(epoch, _)| *epoch)
    }

    /// Notes that `epoch` begins at `start`; says whether that is news. An epoch that is not
    /// above the current one is none, and so is an offset below the current epoch's first.
    pub fn raise(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        let is_new = self
            .entries
            .last()
            .is_none_or(|(current, current_start)| epoch > *current && start >= *current_start);
        if is_new {
            self.entries.push((epoch, start));
        }
        is_new
    }

    /// Where `epoch` ended, as the protocol's OffsetForLeaderEpoch answers: the current epoch ends
    /// at `end`; an epoch above it, or -1, is unknown: (-1, -1). Otherwise the largest known
    /// epoch that is not above `epoch`, and the first offset of the next one; for an epoch below
    /// all known ones, itself and the first offset of the first known epoch.
    #[must_use]
    pub fn end_of(&self, epoch: i32, end: Offset) -> (i32, Offset) {
        const UNKNOWN: (i32, Offset) = (-1, Offset(-1));
        let Some((current, _)) = self.entries.last() else {
            return UNKNOWN;
        };
        if epoch < 0 || epoch > current.0 {
            return UNKNOWN;
        }
        if epoch == current.0 {
            return (epoch, end);
        }
        let next = self.entries.partition_point(|(known, _)| known.0 <= epoch);
        let known = next
            .checked_sub(1)
            .map_or(epoch, |index| self.entries[index].0.0);
        (known, self.entries[next].1)
    }

    /// The epoch of the record at `offset`; `None` below the first known epoch.
    #[must_use]
    pub fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        after.checked_sub(1).map(|index| self.entries[index].0)
    }

    /// The epochs that batches from `offset` on may have, where every epoch that was begun is in
    /// the history, or where some may be missing.
    #[must_use]
    pub fn from(&self, offset: Offset, is_whole: bool) -> RangeInclusive<LeaderEpoch> {
        let least = self.at(offset).unwrap_or(LeaderEpoch(i32::MIN));
        match is_whole {
            true => least..=self.current(),
            false => least..=LeaderEpoch(i32::MAX),
        }
    }

    /// Forgets epochs that began above `end`: the log was cut there.
    pub fn cut_to(&mut self, end: Offset) {
        self.entries.retain(|(_, start)| *start <= end);
    }

    /// Forgets epochs that ended at or below `start`: the log begins there. The epoch of `start`
    /// stays and begins at `start` from now on.
    pub fn begin_at(&mut self, start: Offset) {
        let after = self.entries.partition_point(|(_, first)| *first <= start);
        if let Some(index) = after.checked_sub(1) {
            self.entries.drain(..index);
            self.entries[0].1 = start;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(entries: &[(i32, i64)]) -> Epochs {
        Epochs::from_entries(entries.iter().map(|(e, o)| (LeaderEpoch(*e), Offset(*o))))
    }

    #[test]
    fn the_end_of_an_epoch_follows_the_protocol() {
        let epochs = history(&[(2, 10), (4, 30), (5, 50)]);
        let end = Offset(70);
        for (asked, answer) in [
            (-1, (-1, -1)),
            (0, (0, 10)),
            (1, (1, 10)),
            (2, (2, 30)),
            (3, (2, 30)),
            (4, (4, 50)),
            (5, (5, 70)),
            (6, (-1, -1)),
        ] {
            assert_eq!(
                epochs.end_of(asked, end),
                (answer.0, Offset(answer.1)),
                "epoch {asked}"
            );
        }
    }

    #[test]
    fn an_epoch_counts_before_its_first_batch() {
        let mut epochs = Epochs::new(LeaderEpoch(0), Offset(0));
        assert!(epochs.raise(LeaderEpoch(1), Offset(8)));
        assert_eq!(epochs.end_of(0, Offset(8)), (0, Offset(8)));
        assert_eq!(epochs.end_of(1, Offset(8)), (1, Offset(8)));
        assert!(
            !epochs.raise(LeaderEpoch(1), Offset(9)),
            "not above the current one"
        );
        assert!(
            !epochs.raise(LeaderEpoch(2), Offset(7)),
            "offsets never fall"
        );
    }

    #[test]
    fn the_start_of_the_log_moves_into_an_epoch() {
        let mut epochs = history(&[(0, 0), (1, 10), (2, 20)]);
        epochs.begin_at(Offset(15));
        assert_eq!(epochs, history(&[(1, 15), (2, 20)]));
        assert_eq!(epochs.at(Offset(14)), None);
        assert_eq!(epochs.at(Offset(19)), Some(LeaderEpoch(1)));
        epochs.begin_at(Offset(20));
        assert_eq!(epochs, history(&[(2, 20)]));
        epochs.begin_at(Offset(5));
        assert_eq!(epochs, history(&[(2, 20)]));
    }

    proptest! {
        #[test]
        fn the_epoch_of_an_offset_is_the_last_that_began(
            steps in prop::collection::vec((1..3_i32, 0..4_i64), 1..8),
            asked in 0..40_i64,
            cut in 0..40_i64,
        ) {
            let (mut epoch, mut start, mut entries) = (0, 0, Vec::new());
            for (up, records) in steps {
                epoch += up;
                start += records;
                entries.push((epoch, start));
            }
            let mut epochs = history(&entries);
            let linear = |limit: i64| entries.iter().rev().find(|(_, o)| *o <= limit);
            prop_assert_eq!(epochs.at(Offset(asked)).map(|e| e.0), linear(asked).map(|(e, _)| *e));
            epochs.cut_to(Offset(cut));
            prop_assert_eq!(epochs.current().0, linear(cut).map_or(0, |(e, _)| *e));
        }
    }
}
