//! Why events were not appended, or a stream not loaded.
//!
//! Floor 6 of client.

use std::error::Error;

use bytes::Bytes;
use thiserror::Error;

use super::expect::{Expect, Head};
use crate::error::{ClientError, Outcome};

/// An event store could not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventsError {
    /// A stream is not as expected: somebody else has appended. Nothing was stored.
    #[error("the stream {} of {topic} is not as expected: {expected} was expected, {}",
        shown(.key), told(*.actual))]
    Conflict {
        /// The topic.
        topic: String,
        /// The stream.
        key: Bytes,
        /// What was expected.
        expected: Expect,
        /// Its last event; `None` if it has none.
        actual: Option<Head>,
    },
    /// Some of the events are stored with these ids and others are not: it is no repeat. Nothing
    /// was stored.
    #[error("the stream {} of {topic} has other events with some of these ids, they differ at \
             revision {revision}: an id names one event for ever", shown(.key))]
    IdMismatch {
        /// The topic.
        topic: String,
        /// The stream.
        key: Bytes,
        /// The first revision at which the ids differ.
        revision: u64,
    },
    /// The stream is deleted, and nobody has said that it may come back.
    #[error("the stream {} of {topic} is deleted since revision {revision}: allow_recreate begins \
             it anew", shown(.key))]
    Deleted {
        /// The topic.
        topic: String,
        /// The stream.
        key: Bytes,
        /// The revision of its last event.
        revision: u64,
    },
    /// Events of the stream were deleted, so that its state cannot be known.
    #[error("the stream {} of {topic} has lost its revisions from {from} up to {to} \
             (allow.history.loss): its state is unknown; history reads what is left", shown(.key))]
    Gone {
        /// The topic.
        topic: String,
        /// The stream.
        key: Bytes,
        /// The first revision that is missing.
        from: u64,
        /// The first one behind it that is there.
        to: u64,
    },
    /// The stream has an event of a type that the aggregate does not have.
    #[error(
        "revision {revision} of the stream {} of {topic} has the type {event_type}, which the \
         aggregate does not know: add it, upcast it, or say UnknownEvents::Skip",
        shown(.key)
    )]
    UnknownType {
        /// The topic.
        topic: String,
        /// The stream.
        key: Bytes,
        /// The event's revision.
        revision: u64,
        /// Its type.
        event_type: String,
    },
    /// The stream has an event that cannot be read.
    #[error("revision {revision} of the stream {} of {topic} cannot be read: {why}", shown(.key))]
    Undecodable {
        /// The topic.
        topic: String,
        /// The stream.
        key: Bytes,
        /// The event's revision.
        revision: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A record of the topic is no event that can be read.
    #[error("{topic}-{partition}@{offset} cannot be read as an event: {why}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What is wrong with it.
        why: String,
    },
    /// A record was not handled, and the replay ended at it.
    #[error("the replay of {topic} has ended at {topic}-{partition}@{offset}: {why}")]
    Replay {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What the handler said.
        why: String,
    },
    /// What any call may be told.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl EventsError {
    /// What is known of the events that were to be appended.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Client(error) => error.outcome(),
            _ => Outcome::NotWritten,
        }
    }

    /// Whether who loads and decides anew may succeed.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// An [update](super::EventStore::update) did not come through.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UpdateError<E: Error + 'static> {
    /// The decision was no.
    #[error(transparent)]
    Refused(E),
    /// The stream could not be loaded, or the events not appended.
    #[error(transparent)]
    Store(EventsError),
}

impl<E: Error + 'static> From<EventsError> for UpdateError<E> {
    fn from(error: EventsError) -> Self {
        Self::Store(error)
    }
}

fn shown(key: &Bytes) -> String {
    let text = key.escape_ascii().to_string();
    match text.len() {
        0..=KEY_SHOWN_MAX => text,
        _ => format!("{}...", text.get(..KEY_SHOWN_MAX).unwrap_or_default()),
    }
}

fn told(actual: Option<Head>) -> String {
    match actual {
        None => "and there is none".to_owned(),
        Some(head) if head.is_deleted => {
            format!("and it is deleted since revision {}", head.revision)
        }
        Some(head) => format!(
            "and it is at revision {}, offset {}",
            head.revision, head.offset
        ),
    }
}

/// A key may be a document.
const KEY_SHOWN_MAX: usize = 200;
