//! Which partition a record goes to: the same choice as Kafka's Java client makes.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Records with one key go to one partition for as long as the topic has as many partitions.
//! - Records without a key stay with one partition until it has had `batch.size` bytes, and do not
//!   leave a batch of it half full (KIP-794).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::record::Record;

/// Chooses the partitions of records that name none; given to [`crate::Client::producer_with`].
///
/// ```
/// use highwater_client::Record;
/// use highwater_client::producer::Partitioner;
///
/// /// Large customers have the first partition for themselves.
/// struct BySize;
///
/// impl Partitioner for BySize {
///     fn partition(&self, record: &Record, partitions: i32) -> Option<i32> {
///         let key = record.key.as_ref()?;
///         let is_large = key.starts_with(b"large-") || partitions < 2;
///         Some(if is_large { 0 } else { 1 + i32::from(key[0]) % (partitions - 1) })
///     }
/// }
///
/// assert_eq!(BySize.partition(&Record::to("orders").key("large-7"), 12), Some(0));
/// ```
pub trait Partitioner: Send + Sync + 'static {
    /// The partition out of `0..partitions`; `None` leaves the choice to the producer's own rules:
    /// by key, and by turns without one. It is called in [`crate::Producer::send`]: it must be
    /// quick and must not block.
    fn partition(&self, record: &Record, partitions: i32) -> Option<i32>;
}

/// A function is a partitioner.
impl<F: Fn(&Record, i32) -> Option<i32> + Send + Sync + 'static> Partitioner for F {
    fn partition(&self, record: &Record, partitions: i32) -> Option<i32> {
        self(record, partitions)
    }
}

/// Where the records of a topic without a key go.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    partition: usize,
    /// Bytes that went there since it was chosen.
    bytes: usize,
    choices: u64,
    random: RandomState,
}

impl Sticky {
    pub(super) const fn partition(&self) -> usize {
        self.partition
    }

    /// Takes note of bytes that go to the partition.
    pub(super) const fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Whether the partition has had its share. If its batch would be left half full, it may have
    /// as much again.
    pub(super) const fn is_due(&self, batch_size: usize, has_open_batch: bool) -> bool {
        let share = if has_open_batch { 2 } else { 1 };
        self.bytes >= batch_size.saturating_mul(share)
    }

    /// Chooses another partition by lot. Each has as many tickets as it has fewer batches waiting
    /// than the longest queue, and one more: what a slow broker cannot take goes elsewhere.
    pub(super) fn choose(&mut self, waiting: impl Iterator<Item = usize> + Clone) {
        let longest = waiting.clone().max().unwrap_or(0);
        let tickets = waiting.map(|count| longest - count + 1);
        let total: usize = tickets.clone().sum();
        self.choices += 1;
        self.bytes = 0;
        let drawn = self.random.hash_one(self.choices) % (total.max(1) as u64);
        let mut drawn = usize::try_from(drawn).unwrap_or(0);
        let winner = tickets.into_iter().position(|count| {
            let wins = drawn < count;
            drawn = drawn.saturating_sub(count);
            wins
        });
        self.partition = winner.unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_queue_gets_fewer_turns_and_none_starves() {
        let waiting = [0, 0, 9];
        let mut sticky = Sticky::default();
        let mut turns = [0_usize; 3];
        for _ in 0..21_000 {
            sticky.choose(waiting.iter().copied());
            turns[sticky.partition()] += 1;
        }
        // Tickets: 10, 10 and 1 of 21.
        for (turns, share) in turns.into_iter().zip([10_000, 10_000, 1_000]) {
            assert!(turns.abs_diff(share) < share / 4, "{turns} of {share}");
        }
    }

    #[test]
    fn a_partition_keeps_its_turn_until_a_batch_is_full_or_two_would_be() {
        let mut sticky = Sticky::default();
        sticky.add(99);
        assert!(!sticky.is_due(100, false));
        sticky.add(1);
        assert!(sticky.is_due(100, false));
        assert!(!sticky.is_due(100, true));
        sticky.add(100);
        assert!(sticky.is_due(100, true));
        sticky.choose([0, 0].into_iter());
        assert!(!sticky.is_due(100, false));
    }
}
