//! The streams of one topic, as aggregates of one type.
//!
//! Floor 6 of client.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::native::NativeExchange;

use super::aggregate::Aggregate;
use super::append::{Append, Part};
use super::builder::EventStoreBuilder;
use super::error::EventsError;
use super::exchange::Asking;
use super::expect::{AsOf, Expect};
use super::load::Loaded;
use super::metrics::EventsMetrics;
use super::reader::EventReader;
use super::recorded::{Recorded, Stream};
use super::replay::Replay;
use super::subscription::{Start, Subscription};
use super::update::Update;
use crate::Client;

/// The streams of a topic, each of which folds to an `A`. Clones are the same store.
///
/// ```no_run
/// use highwater_client::events::{Aggregate, EventStore, EventsError, Expect, UpdateError};
/// # use highwater_client::events::{DomainEvent, EventData};
/// # use std::convert::Infallible;
/// # use std::error::Error;
/// # use bytes::Bytes;
/// # struct Deposited(u32);
/// # impl DomainEvent for Deposited {
/// #     fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
/// #         Ok(EventData::new("deposited.v1", self.0.to_string()))
/// #     }
/// #     fn from_data(
/// #         _: &str,
/// #         data: &Bytes,
/// #     ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
/// #         Ok(Some(Self(std::str::from_utf8(data)?.parse()?)))
/// #     }
/// # }
/// # #[derive(Default)]
/// # struct Account { balance: u32 }
/// # impl Aggregate for Account {
/// #     type Event = Deposited;
/// #     fn apply(&mut self, event: &Deposited) { self.balance += event.0; }
/// # }
///
/// async fn deposit(accounts: &EventStore<Account>) -> Result<(), Box<dyn Error>> {
///     accounts.append("a-7", Expect::NoStream, [Deposited(10)]).await?;
///     let updated = accounts
///         .update("a-7", |account| match account.balance {
///             0..100 => Ok(vec![Deposited(5)]),
///             _ => Err(std::io::Error::other("the account is full")),
///         })
///         .retry_conflicts(3)
///         .await?;
///     println!("{} at revision {:?}", updated.state.balance, updated.revision);
///     Ok(())
/// }
/// ```
pub struct EventStore<A: Aggregate> {
    pub(super) inner: Arc<EventStoreBuilder<A>>,
}

impl<A: Aggregate> EventStore<A> {
    /// A store over a session of the native protocol.
    pub fn over(
        native: Arc<dyn NativeExchange>,
        client: &Client,
        topic: impl Into<String>,
    ) -> EventStoreBuilder<A> {
        let asking = Asking::new(Some(native), Arc::clone(&client.cluster));
        EventStoreBuilder::new(asking, topic.into())
    }

    pub(super) fn new(settings: EventStoreBuilder<A>) -> Self {
        Self {
            inner: Arc::new(settings),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.inner.topic
    }

    /// Appends events to a stream, all or none, if it is as expected. Nothing is sent before the
    /// answer is awaited.
    pub fn append(
        &self,
        key: impl AsRef<[u8]>,
        expect: Expect,
        events: impl IntoIterator<Item = A::Event>,
    ) -> Append<A> {
        Append::new(self.clone(), Part::new(self, key.as_ref(), expect, events))
    }

    /// Deletes a stream, if it is as expected: a tombstone is its last event. What was there stays
    /// in the log.
    pub fn delete(&self, key: impl AsRef<[u8]>, expect: Expect) -> Append<A> {
        Append::new(
            self.clone(),
            Ok(Part::tombstone(self, key.as_ref(), expect)),
        )
    }

    /// Folds the events of a stream. One without events, or that is deleted, is the default.
    ///
    /// # Errors
    /// `UnknownType` or `Undecodable` if one of its events cannot be followed.
    pub async fn load(&self, key: impl AsRef<[u8]>) -> Result<Loaded<A>, EventsError> {
        let stream = self.stream(key.as_ref());
        let (loaded, took) = self.fold(&stream, None).await?;
        self.keep(&stream.key, &loaded, took);
        Ok(loaded)
    }

    /// As [`Self::load`], as it was at a moment.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn load_as_of(
        &self,
        key: impl AsRef<[u8]>,
        as_of: AsOf,
    ) -> Result<Loaded<A>, EventsError> {
        let stream = self.stream(key.as_ref());
        let (loaded, _) = self.fold(&stream, Some(as_of)).await?;
        Ok(loaded)
    }

    /// The events of a stream from a revision on, with their envelopes.
    ///
    /// # Errors
    /// As [`Self::load`]; an event is undecodable also if its envelope is.
    pub async fn history(
        &self,
        key: impl AsRef<[u8]>,
        from_revision: u64,
    ) -> Result<Vec<Recorded<A::Event>>, EventsError> {
        self.recorded(key.as_ref(), from_revision).await
    }

    /// Loads a stream, decides, and appends what was decided if nothing has happened meanwhile.
    ///
    /// What was decided is appended with the revision that was seen. To decide nothing is allowed,
    /// and appends nothing.
    pub fn update<I, E, F>(&self, key: impl AsRef<[u8]>, decide: F) -> Update<'_, A, F>
    where
        F: FnMut(&A) -> Result<I, E> + Send,
        I: IntoIterator<Item = A::Event>,
    {
        Update::new(self, Bytes::copy_from_slice(key.as_ref()), decide)
    }

    /// Follows the events of all streams: those that are there, then those that happen.
    ///
    /// ```no_run
    /// use highwater_client::events::{Aggregate, EventStore, EventsError, Start};
    ///
    /// async fn follow<A: Aggregate>(store: &EventStore<A>) -> Result<(), EventsError> {
    ///     let mut events = store.subscribe(Start::Beginning).await?;
    ///     while let Some(event) = events.catch_up().await? {
    ///         println!("{}@{} had happened", event.envelope.event_type, event.offset);
    ///     }
    ///     loop {
    ///         let event = events.next().await?;
    ///         println!("{}@{} happens", event.envelope.event_type, event.offset);
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// What keeps the broker from answering; a topic that is not there.
    pub async fn subscribe(&self, start: Start) -> Result<Subscription<A>, EventsError> {
        self.reader().subscribe(start).await
    }

    /// Goes through what happened again, up to the end of the log as it is then, without effects
    /// outside: see [`Effects`](crate::Effects).
    ///
    /// ```no_run
    /// use highwater_client::events::{Aggregate, AsOf, EventStore, EventsError};
    /// use highwater_client::{EventTime, Handler};
    ///
    /// async fn until<A: Aggregate>(
    ///     store: &EventStore<A>,
    ///     noon: &EventTime,
    ///     handler: &impl Handler,
    /// ) -> Result<(), EventsError> {
    ///     let replayed = store.replay().until(AsOf::time(noon)).run(handler).await?;
    ///     println!("{} events were replayed", replayed.handled);
    ///     Ok(())
    /// }
    /// ```
    pub fn replay(&self) -> Replay<A> {
        self.reader().replay()
    }

    /// What it has done since it was opened, for monitoring.
    #[must_use]
    pub fn metrics(&self) -> EventsMetrics {
        self.inner.metrics.snapshot()
    }

    /// The same events, to be read only.
    #[must_use]
    pub fn reader(&self) -> EventReader<A> {
        EventReader {
            inner: Arc::clone(&self.inner),
        }
    }

    pub(super) fn stream(&self, key: &[u8]) -> Stream {
        Stream {
            topic: Arc::clone(&self.inner.topic),
            key: Bytes::copy_from_slice(key),
        }
    }
}

impl<A: Aggregate> Clone for EventStore<A> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<A: Aggregate> fmt::Debug for EventStore<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("EventStore");
        shown
            .field("topic", &self.inner.topic)
            .finish_non_exhaustive()
    }
}
