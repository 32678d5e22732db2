//! Events on their way into streams of one partition.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - The ids are made once: whoever sends it again sends the same events.

use std::borrow::Borrow;
use std::future::IntoFuture;
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::exchange::BoxFuture;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use super::aggregate::{Aggregate, DomainEvent};
use super::error::EventsError;
use super::exchange::{Repeat, unexpected};
use super::expect::Expect;
use super::recorded;
use super::store::EventStore;
use super::token::Appended;
use crate::envelope::{Event, EventId};
use crate::error::ClientError;

/// Events to be appended, all or none; made by [`EventStore::append`].
///
/// Awaiting it sends it. If no answer comes, and the broker would know a repeat
/// ([`Expect::Revision`] and [`Expect::NoStream`]), it is sent again until `default.api.timeout.ms`
/// are over; else the error says that it may be stored. [`Self::send`] sends it as often as you
/// like, with the same ids.
#[derive(Debug)]
#[must_use = "nothing is appended before it is awaited"]
pub struct Append<A: Aggregate> {
    store: EventStore<A>,
    parts: Result<Vec<Part>, EventsError>,
    partition: Option<i32>,
}

/// What is expected of one stream, and what is appended to it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    key: Bytes,
    expect: Expect,
    events: Vec<Event>,
}

impl Part {
    pub(super) fn new<A: Aggregate>(
        store: &EventStore<A>,
        key: &[u8],
        expect: Expect,
        events: impl IntoIterator<Item = impl Borrow<A::Event>>,
    ) -> Result<Self, EventsError> {
        let (source, now) = (&store.inner.source, store.now_ms());
        let key = Bytes::copy_from_slice(key);
        let event = |event: &A::Event| match event.to_data() {
            Ok(data) => Ok(recorded::envelope(source, now, &key, data)),
            Err(why) => Err(ClientError::Invalid(format!(
                "an event for {} cannot be written down: {why}",
                store.topic()
            ))),
        };
        let events = events.into_iter().map(|it| event(it.borrow()));
        let events = events.collect::<Result<_, _>>()?;
        Ok(Self {
            key,
            expect,
            events,
        })
    }

    pub(super) fn tombstone<A: Aggregate>(
        store: &EventStore<A>,
        key: &[u8],
        expect: Expect,
    ) -> Self {
        let key = Bytes::copy_from_slice(key);
        let event = Event::at(store.now_ms(), &store.inner.source, DELETED).key(key.clone());
        Self {
            key,
            expect,
            events: vec![event],
        }
    }
}

impl<A: Aggregate> Append<A> {
    pub(super) fn new(store: EventStore<A>, part: Result<Part, EventsError>) -> Self {
        Self {
            store,
            parts: part.map(|part| vec![part]),
            partition: None,
        }
    }

    /// Appends events to another stream of the same partition, too: all of them, or none.
    pub fn also(
        self,
        key: impl AsRef<[u8]>,
        expect: Expect,
        events: impl IntoIterator<Item = A::Event>,
    ) -> Self {
        let part = Part::new(&self.store, key.as_ref(), expect, events);
        self.with(part)
    }

    /// Expects something of another stream of the same partition, to which nothing is appended.
    pub fn require(self, key: impl AsRef<[u8]>, expect: Expect) -> Self {
        let part = Part {
            key: Bytes::copy_from_slice(key.as_ref()),
            expect,
            events: Vec::new(),
        };
        self.with(Ok(part))
    }

    /// The partition of its streams; found by the key as Kafka's clients do, if it is not said.
    pub const fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Gives its events the id of what they belong to: `ce_correlationid`.
    pub fn correlation(self, id: impl Into<String>) -> Self {
        self.extension("correlationid", &id.into())
    }

    /// Gives its events the id of what they follow from: `ce_causationid`.
    pub fn causation(self, id: impl Into<String>) -> Self {
        self.extension("causationid", &id.into())
    }

    /// Gives its events these ids, in order, instead of new ones: who appends it again after a lost
    /// answer, even from another process, appends the same events.
    pub fn ids<I: Into<EventId>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        let events = self.parts.iter_mut().flatten();
        let events = events.flat_map(|part| &mut part.events);
        events.zip(ids).for_each(|(event, id)| event.id = id.into());
        self
    }

    /// They follow from this event, and belong to what it belongs to.
    pub fn caused_by(self, event: &Event) -> Self {
        let id = event.id.as_str();
        let correlation = event.extensions.get("correlationid");
        let correlation = correlation.map_or(id, String::as_str);
        self.correlation(correlation).causation(id)
    }

    /// The events with their envelopes, in order; none if one of them could not be written down,
    /// which [`Self::send`] says.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        let parts = self.parts.iter().flatten();
        parts.flat_map(|part| &part.events)
    }

    /// Sends it, and waits until it is durable. What was stored before is not stored again, see
    /// [`Expect`].
    ///
    /// # Errors
    /// `Conflict` if something is not as expected, `IdMismatch` if some of its ids are taken, and
    /// nothing is stored; `Client` with `Invalid` if it makes no sense, or with `Unknown` if it may
    /// be stored.
    pub async fn send(&self) -> Result<Appended, EventsError> {
        let parts = self.parts.as_ref().map_err(Clone::clone)?;
        let call = Call::Append(self.to_wire(parts)?);
        let repeat = match parts.iter().all(|part| part.expect.knows_repeats()) {
            true => Repeat::Harmless,
            false => Repeat::Harmful,
        };
        match self.store.inner.asking.ask(&call, repeat).await? {
            Answer::Appended(it) => self.appended(it),
            Answer::Conflict(it) => Err(self.conflict(it)),
            Answer::IdMismatch(it) => Err(EventsError::IdMismatch {
                topic: self.store.topic().to_owned(),
                key: it.key,
                revision: it.revision,
            }),
            _ => Err(unexpected("an append").into()),
        }
    }

    fn with(mut self, part: Result<Part, EventsError>) -> Self {
        match (&mut self.parts, part) {
            (Ok(parts), Ok(part)) => parts.push(part),
            (Ok(_), Err(error)) => self.parts = Err(error),
            (Err(_), _) => {}
        }
        self
    }

    fn extension(mut self, name: &str, value: &str) -> Self {
        for event in self
            .parts
            .iter_mut()
            .flatten()
            .flat_map(|it| &mut it.events)
        {
            event.extensions.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    fn to_wire(&self, parts: &[Part]) -> Result<v1::Append, EventsError> {
        let topic = self.store.topic();
        let mut checks = Vec::with_capacity(parts.len());
        let mut events = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            if parts[..at].iter().any(|other| other.key == part.key) {
                let key = part.key.escape_ascii();
                let why = format!("the stream {key} is named twice in one append to {topic}");
                return Err(ClientError::Invalid(why).into());
            }
            checks.push(v1::StreamCheck {
                key: part.key.clone(),
                expect: Some(part.expect.to_wire()),
            });
            let mut revision = part.expect.first_revision();
            for event in &part.events {
                events.push(recorded::to_wire(topic, event, revision)?);
                revision = revision.and_then(|it| it.checked_add(1));
            }
        }
        if events.is_empty() {
            let why = format!("an append to {topic} has no event");
            return Err(ClientError::Invalid(why).into());
        }
        Ok(v1::Append {
            topic: topic.to_owned(),
            partition: self.partition,
            checks,
            events,
        })
    }

    fn conflict(&self, it: v1::Conflict) -> EventsError {
        self.store.inner.metrics.conflict();
        let expected = it.expected.and_then(Expect::from_wire);
        EventsError::Conflict {
            topic: self.store.topic().to_owned(),
            expected: expected.unwrap_or(Expect::Any),
            key: it.key,
            actual: it.actual.map(Into::into),
        }
    }

    fn appended(&self, it: v1::Appended) -> Result<Appended, EventsError> {
        if !it.is_duplicate {
            self.store.inner.metrics.appended(it.revisions.len());
        }
        let revision = it.revisions.last().copied();
        Ok(Appended {
            topic: Arc::clone(&self.store.inner.topic),
            partition: it.partition,
            revision: revision.ok_or_else(|| unexpected("an append"))?,
            revisions: it.revisions,
            offset: it.last_offset,
            is_duplicate: it.is_duplicate,
            log_append_time_ms: it.log_append_time_ms,
        })
    }
}

impl<A: Aggregate> IntoFuture for Append<A> {
    type Output = Result<Appended, EventsError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.send().await })
    }
}

impl<A: Aggregate> EventStore<A> {
    fn now_ms(&self) -> i64 {
        self.inner.asking.cluster.clock().wall().0
    }
}

/// The type of the event that deletes a stream.
const DELETED: &str = "highwater.stream.deleted.v1";
