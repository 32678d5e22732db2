//! What was sent and what was read, kept so that every difference shows.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Two ledgers agree only if each key has the same values in the same order in one partition,
//!   and the records without a key are the same ones in whatever order.
//! - Memory grows with the keys, not with the records.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

/// Records by key.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    keys: HashMap<Bytes, Chain>,
    /// Of the records without a key: the sum of their hashes, which forgets their order.
    unkeyed: Chain,
    /// Keys that were seen in more than one partition.
    pub(super) scattered: u64,
}

/// The records of one key, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Chain {
    partition: i32,
    records: u64,
    hash: u64,
}

impl Ledger {
    /// Writes down a record.
    pub(super) fn add(&mut self, partition: i32, key: Option<&Bytes>, value: &[u8]) {
        let Some(key) = key else {
            self.unkeyed.records += 1;
            self.unkeyed.hash = self.unkeyed.hash.wrapping_add(hash(0, value));
            return;
        };
        if !self.keys.contains_key(key) {
            // A copy, so that the batch of the key's first record is not kept.
            let key = Bytes::copy_from_slice(key);
            self.keys.insert(
                key,
                Chain {
                    partition,
                    ..Chain::default()
                },
            );
        }
        let Some(chain) = self.keys.get_mut(key) else {
            return;
        };
        self.scattered += u64::from(chain.partition != partition);
        chain.records += 1;
        chain.hash = hash(chain.hash, value);
    }

    /// Takes in what another reader, of other partitions, has written down.
    pub(super) fn merge(&mut self, other: Self) {
        self.scattered += other.scattered;
        self.unkeyed.records += other.unkeyed.records;
        self.unkeyed.hash = self.unkeyed.hash.wrapping_add(other.unkeyed.hash);
        for (key, chain) in other.keys {
            if self.keys.insert(key, chain).is_some() {
                self.scattered += 1;
            }
        }
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        self.unkeyed.records + self.keys.values().map(|chain| chain.records).sum::<u64>()
    }

    /// How many records have no key.
    pub(super) fn unkeyed(&self) -> u64 {
        self.unkeyed.records
    }

    /// The number of keys of each partition.
    pub(super) fn keys_of(&self, partition: i32) -> u64 {
        self.keys
            .values()
            .filter(|chain| chain.partition == partition)
            .count() as u64
    }

    /// Every way in which what was read is not what was sent, one sentence each; at most
    /// `DIFFERENCES_MAX`.
    pub(super) fn differences(sent: &Self, read: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (what, ledger) in [("sent to", sent), ("read from", read)] {
            if ledger.scattered > 0 {
                found.push(format!(
                    "{} records were {what} a second partition",
                    ledger.scattered
                ));
            }
        }
        if sent.unkeyed != read.unkeyed {
            let (sent, read) = (sent.unkeyed.records, read.unkeyed.records);
            found.push(format!(
                "without a key: {sent} records sent, {read} read, not the same"
            ));
        }
        let missing = sent
            .keys
            .iter()
            .filter(|(key, _)| !read.keys.contains_key(*key));
        found.extend(missing.map(|(key, _)| format!("key {}: nothing was read", shown(key))));
        for (key, chain) in &read.keys {
            let Some(wanted) = sent.keys.get(key) else {
                found.push(format!("key {}: nothing was sent", shown(key)));
                continue;
            };
            if let Some(why) = chain.difference(wanted) {
                found.push(format!("key {}: {why}", shown(key)));
            }
            if found.len() >= DIFFERENCES_MAX {
                break;
            }
        }
        found.truncate(DIFFERENCES_MAX);
        found
    }
}

impl Chain {
    fn difference(&self, wanted: &Self) -> Option<String> {
        if self == wanted {
            None
        } else if self.records != wanted.records {
            Some(format!(
                "{} records sent, {} read",
                wanted.records, self.records
            ))
        } else if self.partition != wanted.partition {
            Some(format!(
                "sent to partition {}, read from {}",
                wanted.partition, self.partition
            ))
        } else {
            Some("the values or their order are not those that were sent".to_owned())
        }
    }
}

/// The hash of everything so far and one more value.
fn hash(before: u64, value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(before);
    hasher.write(value);
    hasher.finish()
}

fn shown(key: &[u8]) -> String {
    let short = &key[..key.len().min(KEY_BYTES_SHOWN)];
    format!("\"{}\"", short.escape_ascii())
}

const DIFFERENCES_MAX: usize = 20;
const KEY_BYTES_SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// Partition, key and value; an empty key is none.
    #[derive(Clone, Copy)]
    struct Row(i32, &'static str, &'static str);

    fn ledger(records: &[Row]) -> Ledger {
        let mut ledger = Ledger::default();
        for Row(partition, key, value) in records {
            let key = Bytes::from_static(key.as_bytes());
            ledger.add(
                *partition,
                Some(&key).filter(|key| !key.is_empty()),
                value.as_bytes(),
            );
        }
        ledger
    }

    const SENT: [Row; 5] = [
        Row(0, "a", "1"),
        Row(1, "b", "1"),
        Row(0, "a", "2"),
        Row(0, "", "x"),
        Row(1, "", "y"),
    ];

    #[test]
    fn the_order_between_keys_and_without_a_key_is_free() {
        let read = [
            Row(1, "", "y"),
            Row(1, "", "x"),
            Row(1, "b", "1"),
            Row(0, "a", "1"),
            Row(0, "a", "2"),
        ];
        assert!(Ledger::differences(&ledger(&SENT), &ledger(&read)).is_empty());
        let mut merged = ledger(&read[..3]);
        merged.merge(ledger(&read[3..]));
        assert!(Ledger::differences(&ledger(&SENT), &merged).is_empty());
        assert_eq!(
            (merged.keys(), merged.records(), merged.unkeyed()),
            (2, 5, 2)
        );
        assert_eq!((merged.keys_of(0), merged.keys_of(1)), (1, 1));
    }

    #[test]
    fn every_damage_shows() {
        let change = |change: &dyn Fn(&mut Vec<Row>)| {
            let mut read = SENT.to_vec();
            change(&mut read);
            Ledger::differences(&ledger(&SENT), &ledger(&read))
        };
        for (found, sentence) in [
            (
                change(&|read| read.swap(0, 2)),
                "key \"a\": the values or their order are not those that were sent",
            ),
            (
                change(&|read| _ = read.remove(2)),
                "key \"a\": 2 records sent, 1 read",
            ),
            (
                change(&|read| read.push(Row(1, "b", "1"))),
                "key \"b\": 1 records sent, 2 read",
            ),
            (
                change(&|read| _ = read.remove(1)),
                "key \"b\": nothing was read",
            ),
            (
                change(&|read| read.push(Row(0, "c", "1"))),
                "key \"c\": nothing was sent",
            ),
            (
                change(&|read| read[1].0 = 0),
                "key \"b\": sent to partition 1, read from 0",
            ),
            (
                change(&|read| read[2].0 = 1),
                "1 records were read from a second partition",
            ),
            (
                change(&|read| read[3].2 = "z"),
                "without a key: 2 records sent, 2 read, not the same",
            ),
        ] {
            assert_eq!(found, [sentence]);
        }
        let mut split = ledger(&SENT[..2]);
        split.merge(ledger(&SENT[2..]));
        assert!(!Ledger::differences(&ledger(&SENT), &split).is_empty());
    }
}
