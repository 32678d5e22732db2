//! What the inbox costs: records written into PostgreSQL in transactions of a hundred, each by an
//! insert of its own with `synchronous_commit` on, with the inbox and without it.
//!
//! Without it, a loop of our consumer polls a hundred records, begins, inserts, commits: what a
//! service does that does not look for duplicates.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::inbox::{Delivery, Inbox, TxHandler};
use highwater::sql::{Database, Isolation, OwnedTx, Postgres, SqlStatement, SqlTx};
use highwater::{ConsumerConfig, ConsumerRecord, Event, HandlerError, Order, Record, StartAt};

use super::kit::run::{Run, Target, Unit};
use super::rig::{self, Rig};
use super::seen::Seen;

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let Some(cluster) = rig::postgres() else {
        return Ok(());
    };
    let rig = Rig::new(run, "inbox")?;
    let bench = Bench {
        database: rig
            .runtime
            .block_on(Postgres::connect(&cluster.database()))?,
        rig: &rig,
        records: run.scale(10_000, 300),
        groups: AtomicUsize::new(0),
    };
    rig.runtime.block_on(bench.prepare())?;
    for (order, what) in [
        (Order::Key, "inbox: a record, ids claimed, by key"),
        (Order::Partition, "inbox: a record, ids claimed, in order"),
    ] {
        let turns = run.turns(
            || rig.runtime.block_on(bench.with(order)),
            || rig.runtime.block_on(bench.without()),
        )?;
        let without = "the insert without it";
        run.share(what, Unit::Time, turns, without, Target::AtMost(1.15));
    }
    Ok(())
}

struct Bench<'a> {
    rig: &'a Rig,
    database: Postgres,
    /// Of a turn.
    records: usize,
    groups: AtomicUsize,
}

impl Bench<'_> {
    async fn prepare(&self) -> Result<(), Failure> {
        Inbox::new().migrate(&self.database).await?;
        let table = "create table payments (event_id text primary key, topic text not null, \
                     cents bigint not null)";
        self.sql(table).await?;
        self.rig.topic(TOPIC, 1).await?;
        let records: Result<Vec<Record>, _> = (0..self.records).map(record).collect();
        self.rig.send(records?).await
    }

    async fn sql(&self, text: &'static str) -> Result<(), Failure> {
        let mut tx = self.database.begin(Isolation::Write).await?;
        tx.execute(SqlStatement::new(text)).await?;
        Ok(tx.commit().await?)
    }

    /// Seconds of a record: from the first insert to the last.
    async fn with(&self, order: Order) -> Result<f64, Failure> {
        self.sql("truncate payments, inbox").await?;
        let group = self.groups.fetch_add(1, Ordering::Relaxed);
        let seen = Arc::new(Seen::new(&self.rig.clock, self.records));
        let handling = self.rig.client.handler(format!("g{group}")).topics([TOPIC]);
        let handling = handling.order(order);
        let inbox = Inbox::new();
        let handling = handling.transactional(self.database.clone(), inbox.clone());
        let pays = Pays(Arc::clone(&seen));
        let summary = handling.batch(BATCH).run(pays, seen.all()).await;
        if let Some(error) = summary.error {
            return Err(error.into());
        }
        let rows = inbox.rows(&self.database, &format!("g{group}")).await?;
        self.check(usize::try_from(rows)?)?;
        Ok(seen.seconds() / self.records as f64)
    }

    async fn without(&self) -> Result<f64, Failure> {
        self.sql("truncate payments, inbox").await?;
        let seen = Seen::new(&self.rig.clock, self.records);
        let config = ConsumerConfig::new().max_poll_records(BATCH);
        let mut consumer = self.rig.client.consumer(config);
        consumer.assign_topic(TOPIC, StartAt::Earliest).await?;
        let mut count = 0;
        while count < self.records {
            let records = consumer.poll(Duration::from_secs(10)).await?;
            let mut tx = self.database.begin(Isolation::Write).await?;
            for record in &records {
                seen.note();
                let inserted = insert(&mut tx, record).await;
                inserted.map_err(|error| error.to_string())?;
            }
            tx.commit().await?;
            count += records.len();
        }
        self.check(count)?;
        Ok(seen.seconds() / self.records as f64)
    }

    fn check(&self, count: usize) -> Result<(), Failure> {
        match count == self.records {
            true => Ok(()),
            false => Err(format!("{count} of {} records were handled", self.records).into()),
        }
    }
}

/// Writes each record down.
struct Pays(Arc<Seen>);

impl<Tx: SqlTx + Send> TxHandler<Tx> for Pays {
    async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
        self.0.note();
        let record = Arc::clone(delivery.record());
        insert(delivery.tx(), &record).await
    }
}

async fn insert<Tx: SqlTx + Send>(
    tx: &mut Tx,
    record: &ConsumerRecord,
) -> Result<(), HandlerError> {
    let id = record.event_id()?;
    let cents = record.offset % 10_000;
    let insert = SqlStatement::new("insert into payments values ($1, $2, $3)");
    let insert = insert.bind(id.as_str()).bind(&*record.topic).bind(cents);
    tx.execute(insert).await?;
    Ok(())
}

fn record(number: usize) -> Result<Record, highwater::ClientError> {
    let event = Event::new("/shop/orders", "order.paid.v1").key(format!("o-{number}"));
    event.data(r#"{"customer":"c-7","cents":1250}"#).to(TOPIC)
}

const TOPIC: &str = "orders";
const BATCH: usize = 100;
