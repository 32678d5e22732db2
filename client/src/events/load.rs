//! What is, out of what happened.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A state is that after a prefix of the stream, whatever is appended meanwhile.
//! - Each answer brings the end nearer, or reading fails.

use std::time::Duration;

use bytes::Bytes;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use super::aggregate::{Aggregate, UnknownEvents};
use super::error::EventsError;
use super::exchange::{Repeat, read_stream, unexpected};
use super::expect::{AsOf, Expect, Head};
use super::recorded::{Recorded, Stream, header};
use super::snapshots::{EVENT_ID, Snapshot};
use super::store::EventStore;
use super::token::{Appended, Token};

/// A state, and which events it follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// The last event that it follows from; `None` if there is none.
    pub head: Option<Head>,
    /// How many events were read; not those before the snapshot that it began at.
    pub read: u64,
    /// How many of those were left out, as [`UnknownEvents::Skip`] says.
    pub skipped: u64,
    pub(super) token: Token,
    /// The id of the last event.
    pub(super) event_id: Option<Bytes>,
}

impl<A> Loaded<A> {
    /// The revision of the last event that it follows from.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.head.map(|head| head.revision)
    }

    /// Whether the last event deletes the stream: then the state is the default.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.head.is_some_and(|head| head.is_deleted)
    }

    /// What to expect in an append that was decided on this state: that nothing has happened since.
    #[must_use]
    pub fn expect(&self) -> Expect {
        match self.head {
            None => Expect::NoStream,
            Some(head) if head.is_deleted => Expect::NoStreamOrDeleted,
            Some(head) => Expect::Revision(head.revision),
        }
    }

    /// What a view has to have seen, so that it is no older than this.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// This is the last event that it follows from.
    fn stand_at(&mut self, stream: &Stream, partition: i32, event: &v1::StreamEvent) {
        self.head = Some(Head {
            revision: event.revision,
            offset: event.offset,
            is_deleted: event.value.is_none(),
        });
        self.token = Token::new(&stream.topic, partition, event.offset);
        self.event_id = header(event, EVENT_ID).cloned();
    }
}

impl<A: Aggregate> Loaded<A> {
    /// Follows events that were appended behind it.
    pub(super) fn go_on(&mut self, events: &[A::Event], appended: &Appended) {
        events.iter().for_each(|event| self.state.apply(event));
        self.read = self.read.saturating_add(events.len() as u64);
        self.head = Some(Head {
            revision: appended.revision,
            offset: appended.offset,
            is_deleted: false,
        });
        self.token.merge(&appended.token());
    }

    /// Before the first event.
    fn nothing() -> Self {
        Self {
            state: A::default(),
            head: None,
            read: 0,
            skipped: 0,
            token: Token::default(),
            event_id: None,
        }
    }
}

impl<A: Aggregate> EventStore<A> {
    /// Folds a stream, and tells how long that took.
    pub(super) async fn fold(
        &self,
        stream: &Stream,
        as_of: Option<AsOf>,
    ) -> Result<(Loaded<A>, Duration), EventsError> {
        let clock = self.inner.asking.cluster.clock();
        let begun = clock.now().mono;
        let loaded = self.folded(stream, as_of).await?;
        let took = clock.now().mono.since(begun);
        self.inner.metrics.loaded(took);
        Ok((loaded, took))
    }

    async fn folded(&self, stream: &Stream, as_of: Option<AsOf>) -> Result<Loaded<A>, EventsError> {
        if let Some(snapshot) = self.snapshot(&stream.key).await {
            match self.fold_from(stream, Some(snapshot), as_of).await? {
                Some(loaded) => {
                    self.snapshot_used();
                    return Ok(loaded);
                }
                None => self.snapshot_ignored(),
            }
        }
        let loaded = self.fold_from(stream, None, as_of).await?;
        Ok(loaded.unwrap_or_else(Loaded::nothing))
    }

    /// Folds what is behind a snapshot; `None` if the event that it names is not at its place.
    async fn fold_from(
        &self,
        stream: &Stream,
        snapshot: Option<Snapshot<A>>,
        as_of: Option<AsOf>,
    ) -> Result<Option<Loaded<A>>, EventsError> {
        let from_revision = snapshot.as_ref().map_or(0, |it| it.head.revision);
        let mut pages = Pages::new(self, stream, from_revision, as_of);
        let mut snapshot = snapshot;
        let mut loaded = Loaded::nothing();
        while let Some(page) = pages.next().await? {
            let mut events = page.events.iter();
            if let Some(snapshot) = snapshot.take() {
                let Some(first) = events.next().filter(|it| snapshot.is_after(it)) else {
                    return Ok(None);
                };
                loaded.stand_at(stream, page.partition, first);
                loaded.state = snapshot.state;
            }
            for event in events {
                self.follow(&mut loaded, stream, page.partition, event)?;
            }
        }
        Ok(Some(loaded))
    }

    /// Takes one event into the state.
    fn follow(
        &self,
        loaded: &mut Loaded<A>,
        stream: &Stream,
        partition: i32,
        event: &v1::StreamEvent,
    ) -> Result<(), EventsError> {
        let due = loaded.revision().map_or(0, |revision| revision + 1);
        if event.revision != due {
            // Without all of them the state is another one, and nobody should decide on it.
            return Err(EventsError::Gone {
                topic: self.inner.topic.to_string(),
                key: stream.key.clone(),
                from: due,
                to: event.revision,
            });
        }
        match &event.value {
            None => loaded.state = A::default(),
            Some(data) => match self.what_happened(stream, partition, event, data)? {
                Some(event) => loaded.state.apply(&event),
                None => loaded.skipped += 1,
            },
        }
        loaded.read += 1;
        loaded.stand_at(stream, partition, event);
        Ok(())
    }

    pub(super) async fn recorded(
        &self,
        key: &[u8],
        from_revision: u64,
    ) -> Result<Vec<Recorded<A::Event>>, EventsError> {
        let stream = self.stream(key);
        let mut recorded = Vec::new();
        let mut pages = Pages::new(self, &stream, from_revision, None);
        while let Some(page) = pages.next().await? {
            for event in &page.events {
                let data = event.value.as_ref();
                let happened =
                    data.map(|data| self.what_happened(&stream, page.partition, event, data));
                recorded.push(Recorded {
                    revision: event.revision,
                    offset: event.offset,
                    timestamp_ms: event.timestamp_ms,
                    envelope: stream.envelope(page.partition, event)?,
                    event: happened.transpose()?.flatten(),
                });
            }
        }
        Ok(recorded)
    }

    /// The event behind a record; `None` if it is one to be skipped.
    fn what_happened(
        &self,
        stream: &Stream,
        partition: i32,
        event: &v1::StreamEvent,
        data: &Bytes,
    ) -> Result<Option<A::Event>, EventsError> {
        let revision = event.revision;
        let (event_type, data) = stream.type_and_data(partition, event, data)?;
        let upcast = self.inner.upcasting.upcast(event_type, data);
        let (event_type, data) = upcast.map_err(|why| stream.undecodable(revision, why))?;
        match stream.decode(revision, &event_type, &data)? {
            None if self.inner.unknown == UnknownEvents::Fail => Err(EventsError::UnknownType {
                topic: stream.topic.to_string(),
                key: stream.key.clone(),
                revision,
                event_type,
            }),
            happened => Ok(happened),
        }
    }
}

/// A stream, a part at a time.
struct Pages<'a, A: Aggregate> {
    store: &'a EventStore<A>,
    call: v1::ReadStream,
    is_over: bool,
}

impl<'a, A: Aggregate> Pages<'a, A> {
    fn new(
        store: &'a EventStore<A>,
        stream: &Stream,
        from_revision: u64,
        as_of: Option<AsOf>,
    ) -> Self {
        let mut call = read_stream(&stream.topic, &stream.key, from_revision);
        call.as_of = as_of.map(|as_of| as_of.0);
        Self {
            store,
            call,
            is_over: false,
        }
    }

    /// The next part, whose events are in order and behind those before.
    async fn next(&mut self) -> Result<Option<v1::StreamEvents>, EventsError> {
        if self.is_over {
            return Ok(None);
        }
        let call = Call::ReadStream(self.call.clone());
        let asking = &self.store.inner.asking;
        let Answer::StreamEvents(page) = asking.ask(&call, Repeat::Harmless).await? else {
            return Err(unexpected("a read of a stream").into());
        };
        for event in &page.events {
            if event.revision < self.call.from_revision {
                return Err(unexpected("a read from a revision on").into());
            }
            self.call.from_revision = event.revision.saturating_add(1);
        }
        self.is_over = page.is_complete;
        if page.events.is_empty() && !page.is_complete {
            return Err(unexpected("a read of a stream that goes on").into());
        }
        Ok(Some(page))
    }
}
