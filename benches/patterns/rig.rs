//! What each group stands on: a broker, a client of it, a runtime, and a PostgreSQL.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use highwater::broker::config::BrokerConfig;
use highwater::client::SystemClock;
use highwater::{Broker, Client, NewTopic, OffsetSpec, ProducerConfig, Record};
use highwater_kit::postgres::Postgres as Cluster;
use highwater_proto::clock::{Clock as _, Mono};
use tokio::runtime::Runtime;

use super::kit::disk::Folder;
use super::kit::run::Run;

type Failure = Box<dyn Error>;

/// A broker in this process, with its data on the disk.
pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
    pub(crate) clock: Arc<SystemClock>,
    _broker: Broker,
    pub(crate) folder: Folder,
}

impl Rig {
    pub(crate) fn new(run: &Run, name: &str) -> Result<Self, Failure> {
        let folder = run.folder(name)?;
        let config = BrokerConfig {
            group_initial_rebalance_delay_ms: 0,
            auto_create_topics_enable: false,
            ..BrokerConfig::default()
        };
        let builder = Broker::builder().data_dir(folder.path().join("broker"));
        let broker = builder.config(config).start()?;
        Ok(Self {
            client: Client::in_process(broker.sessions()),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?,
            clock: Arc::new(SystemClock::new()),
            _broker: broker,
            folder,
        })
    }

    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> Result<(), Failure> {
        let topic = NewTopic::named(name).partitions(partitions);
        self.client.admin().create_topic(&topic).await?;
        Ok(())
    }

    pub(crate) async fn send(
        &self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<(), Failure> {
        let producer = self.client.producer(ProducerConfig::default())?;
        for record in records {
            drop(producer.send(record).await?);
        }
        producer.flush().await;
        Ok(())
    }

    /// Fails unless a topic holds so many records.
    pub(crate) async fn expect_stored(&self, topic: &str, count: usize) -> Result<(), Failure> {
        let admin = self.client.admin();
        let mut stored = 0;
        for partition in 0..admin.describe_topic(topic).await?.partitions {
            let end = admin.offset(topic, partition, OffsetSpec::Latest).await?;
            stored += end.unwrap_or_default();
        }
        match usize::try_from(stored)? == count {
            true => Ok(()),
            false => Err(format!("{topic} has {stored} records instead of {count}").into()),
        }
    }

    pub(crate) fn now(&self) -> Mono {
        self.clock.now().mono
    }

    pub(crate) async fn pause(&self, time: Duration) {
        self.clock.sleep_until(self.now().plus(time)).await;
    }

    pub(crate) fn since(&self, start: Mono) -> f64 {
        self.now().since(start).as_secs_f64().max(1e-9)
    }
}

/// A PostgreSQL that syncs, one for all groups; nothing, and a word of it, where none is installed.
pub(crate) fn postgres() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start_with("shared_buffers = 128MB"));
    if cluster.is_none() {
        eprintln!("SKIPPED: the rows of PostgreSQL are not measured");
    }
    cluster.as_ref()
}
