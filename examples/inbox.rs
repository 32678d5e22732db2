//! The idempotent consumer: a payment is booked once, although its event comes three times.

use std::{error::Error, sync::Arc};

use highwater::inbox::{Delivery, Inbox, TxHandler};
use highwater::sql::{Database, Isolation, OwnedTx, SqlStatement, SqlTx, Sqlite, SqliteTx};
use highwater::{Broker, Client, EmbeddedClient, Event, HandlerError, Order, ProducerConfig};
use tokio::sync::Notify;

/// Books payments in the transaction that remembers their events.
struct Accounting(Arc<Notify>);

impl TxHandler<SqliteTx> for Accounting {
    async fn handle(&self, mut delivery: Delivery<'_, SqliteTx>) -> Result<(), HandlerError> {
        let order = delivery.record().key.clone().unwrap_or_default();
        let insert = SqlStatement::new("insert into payments values ($1)");
        delivery.tx().execute(insert.bind(&order[..])).await?;
        if order == "o-43" {
            self.0.notify_one();
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::in_memory()?;
    let client = Client::embedded(&broker);
    let producer = client.producer(ProducerConfig::default())?;
    let paid = |order| Event::new("/shop", "order.paid.v1").key(order).data("{}");
    let (first, last) = (paid("o-42"), paid("o-43"));
    for event in [&first, &first, &first, &last] {
        producer.send(event.to("payments")?).await?.await?;
    }
    let (database, inbox) = (Sqlite::in_memory().await?, Inbox::new());
    inbox.migrate(&database).await?;
    let mut tx = database.begin(Isolation::Write).await?;
    let create = SqlStatement::new("create table payments (order_id blob)");
    tx.execute(create).await?;
    tx.commit().await?;
    let booked = Arc::new(Notify::new());
    let handler = Accounting(Arc::clone(&booked));
    let handling = client.handler("accounting").topics(["payments"]);
    let handling = handling.order(Order::Partition);
    let handling = handling.transactional(database.clone(), inbox.clone());
    let all_booked = async move { booked.notified().await };
    handling.run(handler, all_booked).await.result()?;

    let mut tx = database.begin(Isolation::Snapshot).await?;
    let count = SqlStatement::new("select count(*) from payments");
    let rows = tx.query(count).await?;
    assert_eq!((rows[0].integer(0)?, inbox.counts().duplicate_ids), (2, 2));
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
