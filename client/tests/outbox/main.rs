//! The outbox over SQLite, relayed into a real broker in this process.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod crashes;
mod faulty;
mod leads;
mod poison;
mod proofs;
mod refusals;
mod rows;
mod running;
mod seed;
mod stepped;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::sql::{Database, Isolation, OwnedTx, SqlStatement, SqlTx, Sqlite};
use highwater_client::{
    Client, ConsumerConfig, ConsumerRecord, Event, NewTopic, Outbox, ParkedKey, Relay, StartAt,
    SystemClock,
};
use highwater_proto::clock::Clock;

use self::running::Running;

/// A broker in memory and a database in a file.
struct World {
    broker: Arc<Broker>,
    client: Client,
    database: Sqlite,
    path: PathBuf,
}

/// Runs a test in a world of its own.
fn world<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let config = BrokerConfig {
        auto_create_topics_enable: false,
        ..BrokerConfig::default()
    };
    let broker = Broker::builder().in_memory().config(config).start();
    let broker = Arc::new(broker.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::in_process(broker.sessions());
        let database = Sqlite::open(directory.path().join("shop.db"))
            .await
            .unwrap();
        orders().migrate(&database).await.unwrap();
        let topic = NewTopic::named("order-events").partitions(3);
        client.admin().create_topic(&topic).await.unwrap();
        // A test that does not use them must not drop them either.
        let world = World {
            broker: Arc::clone(&broker),
            client,
            database,
            path: directory.path().join("shop.db"),
        };
        // No test may hang for longer than that.
        let clock = SystemClock::new();
        let late = clock.sleep_until(clock.now().mono.plus(Duration::from_secs(600)));
        tokio::select! {
            () = test(world) => {}
            () = late => panic!("it hangs"),
        }
    });
}

fn orders() -> Outbox {
    Outbox::to("order-events")
}

/// An event of a key, whose data is a number.
fn event(key: &str, number: usize) -> Event {
    Event::new("/shop/orders", "order.changed.v1")
        .key(key.to_owned())
        .data(number.to_string())
}

/// Commits events, each in a transaction of its own.
async fn commit<D: Database>(database: &D, outbox: &Outbox, events: &[Event]) {
    for event in events {
        let mut tx = database.begin(Isolation::Write).await.unwrap();
        outbox.enqueue(&mut tx, event).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn execute<D: Database>(database: &D, statement: SqlStatement) -> u64 {
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    let count = tx.execute(statement).await.unwrap();
    tx.commit().await.unwrap();
    count
}

async fn count<D: Database>(database: &D, table: &str) -> i64 {
    let mut tx = database.begin(Isolation::Snapshot).await.unwrap();
    let select = SqlStatement::new(format!("select count(*) from {table}"));
    tx.query(select).await.unwrap()[0].integer(0).unwrap()
}

/// Reads records of a topic until there are enough.
async fn read(
    client: &Client,
    topic: &str,
    is_enough: impl Fn(&[ConsumerRecord]) -> bool,
) -> Vec<ConsumerRecord> {
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer
        .assign_topic(topic, StartAt::Earliest)
        .await
        .unwrap();
    let mut records = Vec::new();
    while !is_enough(&records) {
        records.extend(consumer.poll(Duration::from_secs(1)).await.unwrap());
    }
    records
}

async fn read_count(client: &Client, topic: &str, count: usize) -> Vec<ConsumerRecord> {
    read(client, topic, |records| records.len() >= count).await
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

/// Every record that a topic has now.
async fn all(client: &Client, topic: &str) -> Vec<ConsumerRecord> {
    let partitions = client
        .admin()
        .describe_topic(topic)
        .await
        .unwrap()
        .partitions;
    let mut count = 0;
    for partition in 0..partitions {
        let latest = highwater_client::OffsetSpec::Latest;
        let end = client
            .admin()
            .offset(topic, partition, latest)
            .await
            .unwrap();
        count += usize::try_from(end.unwrap()).unwrap();
    }
    read_count(client, topic, count).await
}

/// Looks again and again until it is as it should be.
async fn until<T>(look: impl Fn() -> T, is_enough: impl Fn(&T) -> bool) -> T {
    loop {
        let found = look();
        if is_enough(&found) {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

/// The parked keys, when there are so many.
async fn parked_until(world: &World, outbox: &Outbox, count: usize) -> Vec<ParkedKey> {
    until_parked(world, outbox, |keys| keys.len() == count).await
}

/// The parked keys, when they are as they should be.
async fn until_parked(
    world: &World,
    outbox: &Outbox,
    is_enough: impl Fn(&Vec<ParkedKey>) -> bool,
) -> Vec<ParkedKey> {
    loop {
        let keys = outbox.parked(&world.database, 100).await.unwrap();
        if is_enough(&keys) {
            return keys;
        }
    }
}
