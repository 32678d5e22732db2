//! The inbox against a real broker in this process, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod batches;
mod duplicates;
mod faulty;
mod fence;
mod ids;
mod keeping;
mod positions;
mod seed;
mod windows;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::inbox::{Delivery, Inbox, TxHandler};
use highwater_client::sql::{
    Database, Isolation, OwnedTx, Postgres, SqlRow, SqlStatement, SqlTx, Sqlite,
};
use highwater_client::{
    Backoff, Client, ConsumerConfig, Event, FailureClass, HandlerError, HandlerSummary, Handling,
    NewTopic, ProducerConfig, Record, SystemClock,
};
use highwater_kit::postgres::Postgres as Cluster;
use highwater_proto::clock::Clock as _;
use tokio::sync::watch;

/// A broker, a client of it, and an empty database with the tables of an inbox and of payments.
struct World<D> {
    /// For sessions that a test breaks.
    broker: Arc<Broker>,
    client: Client,
    database: D,
}

/// Makes of each test one on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                crate::on_sqlite(super::$name);
            })+
        }

        mod postgres {
            $(#[test]
            fn $name() {
                crate::on_postgres(super::$name);
            })+
        }
    };
}
pub(crate) use on_both;

fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(World<Sqlite>) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    run(async { test(world(Sqlite::open(path).await.unwrap()).await).await });
}

fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(World<Postgres>) -> F) {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let Some(cluster) = CLUSTER.get_or_init(Cluster::start) else {
        return;
    };
    let url = cluster.database();
    run(async { test(world(Postgres::connect(&url).await.unwrap()).await).await });
}

/// No test may hang for longer than that.
fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = SystemClock::new();
        let late = clock.sleep_until(clock.now().mono.plus(Duration::from_secs(600)));
        tokio::select! {
            () = test => {}
            () = late => panic!("it hangs"),
        }
    });
}

async fn world<D: Database>(database: D) -> World<D> {
    let config = BrokerConfig {
        group_initial_rebalance_delay_ms: 0,
        group_min_session_timeout_ms: 100,
        ..BrokerConfig::default()
    };
    let broker = Broker::builder().in_memory().config(config).start();
    let broker = Arc::new(broker.unwrap());
    Inbox::new().migrate(&database).await.unwrap();
    let world = World {
        client: Client::in_process(broker.sessions()),
        broker,
        database,
    };
    let table = "create table payments (partition integer not null, record_offset bigint not null)";
    world.sql(table).await;
    world
}

impl<D: Database> World<D> {
    /// Runs a statement in a transaction of its own; gives the rows that it changed.
    async fn sql(&self, text: &str) -> u64 {
        let mut tx = self.database.begin(Isolation::Write).await.unwrap();
        let statement = SqlStatement::new(text.to_owned());
        let count = tx.execute(statement).await.unwrap();
        tx.commit().await.unwrap();
        count
    }

    async fn rows(&self, text: &str) -> Vec<SqlRow> {
        let mut tx = self.database.begin(Isolation::Snapshot).await.unwrap();
        let statement = SqlStatement::new(text.to_owned());
        let rows = tx.query(statement).await.unwrap();
        tx.rollback().await.unwrap();
        rows
    }

    async fn number(&self, text: &str) -> i64 {
        self.rows(text).await[0].integer(0).unwrap()
    }

    /// The offsets that were paid in partition 0, in order; one that was paid twice is there twice.
    async fn paid(&self) -> Vec<i64> {
        let text = "select record_offset from payments where partition = 0 order by record_offset";
        let rows = self.rows(text).await;
        rows.iter().map(|row| row.integer(0).unwrap()).collect()
    }

    /// Ends when so many payments are there.
    async fn paid_count(&self, count: usize) {
        while self.number("select count(*) from payments").await < i64::try_from(count).unwrap() {
            tokio::task::yield_now().await;
        }
    }

    async fn topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::named(name).partitions(partitions);
        self.client.admin().create_topic(&topic).await.unwrap();
    }

    async fn send(&self, records: impl IntoIterator<Item = Record>) {
        let producer = self.client.producer(ProducerConfig::default()).unwrap();
        for record in records {
            drop(producer.send(record).await.unwrap());
        }
        producer.flush().await;
    }

    /// Orders with these ids in partition 0 of a topic.
    async fn orders(&self, topic: &str, ids: &[&str]) {
        let orders = ids.iter().map(|id| order(topic, id).partition(0));
        self.send(orders.collect::<Vec<_>>()).await;
    }

    fn group(&self, topic: &str) -> Handling {
        group(&self.client, topic)
    }

    /// Handles records until the group has committed so far in partition 0.
    async fn pay(&self, topic: &str, inbox: Inbox, up_to: i64) -> HandlerSummary {
        let handling = self
            .group(topic)
            .transactional(self.database.clone(), inbox);
        handling.run(Pay, self.committed(topic, up_to)).await
    }

    /// Ends when the group has committed partition 0 up to there.
    async fn committed(&self, topic: &str, offset: i64) {
        let admin = self.client.admin();
        loop {
            let found = admin.group_offsets("g", Some(&[(topic, 0)])).await.unwrap();
            if found.first().is_some_and(|it| it.offset >= offset) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The position that the database has of partition 0.
    async fn position(&self, topic: &str) -> i64 {
        let place = format!("consumer_group = 'g' and topic = '{topic}' and partition = 0");
        let text = format!("select next from inbox_offsets where {place}");
        self.number(&text).await
    }
}

/// A group with short pauses.
fn group(client: &Client, topic: &str) -> Handling {
    let config = ConsumerConfig::new()
        .heartbeat_interval_ms(20)
        .auto_commit_interval_ms(20);
    client
        .handler("g")
        .topics([topic])
        .consumer(config)
        .retry(Backoff::fixed(Duration::from_millis(20)).max_attempts(4))
}

/// An event with a key of its own.
fn order(topic: &str, id: &str) -> Record {
    let event = Event::new("/shop/orders", "order.created.v1").id(id);
    event.key(id.to_owned()).data("{}").to(topic).unwrap()
}

/// Pays each record.
struct Pay;

async fn pay<Tx: SqlTx + Send>(delivery: &mut Delivery<'_, Tx>) -> Result<(), HandlerError> {
    let (partition, offset) = (delivery.record().partition, delivery.record().offset);
    let insert =
        SqlStatement::new("insert into payments (partition, record_offset) values ($1, $2)");
    delivery
        .tx()
        .execute(insert.bind(partition).bind(offset))
        .await?;
    Ok(())
}

impl<Tx: SqlTx + Send> TxHandler<Tx> for Pay {
    async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
        pay(&mut delivery).await
    }
}

/// Pays each record, and answers by its offset and the attempt: after the payment, so that an error
/// has something to undo.
struct Answer<F>(F);

impl<Tx, F> TxHandler<Tx> for Answer<F>
where
    Tx: SqlTx + Send,
    F: Fn(i64, u32) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
        pay(&mut delivery).await?;
        (self.0)(delivery.record().offset, delivery.attempt())
    }
}

fn ended_well(summary: &HandlerSummary) {
    assert_eq!(summary.error, None, "{summary:?}");
}

fn error_of(summary: HandlerSummary) -> String {
    summary.result().unwrap_err().to_string()
}

/// Ends when the value is true.
async fn until(flag: &watch::Sender<bool>) {
    flag.subscribe().wait_for(|it| *it).await.unwrap();
}

/// An hour: longer than any test.
fn much_later() -> HandlerError {
    let hour = Duration::from_secs(3_600);
    HandlerError::new(FailureClass::RetryAfter(hour), "not today")
}
