//! The transactional outbox: an order and its event are committed together, or neither is; a relay
//! publishes what is committed.

use std::{error::Error, future::pending, time::Duration};

use highwater::sql::{Database, Isolation, OwnedTx, SqlStatement, SqlTx, Sqlite};
use highwater::{Broker, Client, ConsumerConfig, EmbeddedClient, Event, Outbox, StartAt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::in_memory()?;
    let client = Client::embedded(&broker);
    let database = Sqlite::in_memory().await?; // or Sqlite::open("shop.db"), Postgres::connect(url)
    let outbox = Outbox::to("order-events");
    outbox.migrate(&database).await?;
    let mut tx = database.begin(Isolation::Write).await?;
    let create = SqlStatement::new("create table orders (id text primary key)");
    tx.execute(create).await?;
    tx.commit().await?;
    for order in ["o-1", "o-2", "o-3"] {
        let mut tx = database.begin(Isolation::Write).await?;
        let insert = SqlStatement::new("insert into orders values ($1)");
        tx.execute(insert.bind(order)).await?;
        let event = Event::new("/shop/orders", "order.created.v1").key(order);
        outbox.enqueue(&mut tx, &event.data("{}")).await?;
        match order {
            "o-2" => tx.rollback().await?, // the event goes with its order
            _ => tx.commit().await?,
        }
    }
    // A broker in memory acknowledges what a power failure loses: it is for examples and tests.
    let relay = client.relay(database).allow_memory_ack();
    tokio::select! {
        ended = relay.run(pending()) => ended.result()?,
        events = two_events(&client) => assert_eq!(events?, ["o-1", "o-3"]),
    }
    Ok(())
}

/// The keys of the first two events.
async fn two_events(client: &Client) -> Result<Vec<String>, Box<dyn Error>> {
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer
        .assign_topic("order-events", StartAt::Earliest)
        .await?;
    let mut keys = Vec::new();
    while keys.len() < 2 {
        for record in consumer.poll(Duration::from_secs(1)).await? {
            keys.push(String::from_utf8(record.key.unwrap_or_default().to_vec())?);
        }
    }
    Ok(keys)
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
