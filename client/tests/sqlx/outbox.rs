//! A service that uses sqlx fills an outbox, and a relay by our own driver publishes it.

use std::time::Duration;

use highwater_broker::Broker;
use highwater_client::sql::{Database, SqlTx};
use highwater_client::{Client, ConsumerConfig, Event, Outbox, OutboxError, Relay, StartAt};
use sqlx::{Pool, Transaction};
use tokio::sync::oneshot;

use crate::sqlite::File;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sqlite() {
    let file = File::new().await;
    let database = highwater_client::sql::Sqlite::open(file.path()).await;
    publishes(&file.database.pool, database.unwrap()).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgres() {
    let Some(cluster) = crate::postgres::cluster() else {
        return;
    };
    let url = cluster.database();
    let pooled = crate::postgres::connect(&url, 2).await;
    let database = highwater_client::sql::Postgres::connect(&url).await;
    publishes(&pooled.pool, database.unwrap()).await;
}

/// What was committed is published, each event as it was; what was rolled back is not.
async fn publishes<DB: sqlx::Database>(pool: &Pool<DB>, database: impl Database)
where
    for<'c> Transaction<'c, DB>: SqlTx,
{
    let outbox = Outbox::to("order-events");
    outbox.migrate(&database).await.unwrap();
    let events: Vec<Event> = (0..5)
        .map(|number| {
            let event = Event::new("/shop/orders", "order.changed.v1").key("o-1");
            let event = event.content_type("application/json");
            event.data(format!("{{\"number\": {number}}}"))
        })
        .collect();
    for (number, event) in events.iter().take(4).enumerate() {
        let mut tx = pool.begin().await.unwrap();
        outbox.enqueue(&mut tx, event).await.unwrap();
        match number {
            1 => tx.rollback().await.unwrap(),
            _ => tx.commit().await.unwrap(),
        }
    }
    let mut tx = pool.begin().await.unwrap();
    let full = outbox.max_rows(3).enqueue(&mut tx, &events[4]).await;
    assert!(
        matches!(full, Err(OutboxError::OutboxFull { .. })),
        "{full:?}"
    );
    drop(tx);

    let broker = Broker::builder().in_memory().start().unwrap();
    let client = Client::in_process(broker.sessions());
    let relay: Relay<_> = client.relay(database).allow_memory_ack();
    let (stop, stopped) = oneshot::channel::<()>();
    let relay = tokio::spawn(relay.run(async { stopped.await.unwrap_or_default() }));
    let mut consumer = client.consumer(ConsumerConfig::default());
    let mut found = Vec::new();
    while consumer
        .assign_topic("order-events", StartAt::Earliest)
        .await
        .is_err()
    {}
    while found.len() < 3 {
        found.extend(consumer.poll(Duration::from_secs(1)).await.unwrap());
    }
    drop(stop);
    let summary = relay.await.unwrap();
    assert_eq!(summary.published, 3);
    summary.result().unwrap();
    for (record, number) in found.iter().zip([0, 2, 3]) {
        assert_eq!(record.key.as_deref(), Some(&b"o-1"[..]));
        let event = record.event().unwrap();
        assert_eq!(event.id, events[number].id);
        assert_eq!(event.data, events[number].data);
        assert_eq!(event.content_type, events[number].content_type);
    }
}
