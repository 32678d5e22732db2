//! The outbox over a real PostgreSQL, relayed into a real broker in this process, by both captures.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod crashes;
mod debezium;
#[path = "../outbox/faulty.rs"]
#[expect(dead_code, reason = "the tests over SQLite use more of it")]
mod faulty;
mod leads;
mod power_cuts;
#[path = "../outbox/running.rs"]
mod running;
#[path = "../outbox/stepped.rs"]
#[expect(dead_code, reason = "the tests over SQLite use more of it")]
mod stepped;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::sql::{Database, Isolation, OwnedTx, Postgres, SqlStatement, SqlTx};
use highwater_client::{
    Capturing, Client, ConsumerConfig, ConsumerRecord, Event, NewTopic, OffsetSpec, Outbox, Relay,
    StartAt, SystemClock,
};
use highwater_kit::postgres::Postgres as Cluster;
use highwater_proto::clock::Clock as _;

use self::running::Running;

const BOTH: [Capturing; 2] = [Capturing::Snapshot, Capturing::Queue];

/// A broker in memory and an empty database.
struct World {
    broker: Arc<Broker>,
    client: Client,
    database: Postgres,
    url: String,
    cluster: &'static Cluster,
}

/// Runs a test in a world of its own, in the cluster of all of these tests.
fn world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    if let Some(cluster) = CLUSTER.get_or_init(Cluster::start) {
        world_in(cluster, test);
    }
}

fn world_in<F: Future<Output = ()>>(cluster: &'static Cluster, test: impl FnOnce(World) -> F) {
    let config = BrokerConfig {
        auto_create_topics_enable: false,
        ..BrokerConfig::default()
    };
    let broker = Broker::builder().in_memory().config(config).start();
    let broker = Arc::new(broker.unwrap());
    let url = cluster.database();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::in_process(broker.sessions());
        let database = Postgres::connect(&url).await.unwrap();
        let world = World {
            broker,
            client,
            database,
            url,
            cluster,
        };
        let clock = SystemClock::new();
        let until = clock.now().mono.plus(Duration::from_secs(600));
        tokio::select! {
            () = test(world) => {}
            () = clock.sleep_until(until) => panic!("the test does not end"),
        }
    });
}

impl World {
    /// An outbox with its table and its topic, both of this name.
    async fn outbox(&self, name: &str) -> Outbox {
        let outbox = Outbox::to(name).table(name);
        outbox.migrate(&self.database).await.unwrap();
        self.topic(name).await;
        outbox
    }

    async fn topic(&self, name: &str) {
        let topic = NewTopic::named(name).partitions(3);
        self.client.admin().create_topic(&topic).await.unwrap();
    }

    fn psql(&self, statements: &str) -> String {
        self.cluster.psql(&self.url, statements)
    }

    /// What a topic has, when it is enough.
    async fn read(
        &self,
        topic: &str,
        is_enough: impl Fn(&[ConsumerRecord]) -> bool,
    ) -> Vec<ConsumerRecord> {
        let mut consumer = self.client.consumer(ConsumerConfig::default());
        let assigned = consumer.assign_topic(topic, StartAt::Earliest).await;
        assigned.unwrap();
        let mut records = Vec::new();
        while !is_enough(&records) {
            records.extend(consumer.poll(Duration::from_secs(1)).await.unwrap());
        }
        records
    }

    /// What a topic has, when there are so many records.
    async fn read_count(&self, topic: &str, count: usize) -> Vec<ConsumerRecord> {
        self.read(topic, |records| records.len() >= count).await
    }

    /// Every record that a topic has now.
    async fn all(&self, topic: &str) -> Vec<ConsumerRecord> {
        let admin = self.client.admin();
        let mut count = 0;
        for partition in 0..admin.describe_topic(topic).await.unwrap().partitions {
            let end = admin.offset(topic, partition, OffsetSpec::Latest).await;
            count += usize::try_from(end.unwrap().unwrap()).unwrap();
        }
        self.read_count(topic, count).await
    }
}

/// An event of a key, whose data is a number.
fn event(key: &str, number: usize) -> Event {
    Event::new("/shop/orders", "order.changed.v1")
        .key(key.to_owned())
        .data(number.to_string())
}

/// Commits events, each in a transaction of its own.
async fn commit(database: &Postgres, outbox: &Outbox, events: &[Event]) {
    for event in events {
        let mut tx = database.begin(Isolation::Write).await.unwrap();
        outbox.enqueue(&mut tx, event).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// The numbers of each key in the order of their first occurrence.
fn first_by_key(records: &[ConsumerRecord]) -> BTreeMap<String, Vec<usize>> {
    let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for record in records {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let key = text(record.key.as_deref().unwrap_or_default());
        let number = text(record.value.as_deref().unwrap()).parse().unwrap();
        let numbers = keys.entry(key).or_default();
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    keys
}

/// Looks again and again until it is so.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}
