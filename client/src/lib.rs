//! Highwater's client: producer, consumer and administration, over TCP or in process.
//!
//! It speaks Kafka's protocol to Highwater, to Apache Kafka and to everything compatible, or hands
//! its requests straight to an embedded broker.
//!
//! ```no_run
//! use std::time::Duration;
//! use highwater_client::{Client, ConsumerConfig, ProducerConfig, Record, StartAt};
//!
//! # async fn run() -> Result<(), highwater_client::ClientError> {
//! let client = Client::connect("127.0.0.1:9092").await?;
//!
//! let producer = client.producer(ProducerConfig::default())?;
//! let delivery = producer.send(Record::to("flights").key("N14228").value("delayed")).await?;
//! println!("stored at offset {}", delivery.await?.offset);
//!
//! let mut consumer = client.consumer(ConsumerConfig::default());
//! consumer.assign_topic("flights", StartAt::Earliest).await?;
//! for record in consumer.poll(Duration::from_secs(1)).await? {
//!     println!("{}-{} at {}", record.topic, record.partition, record.offset);
//! }
//! # Ok(())
//! # }
//! ```

pub mod admin;
pub mod backoff;
pub mod clock;
mod cluster;
pub mod config;
pub mod consumer;
pub mod dial;
mod effects;
pub mod envelope;
pub mod error;
pub mod events;
mod exposition;
pub mod failure;
pub mod handler;
mod histogram;
pub mod inbox;
pub mod link;
mod native;
pub mod outbox;
pub mod producer;
mod projection;
pub mod record;
pub mod retry;
pub mod sql;
pub mod trace;
mod transactional;
#[cfg(any(feature = "json", feature = "protobuf"))]
mod typed;

use std::sync::Arc;

use highwater_proto::clock::Clock;
use highwater_proto::exchange::Exchange;
use highwater_proto::native::NativeExchange;

pub use admin::{
    Admin, BrokerDescription, ClusterDescription, CommittedOffset, ConfigChange, ConfigEntry,
    ConfigSource, GroupDescription, GroupListing, GroupMember, ListedOffset, NewTopic, OffsetSpec,
    PartitionDescription, TopicDescription,
};
pub use clock::SystemClock;
pub use config::{
    Acks, AssignmentStrategy, ClientConfig, ConsumerConfig, OffsetReset, Password, ProducerConfig,
    Properties,
};
pub use consumer::{Closed, Consumer, GroupMetadata, RebalanceListener, Records, StartAt};
pub use dial::{Dial, DialNative, InProcess};
pub use effects::{EffectRefused, Effects};
#[cfg(any(feature = "json", feature = "protobuf"))]
pub use envelope::EventType;
pub use envelope::{Envelope, Event, EventId, EventTime};
pub use error::{ClientError, Outcome};
pub use exposition::{Exposition, Figures, Samples};
pub use failure::{Classify, FailureClass, HandlerError, OrFail};
pub use handler::{Attempt, Handler, handler_fn};
pub use highwater_proto::code::ErrorCode;
pub use highwater_proto::compress::Codec;
pub use highwater_proto::exchange::BoxFuture;
pub use highwater_proto::sasl::{Mechanism, ScramHash};
pub use highwater_proto::security::SecurityProtocol;
pub use histogram::Histogram;
pub use link::Tcp;
pub use outbox::{
    Capturing, Outbox, OutboxError, OutboxMetrics, Outgoing, ParkedKey, Relay, RelayMetrics,
    RelaySummary, Router,
};
pub use producer::{CloseReport, Delivery, Partitioner, Producer};
pub use projection::{Projection, View, ViewError};
pub use record::{ConsumerRecord, Header, Record, RecordMetadata};
pub use retry::{
    Backoff, DeadLetter, DeadLetters, Halted, HandlerCounts, HandlerMetrics, HandlerSummary,
    Handling, LetterFilter, LetterTopic, Letters, Order, Redrive, RedriveEntry, RedriveSummary,
    Redriven, StoredLetter,
};
pub use trace::TraceContext;
pub use transactional::Transactional;

use cluster::Cluster;
use native::{NativeSession, OpenInProcess};

/// The way to a broker or a cluster. Clones share their sessions.
#[derive(Clone, Debug)]
pub struct Client {
    cluster: Arc<Cluster>,
    native: Option<Arc<NativeSession>>,
}

impl Client {
    /// Connects to the first of these addresses (`host:port,host:port`) that answers; the others
    /// are for the day when it does not.
    ///
    /// `highwater://host:9192` is a listener of Highwater's own protocol, for what Kafka's cannot
    /// say: events under conditions. It tells where the Kafka listener is, which all else goes to.
    ///
    /// # Errors
    /// `NotSent` if none answers, `Unsupported` if what answers is no broker that this client can
    /// talk to, `Invalid` if there is no address.
    pub async fn connect(bootstrap: &str) -> Result<Self, ClientError> {
        Self::connect_with(ClientConfig::new().bootstrap_servers(bootstrap)).await
    }

    /// As [`Self::connect`], under a client id, which brokers show in their logs and metrics.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_as(bootstrap: &str, client_id: &str) -> Result<Self, ClientError> {
        let config = ClientConfig::new().bootstrap_servers(bootstrap);
        Self::connect_with(config.client_id(client_id)).await
    }

    /// As [`Self::connect`], with all settings.
    ///
    /// # Errors
    /// As [`Self::connect`]; `Invalid` if settings cannot be right.
    pub async fn connect_with(config: ClientConfig) -> Result<Self, ClientError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (config, native) = native::connect(config, &clock).await?;
        config.check_addresses()?;
        let dial = Arc::new(Tcp::of(&config)?);
        let client = Self::over_with(config, dial, clock)?;
        client.cluster.any().await?;
        Ok(Self { native, ..client })
    }

    /// A client of a broker in this process: no socket, no encoding.
    ///
    /// `open` gives a new session at each call.
    #[must_use]
    pub fn in_process(open: impl Fn() -> Arc<dyn Exchange> + Send + Sync + 'static) -> Self {
        let address = Arc::from("in-process");
        let (dial, clock) = (Arc::new(InProcess::new(open)), Arc::new(SystemClock::new()));
        let config = ClientConfig::default();
        Self {
            cluster: Arc::new(Cluster::new(vec![address], dial, clock, &config)),
            native: None,
        }
    }

    /// The same client with sessions of the native protocol that `open` gives, of the broker in
    /// this process.
    #[must_use]
    pub fn with_native(
        self,
        open: impl Fn() -> Arc<dyn NativeExchange> + Send + Sync + 'static,
    ) -> Self {
        self.with_native_dial(Arc::new(OpenInProcess::new(open)))
    }

    /// The same client with a way of your own to dial the native protocol.
    #[must_use]
    pub fn with_native_dial(self, dial: Arc<dyn DialNative>) -> Self {
        let native = Some(Arc::new(NativeSession::new(dial)));
        Self { native, ..self }
    }

    /// The session of the native protocol that all clones of this client share; none for a client
    /// that was connected to a Kafka listener only. One that has ended is opened anew by the next
    /// call.
    #[must_use]
    pub fn native(&self) -> Option<Arc<dyn NativeExchange>> {
        let native = self.native.clone()?;
        Some(native)
    }

    /// A client with a way to dial and a clock of your own. Dials when it has to.
    ///
    /// # Errors
    /// `Invalid` if there is no address.
    pub fn over(
        bootstrap: &str,
        dial: Arc<dyn Dial>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let config = ClientConfig::new().bootstrap_servers(bootstrap);
        Self::over_with(config, dial, clock)
    }

    /// As [`Self::over`], with all settings; the client id is the business of whoever dials.
    ///
    /// # Errors
    /// `Invalid` if settings cannot be right.
    pub fn over_with(
        config: ClientConfig,
        dial: Arc<dyn Dial>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let config = config.validated()?;
        let addresses = config.addresses()?;
        Ok(Self {
            cluster: Arc::new(Cluster::new(addresses, dial, clock, &config)),
            native: None,
        })
    }

    /// A new producer with batches and a sending task of its own.
    ///
    /// # Errors
    /// `Invalid` if the settings cannot be right.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, ClientError> {
        Producer::new(Arc::clone(&self.cluster), config, None)
    }

    /// As [`Self::producer`], with a rule of your own for the partitions of records that name none.
    ///
    /// ```no_run
    /// use highwater_client::{Client, ProducerConfig, Record};
    ///
    /// # fn make(client: Client) -> Result<(), highwater_client::ClientError> {
    /// let by_tenant = |record: &Record, partitions: i32| {
    ///     Some(i32::from(record.key.as_ref()?.first().copied()?) % partitions)
    /// };
    /// let producer = client.producer_with(ProducerConfig::default(), by_tenant)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::producer`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn producer_with(
        &self,
        config: ProducerConfig,
        partitioner: impl Partitioner,
    ) -> Result<Producer, ClientError> {
        let partitioner: Arc<dyn Partitioner> = Arc::new(partitioner);
        Producer::new(Arc::clone(&self.cluster), config, Some(partitioner))
    }

    /// A new consumer, which reads nothing before it is assigned partitions.
    #[must_use]
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Consumer::new(&self.cluster, config)
    }

    /// Handles the records of topics as a member of a group, with retries and dead letters.
    pub fn handler(&self, group: impl Into<String>) -> Handling {
        Handling::new(&self.cluster, group.into())
    }

    /// Publishes the rows of an [`Outbox`] in a database.
    pub fn relay<D: sql::Database>(&self, database: D) -> Relay<D> {
        Relay::new(&self.cluster, database)
    }

    /// The streams of a topic, each of which folds to an `A`; see [`events::EventStore`].
    ///
    /// On a client that was connected to a Kafka listener only, `build` fails with `Unsupported`.
    pub fn event_store<A: events::Aggregate>(
        &self,
        topic: impl Into<String>,
    ) -> events::EventStoreBuilder<A> {
        events::EventStoreBuilder::of_client(self, topic.into())
    }

    /// A topic of dead letters, such as `order-events-dlt`: to look at, and to send back.
    #[must_use]
    pub fn dead_letters(&self, topic: impl Into<String>) -> LetterTopic {
        LetterTopic::new(&self.cluster, topic.into())
    }

    /// Topics, their settings and their offsets.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.cluster))
    }
}
