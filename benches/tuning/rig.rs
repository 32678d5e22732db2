//! A broker that listens on loopback, a client beside it, and what the broker counts.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use highwater::{Broker, Client, NewTopic, OffsetSpec, ProducerConfig};
use highwater_client::clock::SystemClock;
use highwater_proto::clock::Clock;
use highwater_proto::kafka::ApiKey;
use tokio::runtime::Runtime;

use super::flights::Flights;
use super::kit::disk::{self, Folder};
use super::kit::run::Run;

pub(crate) type Failure = Box<dyn Error>;

/// The topic of a pass.
pub(crate) const TOPIC: &str = "flights";

/// All that a pass needs.
pub(crate) struct Rig {
    // The client goes first: it holds connections to the broker.
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
    broker: Broker,
    pub(crate) clock: SystemClock,
    pub(crate) flights: Flights,
    folder: Folder,
}

/// A topic of a row.
#[derive(Clone, Copy)]
pub(crate) struct Topic {
    pub(crate) partitions: i32,
    pub(crate) durability: &'static str,
}

impl Default for Topic {
    /// Twelve partitions, and each answer means that the disk has it.
    fn default() -> Self {
        Self {
            partitions: 12,
            durability: "fsync",
        }
    }
}

/// What was counted at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    produce_requests: u64,
    fetch_requests: u64,
    cpu_seconds: f64,
    nanos: u64,
}

/// What was counted between two moments.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) produce_requests: u64,
    pub(crate) fetch_requests: u64,
}

impl Rig {
    /// A broker over a folder of its own.
    pub(crate) fn new(run: &Run, name: &str) -> Result<Self, Failure> {
        let folder = run.folder(name)?;
        let broker = Broker::open(folder.path())?;
        broker.listen_kafka("127.0.0.1:0")?;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(Client::connect(&broker.bootstrap_servers()))?;
        let clock = runtime.block_on(async { SystemClock::new() });
        Ok(Self {
            client,
            runtime,
            broker,
            clock,
            flights: Flights::new()?,
            folder,
        })
    }

    /// A new topic, for as long as `work` takes.
    pub(crate) fn with_topic<T>(
        &self,
        topic: Topic,
        work: impl AsyncFnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(async {
            self.create(topic).await?;
            let worked = work().await;
            self.client.admin().delete_topic(TOPIC).await?;
            worked
        })
    }

    pub(crate) async fn create(&self, topic: Topic) -> Result<(), Failure> {
        let topic = NewTopic::named(TOPIC)
            .partitions(topic.partitions)
            .config("durability", topic.durability);
        Ok(self.client.admin().create_topic(&topic).await?)
    }

    /// Sends so many flights as fast as they are taken, and waits until all of them are answered.
    pub(crate) async fn flood(&self, config: &ProducerConfig, count: usize) -> Result<(), Failure> {
        let producer = self.client.producer(config.clone())?;
        for number in 0..count {
            producer.send(self.flights.record(TOPIC, number)).await?;
        }
        producer.flush().await;
        Ok(())
    }

    /// Fails unless the topic holds so many records, soon: what `acks` did not wait for may still
    /// be on its way to the disk.
    pub(crate) async fn expect_stored(&self, partitions: i32, count: usize) -> Result<(), Failure> {
        let admin = self.client.admin();
        let mut stored = 0;
        for _ in 0..STORED_TRIES {
            stored = 0;
            for partition in 0..partitions {
                let end = admin.offset(TOPIC, partition, OffsetSpec::Latest).await?;
                stored += end.unwrap_or_default();
            }
            if stored == i64::try_from(count)? {
                return Ok(());
            }
            let later = self.clock.now().mono.plus(STORED_PAUSE);
            self.clock.sleep_until(later).await;
        }
        Err(format!("{stored} of {count} records are stored").into())
    }

    /// Bytes of the segments on the disk, of all topics that there are.
    pub(crate) fn stored_bytes(&self) -> Result<u64, Failure> {
        segments_below(&self.folder.path().to_path_buf())
    }

    /// What is counted so far.
    pub(crate) fn counts(&self) -> Result<Counts, Failure> {
        let requests = &self.broker.service().metrics().requests;
        let of = |key: ApiKey| -> u64 {
            let mut apis = requests.times();
            let found = apis.find(|(api, _)| *api == key);
            found.map_or(0, |(_, times)| times.total.now().counts.iter().sum())
        };
        Ok(Counts {
            produce_requests: of(ApiKey::Produce),
            fetch_requests: of(ApiKey::Fetch),
            cpu_seconds: disk::cpu("self")?,
            nanos: self.clock.now().mono.0,
        })
    }

    /// What was spent since then.
    pub(crate) fn since(&self, before: Counts) -> Result<Spent, Failure> {
        let now = self.counts()?;
        Ok(Spent {
            seconds: (now.nanos - before.nanos) as f64 / 1e9,
            cpu_seconds: now.cpu_seconds - before.cpu_seconds,
            produce_requests: now.produce_requests - before.produce_requests,
            fetch_requests: now.fetch_requests - before.fetch_requests,
        })
    }
}

/// How often, and with which pause, it is looked whether all is stored: five seconds.
const STORED_TRIES: usize = 500;
const STORED_PAUSE: Duration = Duration::from_millis(10);

fn segments_below(folder: &PathBuf) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|it| it == "log");
        if path.is_dir() {
            bytes += segments_below(&path)?;
        } else if is_segment {
            bytes += disk::size(Path::new(&path))?;
        }
    }
    Ok(bytes)
}
