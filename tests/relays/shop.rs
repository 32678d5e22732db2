//! A shop: orders and their events in one transaction, a topic, and what became of them.

use highwater::inbox::Inbox;
use highwater::sql::{Database, Dialect, Isolation, OwnedTx, SqlStatement, SqlTx};
use highwater::{Client, ConsumerConfig, Event, NewTopic, OffsetSpec, Outbox, StartAt};

use crate::judge::Sale;
use crate::relaying::{execute, rows, said, text};
use std::time::Duration;

/// One outbox, with its topic.
pub(crate) struct Shop<'a, D> {
    pub(crate) client: &'a Client,
    pub(crate) database: D,
    /// Of the table, of the topic and of the group.
    pub(crate) name: String,
    outbox: Outbox,
}

/// Makes what all shops of a database share.
pub(crate) async fn prepare<D: Database>(database: &D) -> Result<(), String> {
    Inbox::new().migrate(database).await.map_err(said)?;
    let number = match database.dialect() {
        Dialect::Sqlite => "integer primary key autoincrement",
        Dialect::Postgres => "bigserial primary key",
    };
    for text in [
        format!(
            "create table effects (at {number}, run text not null, key text not null, \
             number bigint not null)"
        ),
        "create table orders (run text not null, id text not null, key text not null, \
         number bigint not null)"
            .to_owned(),
    ] {
        execute(database, SqlStatement::new(text)).await?;
    }
    Ok(())
}

impl<'a, D: Database> Shop<'a, D> {
    /// Makes the table; the topic is made by [`Self::open`].
    pub(crate) async fn found(
        client: &'a Client,
        database: D,
        name: String,
    ) -> Result<Self, String> {
        let outbox = Outbox::to(name.as_str()).table(name.as_str());
        outbox.migrate(&database).await.map_err(said)?;
        Ok(Self {
            client,
            database,
            name,
            outbox,
        })
    }

    /// Makes the topic, with more settings.
    pub(crate) async fn open(&self, settings: &[(&str, &str)]) -> Result<(), String> {
        let topic = NewTopic::named(self.name.as_str()).partitions(3);
        let topic = settings
            .iter()
            .fold(topic, |topic, (name, value)| topic.config(*name, *value));
        let admin = self.client.admin();
        admin.create_topic(&topic).await.map_err(said)
    }

    /// Removes topic and tables.
    pub(crate) async fn close(self) -> Result<(), String> {
        let admin = self.client.admin();
        admin.delete_topic(&self.name).await.map_err(said)?;
        for end in ["", "_parked", "_progress"] {
            let drop = format!("drop table {}{end}", self.name);
            execute(&self.database, SqlStatement::new(drop)).await?;
        }
        Ok(())
    }

    pub(crate) async fn begin(&self) -> Result<D::Tx, String> {
        self.database.begin(Isolation::Write).await.map_err(said)
    }

    /// Writes orders and their events, in a transaction.
    pub(crate) async fn sell<T: SqlTx>(
        &self,
        tx: &mut T,
        sales: &[(&str, i64)],
    ) -> Result<Vec<Sale>, String> {
        let mut sold = Vec::new();
        for (key, number) in sales {
            let event = Event::new("/shop/orders", "order.changed.v1")
                .key((*key).to_owned())
                .data(number.to_string());
            let insert = "insert into orders (run, id, key, number) values ($1, $2, $3, $4)";
            let insert = SqlStatement::new(insert)
                .bind(self.name.as_str())
                .bind(event.id.as_str())
                .bind(*key)
                .bind(*number);
            tx.execute(insert).await.map_err(said)?;
            self.outbox.enqueue(tx, &event).await.map_err(said)?;
            sold.push(Sale {
                id: event.id.as_str().to_owned(),
                key: (*key).to_owned(),
                number: *number,
            });
        }
        Ok(sold)
    }

    /// The same in a transaction of its own.
    pub(crate) async fn sold(&self, sales: &[(&str, i64)]) -> Result<Vec<Sale>, String> {
        let mut tx = self.begin().await?;
        let sold = self.sell(&mut tx, sales).await?;
        tx.commit().await.map_err(said)?;
        Ok(sold)
    }

    /// The same, undone.
    pub(crate) async fn undone(&self, sales: &[(&str, i64)]) -> Result<(), String> {
        let mut tx = self.begin().await?;
        self.sell(&mut tx, sales).await?;
        tx.rollback().await.map_err(said)
    }

    /// An event for a topic that does not exist: its key is parked.
    pub(crate) async fn poison(&self) -> Result<(), String> {
        let nowhere = Outbox::to(NOWHERE).table(self.name.as_str());
        let event = Event::new("/shop/orders", "order.changed.v1")
            .key("poison")
            .data("0");
        let mut tx = self.begin().await?;
        nowhere.enqueue(&mut tx, &event).await.map_err(said)?;
        tx.commit().await.map_err(said)
    }

    /// How many keys are parked.
    pub(crate) async fn parked(&self) -> Result<usize, String> {
        let parked = self.outbox.parked(&self.database, 10).await.map_err(said)?;
        Ok(parked.len())
    }

    /// The sum of the ends of the topic's partitions.
    pub(crate) async fn ends(&self) -> Result<i64, String> {
        let admin = self.client.admin();
        let mut sum = 0;
        for partition in 0..3 {
            let end = admin
                .offset(&self.name, partition, OffsetSpec::Latest)
                .await;
            sum += end.map_err(said)?.unwrap_or(0);
        }
        Ok(sum)
    }

    /// Everything that the topic has, in the order of its partitions.
    pub(crate) async fn published(&self) -> Result<Vec<Sale>, String> {
        let ends = usize::try_from(self.ends().await?).map_err(said)?;
        let mut consumer = self.client.consumer(ConsumerConfig::default());
        let assigned = consumer.assign_topic(&self.name, StartAt::Earliest).await;
        assigned.map_err(said)?;
        let mut sales = Vec::new();
        while sales.len() < ends {
            for record in consumer.poll(Duration::from_secs(1)).await.map_err(said)? {
                let text = |bytes: Option<&[u8]>| {
                    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
                };
                sales.push(Sale {
                    id: record.event_id().map_err(said)?.as_str().to_owned(),
                    key: text(record.key.as_deref()),
                    number: text(record.value.as_deref()).parse().map_err(said)?,
                });
            }
        }
        Ok(sales)
    }

    /// The effects in the order in which they took place.
    pub(crate) async fn effects(&self) -> Result<Vec<(String, i64)>, String> {
        let select = "select key, number from effects where run = $1 order by at";
        let rows = rows(
            &self.database,
            SqlStatement::new(select).bind(self.name.as_str()),
        )
        .await?;
        let effects = rows
            .iter()
            .map(|row| Ok((text(row, 0), row.integer(1).map_err(said)?)));
        effects.collect()
    }

    /// The orders that are there, by their numbers.
    pub(crate) async fn orders(&self) -> Result<Vec<Sale>, String> {
        orders(&self.database, &self.name).await
    }
}

/// The orders of a shop in a database, by their numbers.
pub(crate) async fn orders<D: Database>(database: &D, name: &str) -> Result<Vec<Sale>, String> {
    let select = "select id, key, number from orders where run = $1 order by number";
    let rows = rows(database, SqlStatement::new(select).bind(name)).await?;
    let orders = rows.iter().map(|row| {
        Ok(Sale {
            id: text(row, 0),
            key: text(row, 1),
            number: row.integer(2).map_err(said)?,
        })
    });
    orders.collect()
}

/// A topic that is never made.
const NOWHERE: &str = "nowhere";
