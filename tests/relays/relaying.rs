//! The processes that are killed: a relay, a poller that is no relay, and a consumer with an inbox.
//!
//! Each does one [`Task`], and is the test's own binary, started once more.
//!
//! Invariants
//! - Everything that a task does in its database is a numbered step; for a relay, each request to
//!   the broker and each answer is one, too. At the step it was given, the process ends itself by
//!   SIGKILL: no destructor runs, no connection says goodbye.
//! - A task ends by itself after a minute, whatever became of the test.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use highwater::client::{Dial, SystemClock, Tcp};
use highwater::inbox::{Delivery, Inbox, TxHandler};
use highwater::sql::{
    Database, Dialect, Isolation, OwnedTx, Postgres, SqlRow, SqlStatement, SqlTx, SqlValue, Sqlite,
};
use highwater::{
    Attempt, Backoff, Capturing, Client, ClientError, ConsumerConfig, ConsumerRecord, HandlerError,
    Handling, OffsetReset, Order, ProducerConfig, Record, Relay, handler_fn,
};
use highwater_proto::clock::Clock;
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};
use rusqlite::{Transaction, TransactionBehavior};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use crate::forgetful;
use crate::shop::Shop;
use crate::stepped::{Stepped, Steps};

/// What a process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) role: Role,
    /// Where the broker is.
    pub(crate) broker: String,
    pub(crate) place: Place,
    /// The name of the table, of the topic, and of the group.
    pub(crate) name: String,
    /// The step at which it dies.
    pub(crate) dies_at: Option<usize>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Publishes the rows, until so many keys are parked, so many orders were written, and no other
    /// row is left.
    Relay {
        capture: Capture,
        parked: i64,
        orders: i64,
    },
    /// The same, until it is killed; with acknowledgements out of memory if they are allowed.
    Relays { memory_acks: bool },
    /// Sells by itself so many times, each time when all before is published, and publishes what it
    /// sells: an application with its relay within.
    Shop { sales: i64 },
    /// Reads rows, publishes them and deletes them, or deletes them first.
    Poller { deletes_first: bool },
    /// Handles the topic up to the sum of its ends.
    Consumer { order: Ordered, ends: i64 },
    /// The same without an inbox: each effect in a transaction of its own.
    Careless { ends: i64 },
}

/// How rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Capture {
    Cursor,
    Snapshot,
    Queue,
}

/// In which order records are handled.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Ordered {
    Partition,
    Key,
}

/// Where the rows are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// A file.
    Sqlite(PathBuf),
    /// A URL.
    Postgres(String),
}

/// Does a task, to its end or its death.
///
/// # Errors
/// What went wrong, as a sentence.
pub(crate) fn run(task: &str) -> Result<(), String> {
    let task: Task = serde_json::from_str(task).map_err(said)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.map_err(said)?.block_on(async {
        let clock = SystemClock::new();
        let late = clock.sleep_until(clock.now().mono.plus(TASK_MAX));
        tokio::select! {
            done = of_place(&task) => done,
            () = late => Err(format!("it hangs: {task:?}")),
        }
    })
}

async fn of_place(task: &Task) -> Result<(), String> {
    match &task.place {
        Place::Sqlite(path) => {
            forgetful::everywhere();
            of_role(task, Sqlite::open(path).await.map_err(said)?).await
        }
        Place::Postgres(url) => of_role(task, Postgres::connect(url).await.map_err(said)?).await,
    }
}

async fn of_role<D: Database>(task: &Task, database: D) -> Result<(), String> {
    let steps = Steps::ending(task.dies_at.unwrap_or(usize::MAX), die);
    let stepped = Stepped::new(&database, &steps);
    let dial = Arc::new(SteppedDial {
        tcp: Tcp::new("relaying"),
        steps,
    });
    let clock = Arc::new(SystemClock::new());
    let client = Client::over(&task.broker, dial, clock).map_err(said)?;
    match &task.role {
        Role::Relay {
            capture,
            parked,
            orders,
        } => {
            let relay = relay(&client, stepped, &task.name);
            let relay = match capture {
                Capture::Cursor => relay,
                Capture::Snapshot => relay.capture(Capturing::Snapshot),
                Capture::Queue => relay.capture(Capturing::Queue),
            };
            let summary = relay
                .run(is_done(&database, &task.name, (*parked, *orders)))
                .await;
            summary.result().map_err(said)
        }
        Role::Relays { memory_acks } => {
            let relay = relay(&client, stepped, &task.name);
            let relay = match memory_acks {
                true => relay.allow_memory_ack(),
                false => relay,
            };
            let summary = relay.run(std::future::pending()).await;
            summary.result().map_err(said)
        }
        Role::Shop { sales } => {
            let mut sold = Ok(());
            let sells = async { sold = sell(&client, &database, task, *sales).await };
            let relay = relay(&client, stepped, &task.name);
            let summary = relay.run(sells).await;
            sold?;
            summary.result().map_err(said)
        }
        Role::Poller { deletes_first } => poll(&client, stepped, &task.name, *deletes_first).await,
        // Requests of a consumer come as time goes by: only its work in the database has numbers.
        Role::Consumer { order, ends } => {
            let client = Client::connect(&task.broker).await.map_err(said)?;
            consume(&client, &database, stepped, &task.name, (*order, *ends)).await
        }
        Role::Careless { ends } => {
            let client = Client::connect(&task.broker).await.map_err(said)?;
            consume_carelessly(&client, stepped, &task.name, *ends).await
        }
    }
}

fn die() {
    // It does not come back.
    let _ = kill_process(getpid(), Signal::KILL);
}

fn relay<D: Database>(client: &Client, database: D, table: &str) -> Relay<D> {
    let lease = match database.dialect() {
        Dialect::Sqlite => LEASE_SQLITE,
        Dialect::Postgres => LEASE_POSTGRES,
    };
    let relay = client.relay(database).table(table);
    relay.max_attempts(1).batch(5, 1 << 20).lease(lease)
}

/// Waits until so many keys are parked, so many orders are there, and no other row is left.
async fn is_done<D: Database>(database: &D, table: &str, (parked, orders): (i64, i64)) {
    let text = format!(
        "select (select count(*) from {table}), (select count(*) from {table}_parked), \
         (select count(*) from orders where run = $1)"
    );
    until(|| async {
        let select = SqlStatement::new(text.clone()).bind(table);
        let Ok(rows) = rows(database, select).await else {
            return false;
        };
        let count = |column| rows[0].integer(column).unwrap_or(-1);
        (count(0), count(1)) == (0, parked) && count(2) >= orders
    })
    .await;
}

/// Looks every few milliseconds.
pub(crate) async fn until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    while !is_so().await {
        pause().await;
    }
}

/// A few milliseconds.
pub(crate) async fn pause() {
    let clock = SystemClock::new();
    let next = clock.now().mono.plus(PAUSE);
    clock.sleep_until(next).await;
}

pub(crate) async fn rows<D: Database>(
    database: &D,
    select: SqlStatement,
) -> Result<Vec<SqlRow>, String> {
    let mut tx = database.begin(Isolation::Snapshot).await.map_err(said)?;
    let rows = tx.query(select).await.map_err(said)?;
    tx.rollback().await.map_err(said)?;
    Ok(rows)
}

/// Sells through the database of the relay, whose commits are synced; every third time as somebody
/// else does, whose commits are not.
async fn sell<D: Database>(
    client: &Client,
    database: &D,
    task: &Task,
    sales: i64,
) -> Result<(), String> {
    let Place::Sqlite(path) = &task.place else {
        return Err("in PostgreSQL nobody knows what others have synced".to_owned());
    };
    let shop = Shop::found(client, database.clone(), task.name.clone()).await?;
    let stranger = rusqlite::Connection::open(path).map_err(said)?;
    let unsynced = "pragma synchronous = off; pragma busy_timeout = 0";
    stranger.execute_batch(unsynced).map_err(said)?;
    for number in 0..sales {
        let sale = [(["a", "b"][usize::from(number % 2 == 0)], 10 + number)];
        if number % 3 == 2 {
            // It may not block: the relay, which may have a transaction open, is on this thread.
            let mut tx = loop {
                match Transaction::new_unchecked(&stranger, TransactionBehavior::Immediate) {
                    Ok(tx) => break tx,
                    Err(_) => pause().await,
                }
            };
            shop.sell(&mut tx, &sale).await?;
            tx.commit().map_err(said)?;
        } else {
            shop.sold(&sale).await?;
        }
        is_done(database, &task.name, (0, 0)).await;
    }
    Ok(())
}

/// What a poller does that is no relay. It has no durable commit of its own before it publishes,
/// and if it deletes first, none of its rows outlives it.
async fn poll<D: Database>(
    client: &Client,
    database: D,
    table: &str,
    deletes_first: bool,
) -> Result<(), String> {
    let producer = client.producer(ProducerConfig::default()).map_err(said)?;
    let id = match database.dialect() {
        Dialect::Sqlite => "lower(hex(id))",
        Dialect::Postgres => "replace(cast(id as text), '-', '')",
    };
    let payload = match database.dialect() {
        Dialect::Sqlite => "cast(payload as text)",
        Dialect::Postgres => "convert_from(payload, 'UTF8')",
    };
    let text =
        format!("select seq, {id}, aggregateid, {payload} from {table} order by seq limit 50");
    loop {
        let found = rows(&database, SqlStatement::new(text.clone())).await?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        let delete = SqlStatement::new(format!("delete from {table} where seq <= $1"));
        let delete = delete.bind(last.integer(0).map_err(said)?);
        if deletes_first {
            execute(&database, delete.clone()).await?;
        }
        for row in &found {
            let text = |column| row.text(column).map_err(said);
            let hex = text(1)?;
            let groups = [
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..],
            ];
            let record = Record::to(table)
                .key(text(2)?.to_owned())
                .value(text(3)?.to_owned())
                .header("ce_id", groups.join("-"));
            let sent = producer.send(record).await.map_err(said)?;
            sent.await.map_err(said)?;
        }
        if !deletes_first {
            execute(&database, delete).await?;
        }
    }
}

pub(crate) async fn execute<D: Database>(
    database: &D,
    statement: SqlStatement,
) -> Result<u64, String> {
    let mut tx = database.begin(Isolation::Write).await.map_err(said)?;
    let count = tx.execute(statement).await.map_err(said)?;
    tx.commit().await.map_err(said)?;
    Ok(count)
}

/// Notes an event.
fn effect(run: &str, record: &ConsumerRecord) -> Result<SqlStatement, HandlerError> {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into();
    let (key, value): (String, String) =
        (text(record.key.as_deref()), text(record.value.as_deref()));
    let number: i64 = value.parse().map_err(HandlerError::dead)?;
    let insert = "insert into effects (run, key, number) values ($1, $2, $3)";
    Ok(SqlStatement::new(insert).bind(run).bind(key).bind(number))
}

/// Notes each event, in the transaction of its inbox.
struct Effects(String);

impl<Tx: SqlTx + Send> TxHandler<Tx> for Effects {
    async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
        let effect = effect(&self.0, delivery.record())?;
        delivery.tx().execute(effect).await?;
        Ok(())
    }
}

fn handling(client: &Client, name: &str) -> Handling {
    let config = ConsumerConfig::new()
        .session_timeout_ms(SESSION_MS)
        .heartbeat_interval_ms(20)
        .auto_commit_interval_ms(20);
    client
        .handler(name)
        .topics([name])
        .consumer(config)
        .auto_offset_reset(OffsetReset::Earliest)
        .retry(Backoff::fixed(Duration::from_millis(20)).max_attempts(4))
}

async fn consume<D: Database>(
    client: &Client,
    database: &D,
    stepped: Stepped<D>,
    name: &str,
    (order, ends): (Ordered, i64),
) -> Result<(), String> {
    let handling = handling(client, name).order(match order {
        Ordered::Partition => Order::Partition,
        Ordered::Key => Order::Key,
    });
    let text = "select cast(coalesce(sum(next), 0) as bigint) from inbox_offsets \
                where consumer_group = $1";
    let is_at_the_end = until(|| async {
        let select = SqlStatement::new(text).bind(name);
        let rows = rows(database, select).await;
        rows.is_ok_and(|rows| rows[0].integer(0).is_ok_and(|next| next >= ends))
    });
    let handling = handling.transactional(stepped, Inbox::new());
    let effects = Effects(name.to_owned());
    let summary = handling.run(effects, is_at_the_end).await;
    summary.result().map_err(said)
}

async fn consume_carelessly<D: Database>(
    client: &Client,
    stepped: Stepped<D>,
    name: &str,
    ends: i64,
) -> Result<(), String> {
    let run: Arc<str> = Arc::from(name);
    let handler = handler_fn(move |attempt: Attempt| {
        let (database, run) = (stepped.clone(), Arc::clone(&run));
        async move {
            let effect = effect(&run, &attempt.record)?;
            execute(&database, effect)
                .await
                .map_err(HandlerError::retry)?;
            Ok(())
        }
    });
    let admin = client.admin();
    let is_at_the_end = until(|| async {
        let offsets = admin.group_offsets(name, None).await;
        offsets.is_ok_and(|found| found.iter().map(|it| it.offset).sum::<i64>() >= ends)
    });
    let summary = handling(client, name).run(handler, is_at_the_end).await;
    summary.result().map_err(said)
}

/// TCP, with each request and each answer a step.
#[derive(Debug)]
struct SteppedDial {
    tcp: Tcp,
    steps: Arc<Steps>,
}

impl Dial for SteppedDial {
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        let (dialed, steps) = (self.tcp.dial(address), Arc::clone(&self.steps));
        Box::pin(async move {
            let session = dialed.await?;
            Ok(Arc::new(SteppedLine { session, steps }) as Arc<dyn Exchange>)
        })
    }
}

#[derive(Debug)]
struct SteppedLine {
    session: Arc<dyn Exchange>,
    steps: Arc<Steps>,
}

impl Exchange for SteppedLine {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.session.versions(key)
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        // A request takes its place before this returns, so that the step before it is this one.
        self.steps.pass();
        let sent = self.session.send(version, request);
        let steps = Arc::clone(&self.steps);
        Box::pin(async move {
            let response = sent.await;
            steps.step().await;
            response
        })
    }
}

pub(crate) fn said(error: impl Display) -> String {
    error.to_string()
}

/// A value of a statement that is a text.
pub(crate) fn text(row: &SqlRow, column: usize) -> String {
    match row.value(column) {
        SqlValue::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Short: whoever comes after a dead leader waits for it.
const LEASE_SQLITE: Duration = Duration::from_millis(40);
/// Long: nobody waits for it, since the lock goes with the connection, and what shows that a relay
/// lives would sync what others have committed.
const LEASE_POSTGRES: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(4);
/// How long a group waits for a member that died.
const SESSION_MS: i32 = 150;
const TASK_MAX: Duration = Duration::from_secs(60);
