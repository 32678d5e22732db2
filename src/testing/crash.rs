//! `crash_everywhere`: a handler that crashes at each of its commit points in turn, and the
//! question whether anybody can tell afterwards.
//!
//! Invariants
//! - Each run has a broker and a database of its own; a crash leaves both as they are, and takes
//!   everything else.
//! - Behind the point of a crash nothing of the old process reaches the database or the broker.

mod database;
mod points;
mod report;
mod session;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::sql::{Database, Isolation, OwnedTx, SqlError, SqlStatement, SqlTx};
use highwater_client::{
    Backoff, Client, ClientError, ConsumerConfig, Handling, NewTopic, ProducerConfig, Record,
    SystemClock,
};
use highwater_proto::clock::Clock;

use self::points::Points;
use self::session::Watched;

pub use self::database::{Crashing, CrashingTx, OnInner, on_inner};
pub use self::report::{CrashDifference, CrashError, CrashReport};

/// Crashes an application at each of its commit points in turn, lets it start again, and compares
/// what the database has in the end with a run without a crash.
///
/// The commit points are: before a transaction begins, behind each of its statements, before and
/// behind its commit; before and behind each record that is stored and each offset that is
/// committed to the broker. After a crash the broker delivers again what was not committed.
///
/// ```
/// use highwater::inbox::{Delivery, Inbox, TxHandler};
/// use highwater::sql::{Database, SqlError, SqlStatement, SqlTx};
/// use highwater::testing::{CrashError, crash_everywhere};
/// use highwater::{ClientError, Event, HandlerError};
///
/// struct Payments;
///
/// impl<Tx: SqlTx + Send> TxHandler<Tx> for Payments {
///     async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
///         let insert = SqlStatement::new("insert into payments (event_id) values ($1)");
///         let insert = insert.bind(delivery.event_id().as_str());
///         delivery.tx().execute(insert).await?;
///         Ok(())
///     }
/// }
///
/// /// `fresh` makes an empty database with the tables of the inbox and of payments.
/// async fn crashes<D: Database>(
///     fresh: impl AsyncFn() -> Result<D, SqlError>,
/// ) -> Result<(), CrashError> {
///     let order = |id: &str| Event::new("/shop", "order.created").id(id).data("{}").to("orders");
///     crash_everywhere([order("o-1")?, order("o-2")?])
///         .compare("select event_id from payments order by event_id")
///         .run(fresh, async |app| {
///             let handling = app.handling().transactional(app.database(), Inbox::new());
///             handling.run(Payments, app.finished()).await
///         })
///         .await?
///         .expect_same();
///     Ok(())
/// }
/// ```
pub fn crash_everywhere(records: impl IntoIterator<Item = Record>) -> CrashTest {
    CrashTest {
        records: records.into_iter().collect(),
        queries: Vec::new(),
        limit: Duration::from_secs(60),
    }
}

/// A test that crashes everywhere; made by [`crash_everywhere`].
#[derive(Debug)]
#[must_use = "nothing crashes before `run`"]
pub struct CrashTest {
    records: Vec<Record>,
    queries: Vec<String>,
    limit: Duration,
}

/// The application's end of one run: what it is to work with.
#[derive(Debug)]
pub struct CrashRun<D> {
    client: Client,
    database: D,
    topics: Vec<String>,
    points: Points,
}

impl CrashTest {
    /// A query whose rows have to be the same; with an `order by`, since rows have no order
    /// without one. Several are compared one by one.
    pub fn compare(mut self, query: impl Into<String>) -> Self {
        self.queries.push(query.into());
        self
    }

    /// How long one run may take until everything is handled; 60 s if it is not said.
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the application once without a crash, then once for each commit point with a crash
    /// there and a second start. `fresh` makes an empty database with all tables, `application`
    /// handles records until [`CrashRun::finished`] is over.
    ///
    /// # Errors
    /// What keeps a run from its end: the database, the broker, an application that ends before
    /// everything is handled, or that takes too long.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run<D: Database, T: Debug>(
        self,
        fresh: impl AsyncFn() -> Result<D, SqlError>,
        application: impl AsyncFn(CrashRun<Crashing<D>>) -> T,
    ) -> Result<CrashReport, CrashError> {
        if self.queries.is_empty() {
            return Err(CrashError::NothingToCompare);
        }
        let (expected, whole) = self.crash_at(None, &fresh, &application).await?;
        let mut report = CrashReport::default();
        for (name, count) in whole.reached() {
            for number in 1..=count {
                let crash = Some((name.clone(), number));
                let (found, points) = self.crash_at(crash, &fresh, &application).await?;
                // The runs differ a little: one may have fewer commits of offsets than another.
                if let Some(point) = points.crash() {
                    report.compare(point, &self.queries, &expected, &found);
                }
            }
        }
        Ok(report)
    }

    /// One run to its end, with a crash when a point is reached for the so-manieth time; gives what
    /// the database has then.
    async fn crash_at<D: Database, T: Debug>(
        &self,
        crash: Option<(String, u64)>,
        fresh: &impl AsyncFn() -> Result<D, SqlError>,
        application: &impl AsyncFn(CrashRun<Crashing<D>>) -> T,
    ) -> Result<(Vec<Vec<String>>, Points), CrashError> {
        let config = BrokerConfig {
            group_initial_rebalance_delay_ms: 0,
            ..BrokerConfig::default()
        };
        let clock = Arc::new(SystemClock::new());
        let builder = Broker::builder().in_memory().config(config).clock(clock);
        let broker = builder.simulate(0).await?;
        let handled = Handled {
            ends: self.fill(&broker).await?,
            client: Client::in_process(broker.sessions()),
        };
        let database = fresh().await?;
        let crashing = Points::new(crash);
        let run = self.start(&broker, &database, &crashing, application);
        if !self.ended(run, &crashing, &handled, "no crash").await? {
            // A new process, with what the old one has left.
            let points = Points::new(None);
            let run = self.start(&broker, &database, &points, application);
            let at = crashing.crash().unwrap_or_default();
            self.ended(run, &points, &handled, &at).await?;
        }
        let mut found = Vec::new();
        let mut tx = database.begin(Isolation::Snapshot).await?;
        for query in &self.queries {
            let rows = tx.query(SqlStatement::new(query.clone())).await?;
            found.push(rows.iter().map(report::shown).collect());
        }
        tx.rollback().await?;
        Ok((found, crashing))
    }

    /// Stores the records; gives where each partition ends.
    async fn fill(&self, broker: &Broker) -> Result<BTreeMap<(String, i32), i64>, ClientError> {
        let client = Client::in_process(broker.sessions());
        let mut topics: BTreeMap<&str, i32> = BTreeMap::new();
        for record in &self.records {
            let count = record.partition.map_or(1, |it| it.saturating_add(1));
            let most = topics.entry(&record.topic).or_insert(1);
            *most = count.max(*most);
        }
        for (topic, partitions) in topics {
            let topic = NewTopic::named(topic).partitions(partitions);
            client.admin().create_topic(&topic).await?;
        }
        let producer = client.producer(ProducerConfig::new().linger_ms(0))?;
        let mut ends = BTreeMap::new();
        for record in &self.records {
            let stored = producer.send(record.clone()).await?.await?;
            let place = (record.topic.clone(), stored.partition);
            ends.insert(place, stored.offset + 1);
        }
        Ok(ends)
    }

    fn start<D: Database, T, A: AsyncFn(CrashRun<Crashing<D>>) -> T>(
        &self,
        broker: &Broker,
        database: &D,
        points: &Points,
        application: &A,
    ) -> impl Future<Output = T> {
        let (sessions, watched) = (broker.sessions(), points.clone());
        let client =
            Client::in_process(move || Arc::new(Watched::new(sessions(), watched.clone())));
        let mut topics: Vec<String> = self.records.iter().map(|it| it.topic.clone()).collect();
        topics.sort();
        topics.dedup();
        application(CrashRun {
            client,
            database: Crashing::new(database.clone(), points.clone()),
            topics,
            points: points.clone(),
        })
    }

    /// Whether the application came to its end; else it has crashed.
    async fn ended<T: Debug>(
        &self,
        run: impl Future<Output = T>,
        points: &Points,
        handled: &Handled,
        at: &str,
    ) -> Result<bool, CrashError> {
        let clock = SystemClock::new();
        let deadline = clock.now().mono.plus(self.limit);
        let watched = async {
            handled.wait(&clock).await?;
            points.finish();
            std::future::pending().await
        };
        let at = || at.to_owned();
        tokio::select! {
            biased;
            () = points.crashed() => Ok(false),
            failed = watched => failed,
            ended = run => match points.is_finished() {
                true => Ok(true),
                false => Err(CrashError::Ended { at: at(), how: format!("{ended:?}") }),
            },
            () = clock.sleep_until(deadline) => Err(CrashError::TooLong {
                at: at(),
                limit: self.limit,
                left: handled.left().await?,
            }),
        }
    }
}

/// Looks from outside whether everything is handled: committed by a group.
struct Handled {
    ends: BTreeMap<(String, i32), i64>,
    client: Client,
}

impl Handled {
    async fn wait(&self, clock: &SystemClock) -> Result<(), ClientError> {
        while !self.left().await?.is_empty() {
            clock.sleep_until(clock.now().mono.plus(LOOK_PAUSE)).await;
        }
        Ok(())
    }

    /// What is not committed yet.
    async fn left(&self) -> Result<String, ClientError> {
        let admin = self.client.admin();
        let mut left = self.ends.clone();
        for group in admin.list_groups().await? {
            for it in admin.group_offsets(&group.group, None).await? {
                let place = (it.topic, it.partition);
                left.retain(|at, end| *at != place || it.offset < *end);
            }
        }
        let left = left.iter();
        let left = left.map(|((topic, partition), end)| format!("{topic}-{partition} up to {end}"));
        Ok(left.collect::<Vec<_>>().join(", "))
    }
}

impl<D> CrashRun<D> {
    /// A client of the broker.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Handles the records as a group, with pauses that are good for a test.
    pub fn handling(&self) -> Handling {
        let config = ConsumerConfig::new().auto_commit_interval_ms(5);
        let handling = self.client.handler("crash-test").topics(&self.topics);
        let backoff = Backoff::fixed(Duration::from_millis(1));
        handling.consumer(config).retry(backoff)
    }

    /// Ends when everything is handled: when a group has committed all records.
    pub fn finished(&self) -> impl Future<Output = ()> + Send + use<D> {
        let points = self.points.clone();
        async move { points.finished().await }
    }
}

impl<D: Clone> CrashRun<D> {
    /// The database. Whoever goes round it does not crash there.
    #[must_use]
    pub fn database(&self) -> D {
        self.database.clone()
    }
}

const LOOK_PAUSE: Duration = Duration::from_millis(2);
