//! What the clients of one life share: where the broker is, which partitions there are, what time
//! it is, and whether it is over.
//!
//! Invariants
//! - A record follows from its value alone, so that a damaged one is seen wherever it is read.
//! - No two sends of a life have the same value.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater_client::{Client, ClientError, ConsumerRecord, SystemClock};
use highwater_kit::history::{Durability, Operation, Outcome, Partition, Read, Role, Step};
use highwater_kit::rng::Rng;
use highwater_proto::clock::Clock;

/// A handle of what is shared.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bootstrap: String,
    topics: Vec<Topic>,
    /// By process.
    roles: Vec<Role>,
    groups: u32,
    clock: SystemClock,
    is_over: AtomicBool,
    acked: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

/// A topic of a life.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) durability: Durability,
    pub(super) partitions: u32,
}

impl Scene {
    pub(super) fn new(bootstrap: &str, topics: Vec<Topic>, roles: Vec<Role>, groups: u32) -> Self {
        let shared = Shared {
            bootstrap: bootstrap.to_owned(),
            topics,
            roles,
            groups,
            clock: SystemClock::new(),
            is_over: AtomicBool::new(false),
            acked: AtomicU64::new(0),
            wrong: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(super) fn bootstrap(&self) -> &str {
        &self.shared.bootstrap
    }

    pub(super) fn topics(&self) -> &[Topic] {
        &self.shared.topics
    }

    /// What each process is.
    pub(super) fn roles(&self) -> &[Role] {
        &self.shared.roles
    }

    /// How many groups there are.
    pub(super) fn groups(&self) -> u32 {
        self.shared.groups
    }

    /// The partitions, as a history has them.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        let topics = self.topics().iter();
        let of = |topic: &Topic| {
            let Topic {
                name, durability, ..
            } = *topic;
            let name = move |index| format!("{name}/{index}");
            let indexes = 0..topic.partitions;
            indexes.map(move |index| Partition {
                name: name(index),
                durability,
            })
        };
        topics.flat_map(of).collect()
    }

    /// Topic and partition of each place in [`Self::partitions`].
    pub(super) fn places(&self) -> Vec<(&'static str, i32)> {
        let topics = self.topics().iter();
        let of = |topic: &Topic| {
            let (name, count) = (topic.name, topic.partitions.cast_signed());
            (0..count).map(move |index| (name, index))
        };
        topics.flat_map(of).collect()
    }

    /// The place of a partition in [`Self::partitions`].
    pub(super) fn place(&self, topic: &str, partition: i32) -> u32 {
        let places = self.places();
        let place = places.iter().position(|it| *it == (topic, partition));
        let place = place.and_then(|place| u32::try_from(place).ok());
        place.unwrap_or(u32::MAX)
    }

    /// A client, however long the broker is away.
    pub(super) async fn client(&self, name: &str) -> Client {
        loop {
            match Client::connect_as(&self.shared.bootstrap, name).await {
                Ok(client) => return client,
                Err(_) => self.pause(10).await,
            }
        }
    }

    /// Microseconds since the life began.
    pub(super) fn now_us(&self) -> u64 {
        self.shared.clock.now().mono.0 / 1_000
    }

    pub(super) async fn pause(&self, ms: u64) {
        let at = self.shared.clock.now().mono.plus(Duration::from_millis(ms));
        self.shared.clock.sleep_until(at).await;
    }

    pub(super) fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }

    /// Nothing more is begun.
    pub(super) fn end(&self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }

    /// One more record was acknowledged.
    pub(super) fn acked(&self) {
        self.shared.acked.fetch_add(1, Ordering::Relaxed);
    }

    /// How many records were acknowledged.
    pub(super) fn acked_count(&self) -> u64 {
        self.shared.acked.load(Ordering::Relaxed)
    }

    /// Something is wrong that no history says.
    pub(super) fn wrong(&self, what: String) {
        let wrong = self.shared.wrong.lock();
        let mut wrong = wrong.unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < WRONG_MAX {
            wrong.push(what);
        }
    }

    pub(super) fn all_wrong(&self) -> Vec<String> {
        let wrong = self.shared.wrong.lock();
        wrong.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A poll of `process` that gave these records.
    pub(super) fn poll(
        &self,
        process: u32,
        during_us: [u64; 2],
        records: &[ConsumerRecord],
    ) -> Operation {
        let reads = records.iter().filter_map(|record| self.read(record));
        let reads = vec![Step::Poll(reads.collect())];
        Operation::new(process, during_us, Outcome::Ok, reads)
    }

    fn read(&self, record: &ConsumerRecord) -> Option<Read> {
        let place = format!("{}/{}@{}", record.topic, record.partition, record.offset);
        let Ok(offset) = u64::try_from(record.offset) else {
            self.wrong(format!("a record at a negative offset: {place}"));
            return None;
        };
        let bytes = record.value.as_deref().unwrap_or_default();
        let Some(value) = value_of(bytes) else {
            let len = bytes.len();
            self.wrong(format!(
                "O11: nobody sent the {len} bytes that were read from {place}"
            ));
            return None;
        };
        Some(Read {
            partition: self.place(&record.topic, record.partition),
            offset,
            value,
        })
    }
}

/// The value of a process's send with this number.
pub(super) fn value(process: u32, count: u64) -> u64 {
    u64::from(process) << PROCESS_SHIFT | count
}

/// The process that sent a value.
pub(super) const fn sender(value: u64) -> u64 {
    value >> PROCESS_SHIFT
}

/// The bytes of a record with this value.
pub(super) fn payload(value: u64) -> Vec<u8> {
    let mut rng = Rng::new(value);
    let more = match rng.below(200) {
        0 => 30_000,
        1..=9 => 2_000,
        _ => rng.below(150),
    };
    let mut bytes = value.to_be_bytes().to_vec();
    let chunks = more.div_ceil(8);
    bytes.extend((0..chunks).flat_map(|_| rng.bits().to_be_bytes()));
    bytes
}

/// The value of a record, if these are the bytes of one.
fn value_of(bytes: &[u8]) -> Option<u64> {
    let value = u64::from_be_bytes(*bytes.first_chunk()?);
    (payload(value) == bytes).then_some(value)
}

/// What became of a send that was accepted and failed.
pub(super) const fn failed(error: &ClientError) -> Outcome {
    match error {
        ClientError::NotSent(_) | ClientError::Invalid(_) => Outcome::Fail,
        _ => Outcome::Info,
    }
}

const PROCESS_SHIFT: u32 = 40;

/// More of them say nothing new.
const WRONG_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_damaged_has_no_value() {
        for count in 0..500 {
            let value = value(3, count);
            let mut bytes = payload(value);
            assert_eq!((value_of(&bytes), sender(value)), (Some(value), 3));
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert_eq!(value_of(&bytes), None);
            assert_eq!(value_of(&bytes[..last]), None);
        }
    }
}
