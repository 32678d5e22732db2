//! Expectations: waiting for a record that fits, and a story when none comes.
//!
//! Invariants
//! - Looking disturbs nothing: it goes past sessions, faults and the broker's clock.
//! - The wait is one by the machine's clock: it is the program under test that is waited for.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use highwater_broker::clock::SystemClock;
use highwater_client::ConsumerRecord;
use highwater_proto::clock::Clock;
use serde_json::Value;
use thiserror::Error;

use crate::testing::TestBroker;
use crate::testing::story::{self, shown};
use crate::testing::tail::Tail;

/// A record that a test expects in a topic: what is to hold of it. Made by
/// [`TestBroker::expect_event`].
#[derive(Debug)]
#[must_use = "it waits for the record when `within` is awaited"]
pub struct Expectation<'a> {
    broker: &'a TestBroker,
    topic: String,
    conditions: Vec<Condition>,
}

/// No record has come that fits. Its text is the whole story: what was expected, what is in the
/// topic, and what each record lacks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{story}")]
pub struct NotSeen {
    story: String,
}

impl<'a> Expectation<'a> {
    pub(super) fn new(broker: &'a TestBroker, topic: String) -> Self {
        Self {
            broker,
            topic,
            conditions: Vec::new(),
        }
    }

    /// It has this key.
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        self.and(Condition::Key(key.as_ref().to_vec()))
    }

    /// It has this payload, byte for byte.
    pub fn value(self, value: impl AsRef<[u8]>) -> Self {
        self.and(Condition::Value(value.as_ref().to_vec()))
    }

    /// It has a header of this name and value.
    pub fn header(self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.and(Condition::Header(name.into(), value.as_ref().to_vec()))
    }

    /// Its payload is JSON, in which this pointer (RFC 6901, such as `/items/0/price`) leads to
    /// this value.
    pub fn json_pointer(self, pointer: impl Into<String>, value: impl Into<Value>) -> Self {
        self.and(Condition::Json(pointer.into(), value.into()))
    }

    /// It stands in this partition.
    pub fn partition(self, partition: i32) -> Self {
        self.and(Condition::Partition(partition))
    }

    fn and(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Waits until there is a record that fits, for so long by the machine's clock, and answers the
    /// first one. Records that are there already count. Dropping the future changes nothing.
    ///
    /// # Panics
    /// With the story, if there is none.
    #[expect(clippy::panic, reason = "it is an assertion of a test")]
    #[track_caller]
    pub fn within(self, wait: Duration) -> impl Future<Output = ConsumerRecord> + Send + use<'a> {
        let caller = Location::caller();
        async move {
            match self.try_within(wait).await {
                Ok(record) => record,
                Err(not_seen) => panic!("{caller}: {not_seen}"),
            }
        }
    }

    /// As [`Self::within`], with an error instead of a panic.
    ///
    /// # Errors
    /// `NotSeen`, whose text is the story.
    pub async fn try_within(self, wait: Duration) -> Result<ConsumerRecord, NotSeen> {
        let machine = SystemClock::new();
        let deadline = machine.now().mono.plus(wait);
        let mut tail = Tail::new(&self.topic);
        loop {
            let is_last = machine.now().mono >= deadline;
            let broker = self.broker.current();
            if let Some(broker) = &broker {
                let fresh = tail.read(broker.service()).await.iter();
                let mut fitting = fresh.filter(|record| self.misses(record).is_empty());
                if let Some(record) = fitting.next() {
                    return Ok(record.clone());
                }
            }
            if is_last {
                let story = story::told(&self, wait, broker.as_deref(), &tail);
                return Err(NotSeen { story });
            }
            let again = machine.now().mono.plus(LOOK_EVERY).min(deadline);
            machine.sleep_until(again).await;
        }
    }

    /// What a record lacks to fit.
    pub(super) fn misses(&self, record: &ConsumerRecord) -> Vec<String> {
        let conditions = self.conditions.iter();
        conditions.filter_map(|it| it.miss(record)).collect()
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    pub(super) fn broker(&self) -> &TestBroker {
        self.broker
    }
}

/// What is to hold of a record.
#[derive(Debug)]
pub(super) enum Condition {
    Key(Vec<u8>),
    Value(Vec<u8>),
    Header(String, Vec<u8>),
    Json(String, Value),
    Partition(i32),
}

impl Condition {
    /// What is so instead, for people; `None` if it holds.
    fn miss(&self, record: &ConsumerRecord) -> Option<String> {
        match self {
            Self::Key(key) => {
                (record.key.as_deref() != Some(key)).then(|| "another key".to_owned())
            }
            Self::Value(value) => {
                (record.value.as_deref() != Some(value)).then(|| "another value".to_owned())
            }
            Self::Partition(partition) => {
                (record.partition != *partition).then(|| "another partition".to_owned())
            }
            Self::Header(name, value) => {
                let named: Vec<_> = (record.headers.iter())
                    .filter(|header| header.key == *name)
                    .map(|header| header.value.as_deref())
                    .collect();
                if named.contains(&Some(value)) {
                    return None;
                }
                Some(match named.first() {
                    Some(other) => format!("header {name} is {}", shown(*other)),
                    None => format!("no header {name}"),
                })
            }
            Self::Json(pointer, value) => {
                let payload = record.value.as_deref().unwrap_or_default();
                match serde_json::from_slice::<Value>(payload) {
                    Err(_) => Some("no JSON".to_owned()),
                    Ok(json) => match json.pointer(pointer) {
                        Some(found) if found == value => None,
                        Some(found) => Some(format!("{pointer} is {}", clipped_json(found))),
                        None => Some(format!("no {pointer}")),
                    },
                }
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key is {}", shown(Some(key))),
            Self::Value(value) => write!(f, "value is {}", shown(Some(value))),
            Self::Header(name, value) => write!(f, "header {name} is {}", shown(Some(value))),
            Self::Json(pointer, value) => write!(f, "{pointer} is {}", clipped_json(value)),
            Self::Partition(partition) => write!(f, "partition is {partition}"),
        }
    }
}

fn clipped_json(value: &Value) -> String {
    story::clipped(value.to_string())
}

/// How often the topic is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);
