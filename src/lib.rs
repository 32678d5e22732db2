//! An event log that you embed: partitioned, append-only logs on disk with the semantics of a
//! single Kafka broker, the Kafka wire for every existing client, and a client of its own.
//!
//! This crate is the facade: the [`Broker`] to embed, the [`Client`] for it or for any Kafka
//! cluster, and [`EmbeddedClient`] to join the two without a socket.
//!
//! ```
//! use std::time::Duration;
//! use highwater::{Broker, Client, EmbeddedClient};
//! use highwater::{ConsumerConfig, ProducerConfig, Record, StartAt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::in_memory()?;
//! let client = Client::embedded(&broker);
//!
//! let producer = client.producer(ProducerConfig::default())?;
//! let sent = producer.send(Record::to("flights").key("N14228").value("delayed")).await?;
//! assert_eq!(sent.await?.offset, 0);
//!
//! let mut consumer = client.consumer(ConsumerConfig::default());
//! consumer.assign_topic("flights", StartAt::Earliest).await?;
//! let records = consumer.poll(Duration::from_secs(5)).await?;
//! assert_eq!(records[0].value.as_deref(), Some(&b"delayed"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! Any Kafka client can talk to the same broker:
//!
//! ```
//! use highwater::{Broker, Client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::in_memory()?;
//! broker.listen_kafka("127.0.0.1:0")?;
//! let client = Client::connect(&broker.bootstrap_servers()).await?;
//! assert!(client.admin().list_topics().await?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! The feature `cli`, on by default, is for the `highwater` binary only: a program that embeds
//! the library takes `default-features = false`, and what it then builds is pure Rust. The feature
//! `testing` has the broker inside a test, `json` and `protobuf` have typed values; `rusqlite` (or,
//! with SQLite's own source, `sqlite-bundled`) and `tokio-postgres` have the databases of outbox
//! and inbox.

/// The program on the first page compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FirstPage;

/// The command line. Not part of the library's interface: only binaries use it.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod embed;
#[cfg(feature = "testing")]
pub mod testing;

pub use embed::EmbeddedClient;
#[cfg(feature = "http")]
pub use highwater_broker::HttpListener;
pub use highwater_broker::{Broker, Builder, KafkaListener, NativeListener, SecurityProtocol};
#[cfg(any(feature = "json", feature = "protobuf"))]
pub use highwater_client::EventType;
pub use highwater_client::{
    Acks, Admin, AssignmentStrategy, Attempt, Backoff, BrokerDescription, Capturing, Classify,
    Client, ClientConfig, ClientError, CloseReport, Closed, ClusterDescription, Codec,
    CommittedOffset, ConfigChange, ConfigEntry, ConfigSource, Consumer, ConsumerConfig,
    ConsumerRecord, DeadLetter, DeadLetters, Delivery, EffectRefused, Effects, Envelope, ErrorCode,
    Event, EventId, EventTime, Exposition, FailureClass, Figures, GroupDescription, GroupListing,
    GroupMember, GroupMetadata, Halted, Handler, HandlerCounts, HandlerError, HandlerMetrics,
    HandlerSummary, Handling, Header, Histogram, LetterFilter, LetterTopic, Letters, ListedOffset,
    NewTopic, OffsetReset, OffsetSpec, OrFail, Order, Outbox, OutboxError, OutboxMetrics, Outcome,
    Outgoing, ParkedKey, PartitionDescription, Partitioner, Producer, ProducerConfig, Projection,
    Properties, RebalanceListener, Record, RecordMetadata, Records, Redrive, RedriveEntry,
    RedriveSummary, Redriven, Relay, RelayMetrics, RelaySummary, Router, Samples, StartAt,
    StoredLetter, TopicDescription, TraceContext, Transactional, View, ViewError, events,
    handler_fn, inbox, sql,
};
pub use highwater_client::{Mechanism, Password, ScramHash};

/// The broker's own crate: its settings, its clocks, every operation in domain words.
pub use highwater_broker as broker;
/// The client's own crate: dialing, back-off, links.
pub use highwater_client as client;
