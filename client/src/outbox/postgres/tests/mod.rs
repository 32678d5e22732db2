//! The captures against a real PostgreSQL.

mod commit_order;
mod interleavings;
mod leads;
mod refusals;

use std::sync::Arc;
use std::sync::OnceLock;

use highwater_kit::postgres::Postgres as Cluster;
use highwater_proto::clock::Clock;
use highwater_proto::clock::Mono;
use highwater_proto::clock::Now;
use highwater_proto::clock::Sleep;
use highwater_proto::clock::Wall;

use super::Queue;
use super::Snapshot;
use super::migrations;
use crate::outbox::OutboxError;
use crate::outbox::capture::Adopt;
use crate::outbox::capture::Backlog;
use crate::outbox::capture::Batch;
use crate::outbox::capture::Capture;
use crate::outbox::capture::Confirmed;
use crate::outbox::capture::Room;
use crate::outbox::capture::Row;
use crate::outbox::capture::Stored;
use crate::outbox::table::Table;
use crate::sql::Database as _;
use crate::sql::Isolation;
use crate::sql::OwnedTx as _;
use crate::sql::PgTx;
use crate::sql::Postgres;
use crate::sql::SqlStatement;
use crate::sql::SqlTx;
use crate::sql::SqlValue;

/// One cluster for all of these tests; its guard ends it with the process.
fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let start = || Cluster::start_with("fsync = off\nmax_prepared_transactions = 10");
    CLUSTER.get_or_init(start).as_ref()
}

/// Runs a test with an empty database of its own.
fn with_database(test: impl AsyncFnOnce(Postgres)) {
    if let Some(cluster) = cluster() {
        in_database(&cluster.database(), test);
    }
}

fn in_database(url: &str, test: impl AsyncFnOnce(Postgres)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { test(Postgres::connect(url).await.unwrap()).await });
}

/// A transaction that writes.
async fn begin(database: &Postgres) -> PgTx {
    database.begin(Isolation::Write).await.unwrap()
}

async fn run(tx: &mut PgTx, text: impl Into<String>) {
    tx.execute(SqlStatement::new(text.into())).await.unwrap();
}

/// Runs statements, each in a transaction of its own.
async fn run_all(database: &Postgres, texts: impl IntoIterator<Item = impl Into<String>>) {
    for text in texts {
        let mut tx = begin(database).await;
        run(&mut tx, text).await;
        tx.commit().await.unwrap();
    }
}

async fn number(database: &Postgres, text: impl Into<String>) -> i64 {
    let mut tx = begin(database).await;
    let rows = tx.query(SqlStatement::new(text.into())).await.unwrap();
    tx.rollback().await.unwrap();
    rows[0].integer(0).unwrap()
}

/// An outbox of this name, made by the migrations.
async fn outbox(database: &Postgres, name: &str) -> Table {
    let table = read_from(name);
    run_all(database, migrations::statements(&table)).await;
    table
}

fn read_from(name: &str) -> Table {
    let columns = ["aggregateid".to_owned(), "payload".to_owned()];
    let table = Table::new(name).unwrap();
    table.reading(&columns, Some("created_at")).unwrap()
}

/// Puts a row into the table.
async fn enqueue(tx: &mut PgTx, table: &Table, key: &str, value: &str) {
    let text = format!(
        "insert into {} (id, aggregatetype, aggregateid, type, payload) \
         values (gen_random_uuid(), 'order', $1, 'created', $2)",
        table.name()
    );
    let statement = SqlStatement::new(text).bind(key).bind(value.as_bytes());
    assert_eq!(tx.execute(statement).await.unwrap(), 1);
}

/// Puts a row into the table and commits it.
async fn enqueue_alone(database: &Postgres, table: &Table, key: &str, value: &str) {
    let mut tx = begin(database).await;
    enqueue(&mut tx, table, key, value).await;
    tx.commit().await.unwrap();
}

/// A relay without a broker: what it is given counts as published once it is asked for more.
struct Reader<C> {
    database: Postgres,
    table: Table,
    capture: C,
    stored: Stored,
    /// Published, and not confirmed.
    pending: Option<Confirmed>,
}

impl<C: Capture<Postgres>> Reader<C> {
    fn new(database: &Postgres, table: &Table, capture: C) -> Self {
        Self {
            database: database.clone(),
            table: table.clone(),
            capture,
            stored: Stored::default(),
            pending: None,
        }
    }

    async fn opened(database: &Postgres, table: &Table, capture: C) -> Self {
        let mut reader = Self::new(database, table, capture);
        reader.open(Adopt::Refuse).await.unwrap();
        reader
    }

    async fn open(&mut self, adopt: Adopt) -> Result<(), OutboxError> {
        self.pending = None;
        let mut tx = begin(&self.database).await;
        let stored = &self.stored;
        self.stored = self
            .capture
            .open(&mut tx, &self.table, stored, adopt)
            .await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    async fn next(&mut self, rows: usize) -> Batch {
        let mut tx = self.database.begin(C::READS).await.unwrap();
        let room = Room {
            rows,
            bytes: 1 << 20,
        };
        let batch = self.capture.next(&mut tx, &self.table, room).await.unwrap();
        tx.rollback().await.unwrap();
        batch
    }

    async fn confirm(&mut self) {
        if let Some(confirmed) = self.pending.take() {
            let mut tx = begin(&self.database).await;
            let done = self.capture.confirm(&mut tx, &self.table, &confirmed).await;
            done.unwrap();
            tx.commit().await.unwrap();
            self.stored.position = confirmed.position;
        }
    }

    /// As the relay does: the next rows, then word of those before.
    async fn step(&mut self, rows: usize) -> Vec<Row> {
        let batch = self.next(rows).await;
        self.confirm().await;
        self.publish(batch)
    }

    fn publish(&mut self, batch: Batch) -> Vec<Row> {
        assert!(!batch.has_more || !batch.rows.is_empty());
        if !batch.rows.is_empty() {
            self.pending = Some(Confirmed {
                seqs: batch.rows.iter().map(|row| row.seq).collect(),
                position: batch.position,
            });
        }
        batch.rows
    }

    /// Everything that can be seen.
    async fn drain(&mut self, rows: usize) -> Vec<Row> {
        let mut all = Vec::new();
        loop {
            let found = self.step(rows).await;
            if found.is_empty() {
                return all;
            }
            all.extend(found);
        }
    }

    async fn backlog(&mut self) -> Backlog {
        let mut tx = begin(&self.database).await;
        let (table, stored) = (&self.table, &self.stored);
        self.capture.backlog(&mut tx, table, stored).await.unwrap()
    }
}

/// What the rows say.
fn values(rows: &[Row]) -> Vec<String> {
    rows.iter().map(value).collect()
}

fn value(row: &Row) -> String {
    match row.values.value(1) {
        SqlValue::Bytes(value) => String::from_utf8(value.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn snapshot() -> Snapshot<Postgres> {
    Snapshot::new()
}

/// A queue that moves its mark with every row.
fn queue() -> Queue<Postgres> {
    Queue::raising_after(1, Arc::new(Stopped))
}

/// A clock on which the time to look at the whole table again never comes.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Now {
        Now {
            mono: Mono(0),
            wall: Wall(0),
        }
    }

    fn wall(&self) -> Wall {
        Wall(0)
    }

    fn sleep_until(&self, _: Mono) -> Sleep {
        Box::pin(std::future::pending())
    }
}
