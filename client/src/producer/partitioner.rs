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

/// The partition of a key among `partitions`, by murmur2.
///
/// # Panics
/// Never; `partitions` of 0 or less counts as 1.
#[must_use]
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// The 32-bit murmur2 hash with the seed and the tail of Kafka's Java client.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the hash is defined modulo 2^32"
    )]
    let mut hash = SEED ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    hash.cast_signed()
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
    fn hashes_agree_with_the_java_client() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("abc", 479_470_107),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("", 275_646_681),
            ("N14228", -1_499_626_080),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key:?}");
        }
        assert_eq!(partition_of(b"N14228", 12), 8);
    }

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
