//! The directory that is copied and damaged, and what a reader must find in it.
//!
//! Invariants
//! - It was written by a real broker on a real disk: by producers with sequence numbers, on topics
//!   of both kinds, with offsets of a group.
//! - What was there earlier is kept, too: chunks are restored from it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use highwater::{
    Broker, Client, CommittedOffset, EmbeddedClient as _, NewTopic, ProducerConfig, Record,
};
use highwater_broker::clock::SystemClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::ids::{TopicId, TopicRef};
use highwater_broker::service::topics::{MetadataCall, MetadataTopics};
use highwater_proto::clock::Clock as _;

/// A partition: its topic's id and its number.
pub(super) type Place = (TopicId, i32);

/// How the broker stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Clean,
    Killed,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "after a clean stop",
            Self::Killed => "after a kill",
        })
    }
}

/// A directory, what it was earlier, and what is in it.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) stop: Stop,
    pub(super) dir: PathBuf,
    pub(super) older: PathBuf,
    /// The values of all records, by partition and offset.
    pub(super) records: BTreeMap<Place, BTreeMap<i64, String>>,
    /// The names of the topics.
    pub(super) topics: BTreeMap<TopicId, &'static str>,
    /// What the group has committed.
    pub(super) committed: BTreeMap<(String, i32), i64>,
}

impl Template {
    /// One of a broker that was stopped, and one of a broker that was killed.
    pub(super) fn both(scratch: &Path) -> Result<[Self; 2], String> {
        Ok([
            Self::make(scratch, Stop::Clean)?,
            Self::make(scratch, Stop::Killed)?,
        ])
    }

    fn make(scratch: &Path, stop: Stop) -> Result<Self, String> {
        let base = scratch.join(format!("template-{stop:?}"));
        let [dir, older, live] = ["dir", "older", "live"].map(|name| base.join(name));
        let mut template = Self {
            stop,
            dir,
            older,
            records: BTreeMap::new(),
            topics: BTreeMap::new(),
            committed: BTreeMap::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(template.write(&live))?;
        Ok(template)
    }

    async fn write(&mut self, live: &Path) -> Result<(), String> {
        let (older, dir) = (self.older.clone(), self.dir.clone());
        let copied = |from: &Path, to: &Path| copy(from, to).map_err(|error| error.to_string());
        let broker = start(live)?;
        let client = Client::embedded(&broker);
        for (name, partitions, durability) in TOPICS {
            let topic = NewTopic {
                name: name.to_owned(),
                partitions: Some(partitions),
                configs: [
                    ("segment.bytes", "3000"),
                    ("index.interval.bytes", "512"),
                    ("durability", durability),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
                ..Default::default()
            };
            let made = client.admin().create_topic(&topic).await;
            made.map_err(|error| error.to_string())?;
        }
        self.produce(&broker, &client, 0..20).await?;
        self.commit(&client).await?;
        settle().await;
        copied(live, &older)?;
        self.produce(&broker, &client, 20..50).await?;
        self.commit(&client).await?;
        settle().await;
        if self.stop == Stop::Killed {
            // These stand above the recovery points, some in the journal only.
            self.produce(&broker, &client, 50..54).await?;
            copied(live, &dir)?;
        }
        drop(client);
        broker.shutdown().await.map_err(|error| error.to_string())?;
        if self.stop == Stop::Clean {
            copied(live, &dir)?;
        }
        Ok(())
    }

    /// Each number as one to three records of each partition.
    async fn produce(
        &mut self,
        broker: &Broker,
        client: &Client,
        numbers: std::ops::Range<u32>,
    ) -> Result<(), String> {
        let producer = client
            .producer(ProducerConfig::default())
            .map_err(|error| error.to_string())?;
        let mut ids = Vec::new();
        for (name, partitions, _) in TOPICS {
            let id = id_of(broker, name).await?;
            self.topics.insert(id, name);
            ids.extend((0..partitions).map(|partition| (name, (id, partition))));
        }
        for (number, part) in numbers.flat_map(|number| (0..=number % 3).map(move |p| (number, p)))
        {
            // One record of each partition at a time: every one is a batch.
            let mut sent = Vec::new();
            for (name, place) in &ids {
                let value = format!("{name}-{} {number}.{part} {:-<90}", place.1, "");
                let record = Record::to(*name)
                    .partition(place.1)
                    .value(value.clone())
                    .timestamp(FIRST_MS + i64::from(number));
                let delivery = producer.send(record).await;
                sent.push((*place, value, delivery.map_err(|error| error.to_string())?));
            }
            for (place, value, delivery) in sent {
                let stored = delivery.await.map_err(|error| error.to_string())?;
                let records = self.records.entry(place).or_default();
                records.insert(stored.offset, value);
            }
        }
        Ok(())
    }

    /// Commits the end of every partition.
    async fn commit(&mut self, client: &Client) -> Result<(), String> {
        for (name, partitions, _) in TOPICS {
            for partition in 0..partitions {
                let latest = highwater::OffsetSpec::Latest;
                let end = client.admin().offset(name, partition, latest).await;
                let end = end.map_err(|error| error.to_string())?;
                let end = end.ok_or("a partition has no end")?;
                let offset = CommittedOffset {
                    topic: name.to_owned(),
                    partition,
                    offset: end,
                    ..CommittedOffset::default()
                };
                let committed = client.admin().alter_group_offsets(GROUP, &[offset]).await;
                committed.map_err(|error| error.to_string())?;
                self.committed.insert((name.to_owned(), partition), end);
            }
        }
        Ok(())
    }
}

async fn id_of(broker: &Broker, name: &str) -> Result<TopicId, String> {
    let call = MetadataCall {
        topics: MetadataTopics::These(vec![TopicRef::Name(name.to_owned())]),
        allow_auto_create: false,
    };
    let topic = broker.service().metadata(call).await.remove(0).result;
    topic
        .map(|topic| topic.id)
        .map_err(|error| error.to_string())
}

/// Waits until the recovery points have been written: they are, once a second.
async fn settle() {
    let clock = SystemClock::new();
    let then = clock.now().mono.plus(Duration::from_millis(1_300));
    clock.sleep_until(then).await;
}

/// A broker over a directory, as small as it can be.
pub(super) fn start(dir: &Path) -> Result<Broker, String> {
    let config = BrokerConfig {
        log_journal_bytes: 64 << 10,
        log_dirs_reserve_bytes: 0,
        ..BrokerConfig::edge()
    };
    let started = Broker::builder().data_dir(dir).config(config).start();
    started.map_err(|error| error.to_string())
}

/// Copies a folder and all below it.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// 2023-11-14.
const FIRST_MS: i64 = 1_700_000_000_000;
/// Name, partitions and durability.
pub(super) const TOPICS: [(&str, i32, &str); 2] =
    [("orders", 2, "fsync"), ("cached", 1, "page-cache")];
pub(super) const GROUP: &str = "readers";
