//! Views over a broker in this process, in SQLite and in PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::events::Token;
use highwater_client::inbox::{Delivery, Inbox, TxHandler};
use highwater_client::sql::{Database, Isolation, OwnedTx, Postgres, SqlStatement, SqlTx, Sqlite};
use highwater_client::{
    Backoff, Client, HandlerError, HandlerSummary, NewTopic, ProducerConfig, Projection, Record,
    ViewError,
};
use highwater_kit::postgres::Postgres as Cluster;
use tokio::sync::Notify;

/// Shows how many items each order has; cannot show what is called poison.
struct Items {
    table: &'static str,
    /// Told of the last attempt at a poison.
    given_up: Arc<Notify>,
}

impl<T: SqlTx + Send> TxHandler<T> for Items {
    async fn handle(&self, mut delivery: Delivery<'_, T>) -> Result<(), HandlerError> {
        let record = delivery.record();
        if record.value.as_deref() == Some(b"poison") {
            if delivery.attempt() == ATTEMPTS {
                self.given_up.notify_one();
            }
            return Err(HandlerError::retry("it cannot be shown"));
        }
        let order = record.key.clone().unwrap_or_default();
        let order = String::from_utf8(order.to_vec())?;
        let table = self.table;
        let insert = SqlStatement::new(format!(
            "insert into {table} (name, items) values ($1, 1) \
             on conflict (name) do update set items = {table}.items + 1"
        ));
        delivery.tx().execute(insert.bind(order)).await?;
        Ok(())
    }
}

struct Shop<D> {
    _broker: Broker,
    client: Client,
    database: D,
    given_up: Arc<Notify>,
}

/// Makes of each test one on SQLite and one on PostgreSQL, where the machine has it.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::Sqlite::in_memory().await.unwrap();
                super::$name(crate::shop(database).await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let Some(cluster) = crate::CLUSTER.get_or_init(crate::Cluster::start) else {
                    return;
                };
                let database = crate::Postgres::connect(&cluster.database()).await.unwrap();
                super::$name(crate::shop(database).await).await;
            })+
        }
    };
}

static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();

on_both!(
    a_view_shows_what_its_writer_has_just_appended_and_nothing_twice,
    a_view_stops_at_what_it_cannot_show_and_shows_that_it_lags,
    a_new_version_of_a_view_is_built_beside_the_old_one_until_it_has_caught_up,
);

async fn shop<D: Database + Clone>(database: D) -> Shop<D> {
    let config = BrokerConfig {
        group_initial_rebalance_delay_ms: 0,
        ..BrokerConfig::default()
    };
    let broker = Broker::builder()
        .in_memory()
        .config(config)
        .start()
        .unwrap();
    let client = Client::in_process(broker.sessions());
    let topic = NewTopic::named("orders").partitions(2);
    client.admin().create_topic(&topic).await.unwrap();
    Inbox::new().migrate(&database).await.unwrap();
    let shop = Shop {
        _broker: broker,
        client,
        database,
        given_up: Arc::default(),
    };
    for table in ["orders_v1", "orders_v2"] {
        shop.sql(&format!(
            "create table {table} (name text primary key, items bigint)"
        ))
        .await;
    }
    shop
}

impl<D: Database + Clone> Shop<D> {
    async fn sql(&self, text: &str) {
        let mut tx = self.database.begin(Isolation::Write).await.unwrap();
        tx.execute(SqlStatement::new(text.to_owned()))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn items(&self, table: &str) -> i64 {
        let mut tx = self.database.begin(Isolation::Snapshot).await.unwrap();
        let text = format!("select cast(coalesce(sum(items), 0) as bigint) from {table}");
        let rows = tx.query(SqlStatement::new(text)).await.unwrap();
        tx.rollback().await.unwrap();
        rows[0].integer(0).unwrap()
    }

    /// Appends to both partitions in turn; gives what a view has to have seen.
    async fn append(&self, values: &[&'static str]) -> Token {
        let producer = self.client.producer(ProducerConfig::default()).unwrap();
        let mut token = Token::default();
        for (value, partition) in values.iter().zip([0, 1].into_iter().cycle()) {
            let record = Record::to("orders")
                .timestamp(LONG_AGO_MS)
                .partition(partition)
                .key("o-1")
                .value(*value);
            let at = producer.send(record).await.unwrap().await.unwrap();
            let place = format!("orders:{}:{}", at.partition, at.offset);
            token.merge(&place.parse().unwrap());
        }
        token
    }

    fn projection(&self, view: &'static str) -> Projection<D> {
        let projection = self.client.projection(view, self.database.clone());
        projection
            .topics(["orders"])
            .retry(Backoff::fixed(Duration::ZERO).max_attempts(ATTEMPTS))
    }

    /// Runs a view until the work is done.
    async fn beside(&self, view: &'static str, work: impl Future<Output = ()>) -> HandlerSummary {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let items = Items {
            table: view,
            given_up: Arc::clone(&self.given_up),
        };
        let projection = self.projection(view);
        let metrics = projection.metrics();
        let run = projection.run(items, async move { stopped.notified().await });
        let work = async {
            work.await;
            stop.notify_one();
        };
        let summary = tokio::join!(run, work).0;
        let halted = u64::try_from(summary.halted.len()).unwrap();
        assert_eq!(metrics.snapshot().halted, halted);
        summary
    }
}

/// How often a record is tried.
const ATTEMPTS: u32 = 2;

/// When all records were written.
const LONG_AGO_MS: i64 = 1_700_000_000_000;

const LONG: Duration = Duration::from_secs(60);

async fn a_view_shows_what_its_writer_has_just_appended_and_nothing_twice<D: Database + Clone>(
    shop: Shop<D>,
) {
    let view = shop.projection("orders_v1").view();
    let before = shop.append(&["a", "b", "c"]).await;
    assert_eq!(view.lag().await.unwrap(), 3);
    let summary = shop.beside("orders_v1", async {
        view.wait_for(&before, LONG).await.unwrap();
        assert_eq!(shop.items("orders_v1").await, 3);
        let own = shop.append(&["d"]).await;
        view.wait_for(&own, LONG).await.unwrap();
        assert_eq!(shop.items("orders_v1").await, 4);
        assert_eq!(view.lag().await.unwrap(), 0);
        assert_eq!(view.lag_time().await.unwrap(), Duration::ZERO);
    });
    summary.await.result().unwrap();
    // It goes on where it was.
    let more = shop.append(&["e"]).await;
    let again = shop.beside("orders_v1", async {
        view.wait_for(&more, LONG).await.unwrap()
    });
    again.await.result().unwrap();
    assert_eq!(shop.items("orders_v1").await, 5);
    assert_eq!(
        view.wait_for(&Token::default(), Duration::ZERO).await,
        Ok(())
    );
}

async fn a_view_stops_at_what_it_cannot_show_and_shows_that_it_lags<D: Database + Clone>(
    shop: Shop<D>,
) {
    let view = shop.projection("orders_v1").view();
    // Partition 0 has a, poison and c; partition 1 has b and d.
    let token = shop.append(&["a", "b", "poison", "d", "c"]).await;
    let others: Token = "orders:0:0,orders:1:1".parse().unwrap();
    let summary = shop.beside("orders_v1", async {
        view.wait_for(&others, LONG).await.unwrap();
        shop.given_up.notified().await;
        let short = Duration::from_millis(1);
        let behind = view.wait_for(&token, short).await.unwrap_err();
        let ViewError::Behind {
            partition,
            offset,
            position,
            ..
        } = behind
        else {
            unreachable!("{behind}");
        };
        assert_eq!((partition, offset, position), (0, 2, 1));
    });
    let summary = summary.await;
    assert_eq!(view.position("orders", 0).await.unwrap(), Some(1));
    assert_eq!(
        (shop.items("orders_v1").await, view.lag().await.unwrap()),
        (3, 2)
    );
    assert!(view.lag_time().await.unwrap() > Duration::from_secs(86_400));
    let halted: Vec<_> = summary
        .halted
        .iter()
        .map(|it| (it.partition, it.offset))
        .collect();
    assert_eq!((&halted[..], summary.dead_letters), (&[(0, 1)][..], 0));
}

async fn a_new_version_of_a_view_is_built_beside_the_old_one_until_it_has_caught_up<
    D: Database + Clone,
>(
    shop: Shop<D>,
) {
    let token = shop.append(&["a", "b", "c"]).await;
    let [old, new] = ["orders_v1", "orders_v2"].map(|name| shop.projection(name).view());
    let first = shop.beside("orders_v1", async {
        old.wait_for(&token, LONG).await.unwrap()
    });
    first.await.result().unwrap();
    let both = shop.beside("orders_v1", async {
        let rebuilt = shop.beside("orders_v2", async {
            shop.append(&["d"]).await;
            let end = new.end().await.unwrap();
            assert_eq!(end.to_string(), "orders:0:2,orders:1:0");
            new.wait_for(&end, LONG).await.unwrap();
            old.wait_for(&end, LONG).await.unwrap();
        });
        rebuilt.await.result().unwrap();
    });
    both.await.result().unwrap();
    assert_eq!(
        [shop.items("orders_v1").await, shop.items("orders_v2").await],
        [4, 4]
    );
}
