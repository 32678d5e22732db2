//! How an event store is set up.
//!
//! Floor 6 of client.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use super::aggregate::{Aggregate, UnknownEvents};
use super::error::EventsError;
use super::exchange::{Asking, Repeat, read_stream, unexpected};
use super::metrics::Metrics;
use super::reader::EventReader;
use super::snapshots::Snapshots;
use super::store::EventStore;
use super::upcast::Upcasting;
use crate::Client;
use crate::error::ClientError;

/// Settings of an [`EventStore`]; made by [`Client::event_store`].
#[must_use = "nothing is opened before `build`"]
pub struct EventStoreBuilder<A: Aggregate> {
    pub(super) asking: Asking,
    pub(super) topic: Arc<str>,
    pub(super) source: String,
    pub(super) unknown: UnknownEvents,
    pub(super) upcasting: Upcasting,
    pub(super) snapshots: Option<Snapshots<A>>,
    pub(super) metrics: Metrics,
    pub(super) of: PhantomData<fn() -> A>,
}

impl<A: Aggregate> EventStoreBuilder<A> {
    pub(super) fn new(asking: Asking, topic: String) -> Self {
        Self {
            asking,
            source: format!("/{topic}"),
            topic: topic.into(),
            unknown: UnknownEvents::default(),
            upcasting: Upcasting::new(),
            snapshots: None,
            metrics: Metrics::new(),
            of: PhantomData,
        }
    }

    pub(crate) fn of_client(client: &Client, topic: String) -> Self {
        let asking = Asking::new(client.native(), Arc::clone(&client.cluster));
        Self::new(asking, topic)
    }

    /// Where the events happen, their `ce_source`; the topic with a slash before it, if it is not
    /// said.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// What becomes of events whose type the aggregate does not have.
    pub const fn unknown(mut self, unknown: UnknownEvents) -> Self {
        self.unknown = unknown;
        self
    }

    /// How events of older types are read.
    pub fn upcasting(mut self, upcasting: Upcasting) -> Self {
        self.upcasting = upcasting;
        self
    }

    /// Writes states down now and then, so that long streams load fast.
    pub fn snapshots(mut self, snapshots: Snapshots<A>) -> Self {
        self.snapshots = Some(snapshots);
        self
    }

    /// Opens the store. Asks the broker whether the topic is made for streams, and that of the
    /// snapshots, so that what cannot work fails now.
    ///
    /// # Errors
    /// `Unsupported` if what answers is no Highwater; `Broker` if there is no such topic, or it was
    /// created without `append.conditional=true`; `Invalid` if the upcasting goes in a circle.
    pub async fn build(self) -> Result<EventStore<A>, EventsError> {
        self.upcasting.check().map_err(ClientError::Invalid)?;
        probe(&self.asking, &self.topic).await?;
        if let Some(snapshots) = &self.snapshots {
            probe(&self.asking, &snapshots.topic_for(&self.topic)).await?;
        }
        Ok(EventStore::new(self))
    }
}

impl<A: Aggregate> EventStoreBuilder<A> {
    /// What reads only, for any broker that speaks Kafka: subscriptions and replays.
    ///
    /// # Errors
    /// `Invalid` if the upcasting goes in a circle.
    pub fn reader(self) -> Result<EventReader<A>, EventsError> {
        self.upcasting.check().map_err(ClientError::Invalid)?;
        Ok(EventReader {
            inner: Arc::new(self),
        })
    }
}

impl<A: Aggregate> fmt::Debug for EventStoreBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("EventStoreBuilder");
        shown.field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Reads a stream that may well be empty.
async fn probe(asking: &Asking, topic: &str) -> Result<(), EventsError> {
    let mut call = read_stream(topic, &Bytes::from_static(PROBED), u64::MAX);
    call.bytes_max = 1;
    match asking
        .ask(&Call::ReadStream(call), Repeat::Harmless)
        .await?
    {
        Answer::StreamEvents(_) => Ok(()),
        _ => Err(unexpected("a read of a stream").into()),
    }
}

/// Any key would do.
const PROBED: &[u8] = b"is-it-made-for-streams";
