//! Event streams: all records of one key, appended under conditions and read without a scan.
//!
//! Floor 4 of broker.
//!
//! A stream is (topic, key), on topics with `append.conditional=true`. All records of a key are in
//! one partition, which has one writer: the order of offsets is the order of commits.
//!
//! Invariants
//! - All events of one append are one batch: they are stored together or not at all.
//! - An answer, a conflict included, tells of durable events only.
//! - A repeat of what is stored already is a success with the offsets of the first time: for ever
//!   where the append names the place of its events (`repeat`), for a while where it does not
//!   (`recent`).

mod append;
mod read;
mod recent;
mod repeat;

use bytes::Bytes;
use highwater_log::keys::{Expect, Head};
use highwater_log::types::Offset;
use thiserror::Error;

use crate::error::ProduceError;

pub(crate) use recent::Recent;
pub(crate) use repeat::{Claim, Claimed, Repeat, find_repeat, id_of};

/// Events for streams of one partition.
#[derive(Clone, Debug)]
pub struct AppendCall {
    /// The topic's name.
    pub topic: String,
    /// The partition; `None` finds it by the key, as Kafka's clients do by default.
    pub partition: Option<i32>,
    /// What must hold before the events are appended; also of keys that get none.
    pub checks: Vec<StreamCheck>,
    /// The events, in order; at least one.
    pub events: Vec<NewEvent>,
}

/// What is expected of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCheck {
    /// The stream's key.
    pub key: Bytes,
    /// What is expected of it.
    pub expect: Expect,
}

/// One event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The key of its stream.
    pub key: Bytes,
    /// What happened; `None` is a tombstone, which deletes the stream.
    pub value: Option<Bytes>,
    /// The headers, in order. `ce_id` is the event's id, by which a repeat is recognised.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl NewEvent {
    /// The value of the first header of a name.
    fn header(&self, name: &str) -> Option<&Bytes> {
        let header = self.headers.iter().find(|header| header.0 == name);
        header.and_then(|(_, value)| value.as_ref())
    }
}

/// Events that are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedEvents {
    /// Where they are.
    pub partition: i32,
    /// The offset of the first.
    pub base_offset: Offset,
    /// The offset of the last.
    pub last_offset: Offset,
    /// The revision of each in its stream, in order.
    pub revisions: Vec<u64>,
    /// Whether they were stored by an earlier call already.
    pub is_duplicate: bool,
    /// The time that the log stamped them with, in milliseconds; `None` for a duplicate, and where
    /// the topic keeps the client's.
    pub log_append_time_ms: Option<i64>,
}

/// Why events were not appended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// An expectation is not met.
    #[error("{} is not as expected: {expected} was expected, {}", .key.escape_ascii(), told(*.actual))]
    Conflict {
        /// The key of the stream.
        key: Bytes,
        /// What was expected.
        expected: Expect,
        /// Its last event, durable; `None` if it has none.
        actual: Option<Head>,
    },
    /// Some of the events are stored with these ids, and others are not: it is no repeat.
    #[error("{} has other events with some of these ids: they differ at revision {revision}", .key.escape_ascii())]
    IdMismatch {
        /// The key of the stream.
        key: Bytes,
        /// The first revision at which ids differ.
        revision: u64,
    },
    /// The topic has no streams.
    #[error(
        "the topic is not made for it: create it with append.conditional=true, which is decided when a topic is created"
    )]
    NotConditional,
    /// The request makes no sense.
    #[error("{why}")]
    Invalid {
        /// What is wrong.
        why: String,
    },
    /// What any produce call may be told.
    #[error(transparent)]
    Produce(#[from] ProduceError),
}

/// What is asked of one stream.
#[derive(Clone, Debug)]
pub struct ReadStreamCall {
    /// The topic's name.
    pub topic: String,
    /// The partition; `None` finds it by the key, as Kafka's clients do by default.
    pub partition: Option<i32>,
    /// The stream's key.
    pub key: Bytes,
    /// The first revision to be read.
    pub from_revision: u64,
    /// Up to which moment.
    pub as_of: AsOf,
    /// The most bytes of keys, values and headers; at least one event is given all the same.
    pub bytes_max: usize,
}

/// A moment in the life of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// All that is durable.
    Now,
    /// This revision and what is below it.
    Revision(u64),
    /// This offset and what is below it.
    Offset(Offset),
    /// Events with this time, in milliseconds, and those before the first later one.
    TimeMs(i64),
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its revision.
    pub revision: u64,
    /// Its offset.
    pub offset: Offset,
    /// Its time, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// What happened; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvents {
    /// Where the stream is.
    pub partition: i32,
    /// The events, in order.
    pub events: Vec<StreamEvent>,
    /// The last event of the whole stream that is durable, whatever was asked for; `None` if it has
    /// none.
    pub head: Option<Head>,
    /// Whether nothing is left of what was asked for.
    pub is_complete: bool,
}

/// Why a stream cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadStreamError {
    /// There is no such topic or partition.
    #[error("there is no such topic or partition")]
    UnknownTopicOrPartition,
    /// The topic has no streams.
    #[error(
        "the topic is not made for it: create it with append.conditional=true, which is decided when a topic is created"
    )]
    NotConditional,
    /// The log could not be read.
    #[error("the stream cannot be read: {why}")]
    Storage {
        /// What went wrong.
        why: String,
    },
}

fn told(actual: Option<Head>) -> String {
    match actual {
        None => "and there is no such stream".to_owned(),
        Some(head) if head.is_tombstone => {
            format!("and it is deleted since revision {}", head.revision)
        }
        Some(head) => format!("and it is at revision {}", head.revision),
    }
}
