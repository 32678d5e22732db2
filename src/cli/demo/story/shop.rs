//! The shop: changes orders in its database, and tells of each change in the same transaction.
//!
//! Floor 6 of cli.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use highwater_client::sql::{
    Database, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx, Sqlite, SqliteTx,
};
use highwater_client::{Event, EventId, Outbox, Outgoing};

use super::plan::Change;
use super::{VERSION, number, order_key};
use crate::cli::failure::Failure;

/// The shop and its database.
#[derive(Clone, Debug)]
pub(super) struct Shop {
    pub(super) database: Sqlite,
    outbox: Outbox,
}

/// What the shop has done.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// The events of what was committed, with their order and its version.
    pub(super) events: HashMap<EventId, (u32, u32)>,
    /// The events of what was rolled back: nobody must ever see them.
    pub(super) rolled_back: HashSet<EventId>,
}

impl Shop {
    /// A shop with an empty database in a folder.
    pub(super) async fn open(dir: &Path, topic: &str) -> Result<Self, Failure> {
        let database = Sqlite::open(dir.join("shop.db"))
            .await
            .map_err(Failure::failed)?;
        let outbox = Outbox::to(topic);
        outbox.migrate(&database).await.map_err(Failure::failed)?;
        let shop = Self { database, outbox };
        let mut tx = shop.begin().await?;
        let create = "create table orders (number integer primary key, version integer not null)";
        let created = tx.execute(SqlStatement::new(create)).await;
        created.map_err(Failure::failed)?;
        tx.commit().await.map_err(Failure::failed)?;
        Ok(shop)
    }

    /// Makes a change: the order and its event, or neither.
    pub(super) async fn make(&self, change: Change, books: &mut Books) -> Result<(), Failure> {
        let Change { order, version, .. } = change;
        let key = order_key(order);
        let data = format!("{{\"order\":\"{key}\",\"version\":{version}}}");
        let event = Event::new("/shop/orders", "order.changed.v1")
            .key(key)
            .content_type("application/json")
            .data(data);
        let outgoing = Outgoing::of(&event)
            .header(VERSION, version.to_string())
            .key_version(version.into());
        let mut tx = self.begin().await?;
        // The state first, then the event of it.
        let update = "insert into orders values ($1, $2) \
                      on conflict (number) do update set version = excluded.version";
        let update = SqlStatement::new(update).bind(i64::from(order));
        let updated = tx.execute(update.bind(i64::from(version))).await;
        updated.map_err(Failure::failed)?;
        let enqueued = self.outbox.enqueue(&mut tx, outgoing).await;
        enqueued.map_err(Failure::failed)?;
        if change.is_rolled_back {
            tx.rollback().await.map_err(Failure::failed)?;
            books.rolled_back.insert(event.id);
        } else {
            tx.commit().await.map_err(Failure::failed)?;
            books.events.insert(event.id, (order, version));
        }
        Ok(())
    }

    /// The version of each order.
    pub(super) async fn orders(&self) -> Result<HashMap<u32, u32>, Failure> {
        let orders = async {
            let mut tx = self.database.begin(Isolation::Snapshot).await?;
            let select = SqlStatement::new("select number, version from orders");
            let rows = tx.query(select).await?;
            tx.rollback().await?;
            let order = |row: &SqlRow| Ok((number(row.integer(0)?), number(row.integer(1)?)));
            rows.iter().map(order).collect()
        };
        let orders: Result<_, SqlError> = orders.await;
        orders.map_err(Failure::failed)
    }

    async fn begin(&self) -> Result<SqliteTx, Failure> {
        let begun = self.database.begin(Isolation::Write).await;
        begun.map_err(Failure::failed)
    }
}
