//! `Relay`: the settings of what publishes an outbox, and what came of it.
//!
//! Floor 6 of client.

use std::sync::Arc;
use std::time::Duration;

use super::capture::{Adopt, Room};
use super::destination::MemoryAcks;
use super::error::OutboxError;
use super::machine::Rules;
use super::metrics::RelayMetrics;
use super::migrations;
use super::postgres;
use super::router::Router;
use super::runner::{Runner, Settings};
use super::sqlite::Cursor;
use super::table::Table;
use super::worker::Seat;
use crate::cluster::Cluster;
use crate::config::{Acks, ProducerConfig};
use crate::envelope::EventId;
use crate::sql::{Database, Dialect, Isolation, OwnedTx, SqlStatement, SqlTx};

/// Publishes the rows of an outbox; made by [`Client::relay`](crate::Client::relay).
///
/// Each row is published at least once; after a crash or a change of the lead, at most one batch is
/// published again, with the same event ids. Rows of a key are published in the order of their
/// numbers, one that is published again never overtakes one that was not yet. Run as many relays of
/// a table as you like: one leads, the others wait until it has stopped, or has been silent for a
/// lease.
///
/// A row that cannot be published, because it is too large or its topic does not exist, is tried a
/// few times; then it is parked with the later rows of its key, and the other keys go on
/// ([`Outbox::parked`](super::Outbox::parked)). What fails for all rows parks none: they wait.
///
/// ```no_run
/// use highwater_client::sql::Database;
/// use highwater_client::{Client, OutboxError};
///
/// # async fn run<D: Database>(client: Client, database: D) -> Result<(), OutboxError> {
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let relay = client.relay(database);
/// let metrics = relay.metrics();
/// let running = relay.run(async { stopped.await.unwrap_or_default() });
/// // ... elsewhere, for an alarm:
/// println!("{:?}", metrics.snapshot().oldest_unpublished);
/// # drop(stop);
/// let summary = running.await;
/// println!("{} published", summary.published);
/// summary.result()
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is published before `run`"]
pub struct Relay<D> {
    cluster: Arc<Cluster>,
    database: D,
    table: String,
    order_column: Option<String>,
    created_column: Option<String>,
    capturing: Option<Capturing>,
    router: Router,
    producer: ProducerConfig,
    memory_acks: MemoryAcks,
    adopt: Adopt,
    room: Room,
    rules: Rules,
    metrics: RelayMetrics,
}

/// How rows are found in PostgreSQL. SQLite needs no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capturing {
    /// Rows that are visible in a new snapshot and were not in the last one: for tables that
    /// [`Outbox::migrate`](super::Outbox::migrate) has made.
    Snapshot,
    /// The lowest rows that are there, which are deleted when they are published: for tables of
    /// others, which need a column that ascends ([`Relay::order_column`]).
    Queue,
}

/// What came of a relay's run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "whether the run ended by an error is for the caller to judge"]
pub struct RelaySummary {
    /// Records that were acknowledged.
    pub published: u64,
    /// Rows that were parked.
    pub parked: u64,
    /// What ended the run.
    pub error: Option<OutboxError>,
}

impl RelaySummary {
    /// What ended the run, as a result.
    ///
    /// # Errors
    /// What made it impossible to go on.
    pub fn result(self) -> Result<(), OutboxError> {
        self.error.map_or(Ok(()), Err)
    }
}

impl<D: Database> Relay<D> {
    pub(crate) fn new(cluster: &Arc<Cluster>, database: D) -> Self {
        let poll_max = match database.dialect() {
            Dialect::Sqlite => Duration::from_millis(50),
            Dialect::Postgres => Duration::from_secs(1),
        };
        let poll_first = match database.dialect() {
            Dialect::Sqlite => Duration::from_millis(1),
            Dialect::Postgres => Duration::from_millis(5),
        };
        Self {
            metrics: RelayMetrics::new(Arc::clone(cluster.clock())),
            cluster: Arc::clone(cluster),
            database,
            table: "outbox".to_owned(),
            order_column: None,
            created_column: None,
            capturing: None,
            router: Router::default(),
            producer: ProducerConfig::new().batch_size(BATCH_BYTES),
            memory_acks: MemoryAcks::Refused,
            adopt: Adopt::Refuse,
            room: Room {
                rows: 1_000,
                bytes: 1 << 20,
            },
            rules: Rules {
                attempts_max: 5,
                lease: Duration::from_secs(10),
                poll_first,
                poll_max,
                drain: Duration::from_secs(30),
            },
        }
    }

    /// Another table than `outbox`. Name it alike in all of its relays, with its schema or without:
    /// relays of `outbox` and of `public.outbox` would not know of each other.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// The column of whole numbers that ascend with the rows; `seq` if it is not said.
    pub fn order_column(mut self, name: impl Into<String>) -> Self {
        self.order_column = Some(name.into());
        self
    }

    /// The column that says when a row was written: a `timestamptz` in PostgreSQL, milliseconds
    /// since 1970 in SQLite. If it is not said, `created_at`; with [`Router::debezium`] none, and
    /// then nobody knows how old the oldest row is.
    pub fn created_column(mut self, name: impl Into<String>) -> Self {
        self.created_column = Some(name.into());
        self
    }

    /// How rows are found in PostgreSQL: if it is not said, as a queue with
    /// [`Router::debezium`], else by snapshots.
    pub const fn capture(mut self, capturing: Capturing) -> Self {
        self.capturing = Some(capturing);
        self
    }

    /// Which record a row becomes; [`Router::default`] if it is not said.
    pub fn router(mut self, router: Router) -> Self {
        self.router = router;
        self
    }

    /// Settings of the producer. `acks`, `linger.ms` and `enable.idempotence` are set by the relay.
    pub fn producer(mut self, config: ProducerConfig) -> Self {
        self.producer = config;
        self
    }

    /// How many rows (1,000) and bytes (1 MiB) are read and sent at a time: so much may be
    /// published again after a crash. Of either, 0 is taken for 1.
    pub fn batch(mut self, rows: usize, bytes: usize) -> Self {
        self.room = Room {
            rows: rows.max(1),
            bytes: bytes.max(1),
        };
        self
    }

    /// How often a row is tried before it is parked, the first time included; 5 if it is not said,
    /// and 0 is taken for 1.
    pub fn max_attempts(mut self, count: u32) -> Self {
        self.rules.attempts_max = count.max(1);
        self
    }

    /// How long a leader may be silent before another relay takes its place; 10 s if it is not
    /// said, and less than 10 ms is taken for that. Only a crash makes anybody wait for it: a relay
    /// that is stopped gives the lead back.
    pub fn lease(mut self, time: Duration) -> Self {
        self.rules.lease = time.max(LEASE_MIN);
        self
    }

    /// How long what is being published may take when the relay is stopped; 30 s if it is not said.
    /// Then it is given up, and published again by the next relay.
    pub const fn drain(mut self, time: Duration) -> Self {
        self.rules.drain = time;
        self
    }

    /// Publishes to topics that acknowledge what is only in memory: a power failure of the broker
    /// loses events whose rows are deleted.
    pub const fn allow_memory_ack(mut self) -> Self {
        self.memory_acks = MemoryAcks::Allowed;
        self
    }

    /// Begins with the first row that is there, if the stored position belongs to another database
    /// or is ahead of this one. Rows that were published may be published again.
    pub const fn adopt(mut self) -> Self {
        self.adopt = Adopt::Begin;
        self
    }

    /// What the relay tells about itself while it runs.
    #[must_use]
    pub fn metrics(&self) -> RelayMetrics {
        self.metrics.clone()
    }

    /// Makes the tables that the relay needs, if they are not there; the outbox itself only where
    /// `seq` orders it: a table of others stays as it is.
    ///
    /// # Errors
    /// `Invalid` if a name is none; `Sql` if the database refuses.
    pub async fn migrate(&self) -> Result<(), OutboxError> {
        let database = &self.database;
        let mut tx = database.begin(Isolation::Write).await?;
        for statement in migrations::statements(&self.read_table()?, database.dialect()) {
            tx.execute(SqlStatement::new(statement)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Publishes rows until `shutdown` is over: then what is being published is waited for, how far
    /// it is is stored, and the lead is given back.
    ///
    /// If the future is dropped, what the producer has taken in may still be stored by the broker;
    /// the next relay publishes it again.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> RelaySummary {
        let dialect = self.database.dialect();
        let is_foreign = self.router.created().is_none();
        let capturing = match self.capturing {
            None if is_foreign => Capturing::Queue,
            None => Capturing::Snapshot,
            Some(chosen) => chosen,
        };
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(error) => {
                return RelaySummary {
                    error: Some(error),
                    ..RelaySummary::default()
                };
            }
        };
        match (dialect, capturing) {
            (Dialect::Sqlite, _) => Runner::new(settings, Cursor::default()).run(shutdown).await,
            (Dialect::Postgres, Capturing::Queue) => {
                let queue = postgres::Queue::new(Arc::clone(settings.cluster.clock()));
                Runner::new(settings, queue).run(shutdown).await
            }
            (Dialect::Postgres, Capturing::Snapshot) => {
                let snapshot = postgres::Snapshot::new();
                Runner::new(settings, snapshot).run(shutdown).await
            }
        }
    }

    fn read_table(&self) -> Result<Table, OutboxError> {
        let mut table = Table::new(&self.table)?;
        if let Some(column) = &self.order_column {
            table = table.ordered_by(column)?;
        }
        let created = self
            .created_column
            .as_deref()
            .or_else(|| self.router.created());
        table.reading(&self.router.columns(), created)
    }

    fn settings(self) -> Result<Settings<D>, OutboxError> {
        if self.capturing.is_some() && self.database.dialect() == Dialect::Sqlite {
            return Err(OutboxError::Invalid(
                "how rows are found is a choice for PostgreSQL: in SQLite there is one way, leave \
                 it out"
                    .to_owned(),
            ));
        }
        let table = self.read_table()?;
        let producing = self.producer.acks(Acks::All).enable_idempotence(true);
        let producing = producing.linger_ms(LINGER_MS).validated()?;
        let owner = EventId::v7(self.cluster.clock().wall().0);
        Ok(Settings {
            cluster: self.cluster,
            seat: Seat {
                database: self.database,
                table: Arc::new(table),
                owner: Arc::from(owner.as_str()),
            },
            router: Arc::new(self.router),
            adopt: self.adopt,
            room: self.room,
            rules: self.rules,
            producing,
            memory_acks: self.memory_acks,
            metrics: self.metrics,
        })
    }
}

/// The shortest lease.
const LEASE_MIN: Duration = Duration::from_millis(10);

/// No record waits so long: the producer is flushed behind the last one of a batch. Until then
/// nothing leaves, since each request costs the broker a sync.
const LINGER_MS: u64 = 100;

/// A batch of the producer: the rows are there already, so large ones cost no waiting.
const BATCH_BYTES: usize = 256 << 10;
