//! The payment service: writes down each change of an order once, in its own database.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - An effect of a version is never written before that of the version below.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use highwater_client::inbox::{Delivery, Inbox, TxHandler};
use highwater_client::sql::{
    Database, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx, Sqlite, SqliteTx,
};
use highwater_client::{
    Backoff, Client, ConsumerConfig, ConsumerRecord, HandlerError, HandlerSummary,
};
use highwater_proto::clock::Clock;

use super::plan::{Fate, Plan};
use super::{VERSION, number, order_of};
use crate::cli::failure::Failure;

/// The service; clones share their database and what they know.
#[derive(Clone)]
pub(super) struct Payments {
    pub(super) database: Sqlite,
    pub(super) inbox: Inbox,
    plan: Plan,
    clock: Arc<dyn Clock>,
    seen: Arc<Seen>,
}

/// What the service has met.
#[derive(Debug, Default)]
struct Seen {
    /// The cause of what could not be handled is gone.
    is_mended: AtomicBool,
    transient: AtomicU64,
    slow: AtomicU64,
}

/// An effect, in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) order: u32,
    pub(super) version: u32,
    pub(super) event: String,
}

impl Payments {
    /// A service with an empty database in a folder.
    pub(super) async fn open(
        dir: &Path,
        plan: Plan,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let database = Sqlite::open(dir.join("payments.db")).await;
        let database = database.map_err(Failure::failed)?;
        let inbox = Inbox::new();
        inbox.migrate(&database).await?;
        // Nothing in the table itself refuses an effect that is written twice, or too early.
        let create = "create table effects (number integer primary key autoincrement, \
                      purchase integer not null, version integer not null, event text not null)";
        let index = "create index effects_of_purchases on effects (purchase, version)";
        let mut tx = database
            .begin(Isolation::Write)
            .await
            .map_err(Failure::failed)?;
        for text in [create, index] {
            let made = tx.execute(SqlStatement::new(text)).await;
            made.map_err(Failure::failed)?;
        }
        tx.commit().await.map_err(Failure::failed)?;
        Ok(Self {
            database,
            inbox,
            plan,
            clock,
            seen: Arc::default(),
        })
    }

    /// From now on everything can be handled.
    pub(super) fn mend(&self) {
        self.seen.is_mended.store(true, Ordering::Relaxed);
    }

    /// How many calls failed on purpose, and how many were slow.
    pub(super) fn met(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.seen.transient), read(&self.seen.slow))
    }

    /// Handles what comes until `shutdown`. Dropped, it leaves everything as a crash does.
    pub(super) async fn run(
        &self,
        client: &Client,
        topic: &str,
        shutdown: impl Future<Output = ()>,
    ) -> HandlerSummary {
        // A name of its own: who starts again takes its place at once.
        let config = ConsumerConfig::new()
            .group_instance_id("payments-1")
            .auto_commit_interval_ms(50);
        client
            .handler(GROUP)
            .topics([topic])
            .consumer(config)
            .retry(Backoff::fixed(Duration::from_millis(10)).max_attempts(4))
            .concurrency(16)
            .transactional(self.database.clone(), self.inbox.clone())
            .run(self.clone(), shutdown)
            .await
    }

    /// What was written down.
    pub(super) async fn effects(&self) -> Result<Vec<Effect>, Failure> {
        let select = "select purchase, version, event from effects order by number";
        let effects = async {
            let mut tx = self.database.begin(Isolation::Snapshot).await?;
            let rows = tx.query(SqlStatement::new(select)).await?;
            tx.rollback().await?;
            let effect = |row: &SqlRow| {
                Ok(Effect {
                    order: number(row.integer(0)?),
                    version: number(row.integer(1)?),
                    event: row.text(2)?.to_owned(),
                })
            };
            rows.iter().map(effect).collect()
        };
        let effects: Result<_, SqlError> = effects.await;
        effects.map_err(Failure::failed)
    }
}

impl TxHandler<SqliteTx> for Payments {
    async fn handle(&self, mut delivery: Delivery<'_, SqliteTx>) -> Result<(), HandlerError> {
        let (order, version) = change_of(delivery.record()).map_err(HandlerError::dead)?;
        match self.plan.fate(order, version) {
            Fate::Poison if !self.seen.is_mended.load(Ordering::Relaxed) => {
                return Err(HandlerError::dead("the card of this order is not accepted"));
            }
            Fate::Transient(count) if delivery.attempt() <= count => {
                self.seen.transient.fetch_add(1, Ordering::Relaxed);
                return Err(HandlerError::retry("the bank does not answer"));
            }
            Fate::Slow(time) => {
                self.seen.slow.fetch_add(1, Ordering::Relaxed);
                let now = self.clock.now().mono;
                self.clock.sleep_until(now.plus(time)).await;
            }
            Fate::Fine | Fate::Transient(_) | Fate::Poison => {}
        }
        let event = delivery.event_id().to_string();
        let select = "select coalesce(max(version), 0) from effects where purchase = $1";
        let select = SqlStatement::new(select).bind(i64::from(order));
        let rows = delivery.tx().query(select).await?;
        let last = rows.first().map_or(Ok(0), |row| row.integer(0))?;
        if i64::from(version) > last + 1 {
            // What this change builds on lies among the dead letters: it goes there, too.
            return Err(HandlerError::dead(format!(
                "version {version} came when only {last} was known"
            )));
        }
        let insert = "insert into effects (purchase, version, event) values ($1, $2, $3)";
        let insert = SqlStatement::new(insert).bind(i64::from(order));
        let insert = insert.bind(i64::from(version)).bind(event);
        delivery.tx().execute(insert).await?;
        Ok(())
    }
}

/// The order that a record tells of, and its version.
pub(super) fn change_of(record: &ConsumerRecord) -> Result<(u32, u32), &'static str> {
    let order = record.key.as_deref().and_then(order_of);
    let order = order.ok_or("the key is no order")?;
    let mut headers = record.headers.iter();
    let version = headers.find(|it| it.key == VERSION);
    let version =
        version.and_then(|it| std::str::from_utf8(it.value.as_deref()?).ok()?.parse().ok());
    Ok((order, version.ok_or("there is no version")?))
}

/// The group of the service.
pub(super) const GROUP: &str = "payment-service";
