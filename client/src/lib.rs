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
pub mod error;
pub mod link;
pub mod producer;
pub mod record;

use std::sync::Arc;

use highwater_proto::clock::Clock;
use highwater_proto::exchange::Exchange;

pub use admin::{
    Admin, CommittedOffset, ConfigChange, ConfigEntry, ConfigSource, GroupDescription,
    GroupListing, GroupMember, ListedOffset, NewTopic, OffsetSpec, TopicDescription,
};
pub use clock::SystemClock;
pub use config::{Acks, AssignmentStrategy, ConsumerConfig, OffsetReset, ProducerConfig};
pub use consumer::{Consumer, GroupMetadata, StartAt};
pub use dial::{Dial, InProcess};
pub use error::ClientError;
pub use highwater_proto::code::ErrorCode;
pub use highwater_proto::compress::Codec;
pub use link::Tcp;
pub use producer::{Delivery, Producer};
pub use record::{ConsumerRecord, Header, Record, RecordMetadata};

use cluster::Cluster;

/// The way to a broker or a cluster. Clones share their sessions.
#[derive(Clone, Debug)]
pub struct Client {
    cluster: Arc<Cluster>,
}

impl Client {
    /// Connects to the first of these addresses (`host:port,host:port`) that answers; the others
    /// are for the day when it does not.
    ///
    /// # Errors
    /// `NotSent` if none answers, `Invalid` if there is none.
    pub async fn connect(bootstrap: &str) -> Result<Self, ClientError> {
        Self::connect_as(bootstrap, "highwater").await
    }

    /// As [`Self::connect`], under a client id, which brokers show in their logs and metrics.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_as(bootstrap: &str, client_id: &str) -> Result<Self, ClientError> {
        let client = Self::over(
            bootstrap,
            Arc::new(Tcp::new(client_id)),
            Arc::new(SystemClock::new()),
        )?;
        client.cluster.any().await?;
        Ok(client)
    }

    /// A client of a broker in this process: no socket, no encoding.
    ///
    /// `open` gives a new session at each call.
    #[must_use]
    pub fn in_process(open: impl Fn() -> Arc<dyn Exchange> + Send + Sync + 'static) -> Self {
        let address = Arc::from("in-process");
        let (dial, clock) = (Arc::new(InProcess::new(open)), Arc::new(SystemClock::new()));
        Self {
            cluster: Arc::new(Cluster::new(vec![address], dial, clock)),
        }
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
        let addresses = bootstrap
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty());
        let addresses: Vec<Arc<str>> = addresses.map(Arc::from).collect();
        if addresses.is_empty() {
            return Err(ClientError::Invalid(
                "no bootstrap address was given".to_owned(),
            ));
        }
        Ok(Self {
            cluster: Arc::new(Cluster::new(addresses, dial, clock)),
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
        Producer::new(Arc::clone(&self.cluster), config)
    }

    /// A new consumer, which reads nothing before it is assigned partitions.
    #[must_use]
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Consumer::new(&self.cluster, config)
    }

    /// Topics, their settings and their offsets.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.cluster))
    }
}
