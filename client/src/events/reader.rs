//! Reads events of all streams of a topic, and appends none: of any broker that speaks Kafka.
//!
//! Floor 6 of client.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::aggregate::{Aggregate, DomainEvent};
use super::builder::EventStoreBuilder;
use super::error::EventsError;
use super::replay::Replay;
use super::subscription::{Start, Subscription};
use crate::envelope::{Envelope, Event};
use crate::record::ConsumerRecord;

/// The events of a topic, to be read; made by [`EventStoreBuilder::reader`]. Clones are the same.
pub struct EventReader<A: Aggregate> {
    pub(super) inner: Arc<EventStoreBuilder<A>>,
}

/// An event of any stream of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen<E> {
    /// The partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// When it was stored, in milliseconds since 1970; on a topic that keeps the writer's times,
    /// when it was written.
    pub timestamp_ms: i64,
    /// Its stream.
    pub key: Bytes,
    /// Its place in the stream, if its writer knew it: a record does not say it by itself.
    pub revision: Option<u64>,
    /// The envelope: id, type, source, time, what caused it. Its data is as it was stored.
    pub envelope: Event,
    /// What happened, brought up to date; `None` if it deletes the stream, or is of a type that the
    /// aggregate does not have.
    pub event: Option<E>,
}

impl<A: Aggregate> EventReader<A> {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.inner.topic
    }

    /// As [`EventStore::subscribe`](super::EventStore::subscribe).
    ///
    /// # Errors
    /// As [`EventStore::subscribe`](super::EventStore::subscribe).
    pub async fn subscribe(&self, start: Start) -> Result<Subscription<A>, EventsError> {
        Subscription::begin(self.clone(), start).await
    }

    /// As [`EventStore::replay`](super::EventStore::replay).
    pub fn replay(&self) -> Replay<A> {
        Replay::new(self.clone())
    }

    /// The event in a record. A type that the aggregate does not have is no error here: who looks
    /// at all streams decides on none of them.
    pub(super) fn seen(&self, record: &ConsumerRecord) -> Result<Seen<A::Event>, EventsError> {
        let unreadable = |why: String| EventsError::Unreadable {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            why,
        };
        let envelope = Envelope::new().read(record);
        let envelope = envelope.map_err(|why| unreadable(why.to_string()))?;
        let event = match record.value {
            None => None,
            Some(_) => {
                let data = envelope.data.clone().unwrap_or_default();
                let upcast = self
                    .inner
                    .upcasting
                    .upcast(envelope.event_type.clone(), data);
                let (event_type, data) = upcast.map_err(unreadable)?;
                let read = A::Event::from_data(&event_type, &data);
                read.map_err(|why| unreadable(format!("it is no {event_type}: {why}")))?
            }
        };
        let revision = record.headers.iter().rev().find(|it| it.key == REVISION);
        let revision = revision.and_then(|it| std::str::from_utf8(it.value.as_deref()?).ok());
        Ok(Seen {
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp,
            key: record.key.clone().unwrap_or_default(),
            revision: revision.and_then(|it| it.parse().ok()),
            envelope,
            event,
        })
    }
}

impl<A: Aggregate> Clone for EventReader<A> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<A: Aggregate> fmt::Debug for EventReader<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("EventReader");
        shown
            .field("topic", &self.inner.topic)
            .finish_non_exhaustive()
    }
}

/// The header that says which revision a record is.
pub(super) const REVISION: &str = "es-revision";
