//! Views of events in a database: what they show and how far they are is one transaction.
//!
//! Floor 8 of client: a handling in transactions, with what a view needs.
//!
//! Invariants
//! - A view shows each record once, and all below its position: both are committed together.
//! - It stops at a record that it cannot show, and shows that it lags.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::Client;
use crate::admin::{Admin, OffsetSpec};
use crate::backoff::Backoff as Pauses;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::consumer::{Consumer, StartAt};
use crate::error::ClientError;
use crate::events::Token;
use crate::inbox::{Inbox, TxHandler};
use crate::retry::{Backoff, DeadLetters, HandlerMetrics, HandlerSummary, Handling, Order};
use crate::sql::Database;

/// Keeps a view up to date; made by [`Client::projection`].
///
/// A view has a name with its version, such as `orders_v1`: it is the group under which its
/// position is kept. To build it anew, run `orders_v2` beside it, from the first event on, into
/// tables of its own; when [`View::wait_for`] its [`View::end`] is over, readers go over to it.
///
/// ```no_run
/// use std::time::Duration;
/// use highwater_client::events::Appended;
/// use highwater_client::inbox::{Inbox, TxHandler};
/// use highwater_client::sql::Database;
/// use highwater_client::{Client, ClientError, HandlerSummary, ViewError};
///
/// async fn keep<D: Database>(
///     client: &Client,
///     database: D,
///     orders: impl TxHandler<D::Tx>,
///     shutdown: impl Future<Output = ()>,
/// ) -> HandlerSummary {
///     let projection = client.projection("orders_v1", database).topics(["order-events"]);
///     projection.run(orders, shutdown).await
/// }
///
/// /// Ends when the view shows what was just appended.
/// async fn read_own<D: Database>(
///     client: &Client,
///     database: D,
///     appended: Appended,
/// ) -> Result<(), ViewError> {
///     let view = client.projection("orders_v1", database).topics(["order-events"]).view();
///     view.wait_for(&appended.token(), Duration::from_millis(500)).await
/// }
/// ```
#[derive(Debug)]
#[must_use = "nothing is shown before `run`"]
pub struct Projection<D> {
    handling: Handling,
    view: View<D>,
    batch: usize,
}

impl Client {
    /// Keeps a view of that name up to date in a database. The tables of the inbox have to be
    /// there: [`Inbox::migrate`].
    pub fn projection<D: Database>(&self, view: impl Into<String>, database: D) -> Projection<D> {
        let name = view.into();
        let handling = self.handler(name.clone());
        Projection {
            handling: handling
                .order(Order::Partition)
                .dead_letters(DeadLetters::stop()),
            view: View {
                cluster: Arc::clone(&self.cluster),
                database,
                // The position tells what it has: an event that stands twice is there twice.
                inbox: Inbox::new().without_ids(),
                name,
                topics: Vec::new(),
            },
            batch: BATCH,
        }
    }
}

impl<D: Database> Projection<D> {
    /// The topics of its events.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.view.topics = topics.into_iter().map(T::into).collect();
        self.handling = self.handling.topics(self.view.topics.clone());
        self
    }

    /// How often a record is tried before the view stops at it; [`Backoff::default`] if it is not
    /// said.
    pub fn retry(mut self, backoff: Backoff) -> Self {
        self.handling = self.handling.retry(backoff);
        self
    }

    /// Up to how many records are shown in one transaction; 100 if it is not said. Few make a
    /// rebuild slower, and leave more of the database to others.
    pub const fn batch(mut self, records: usize) -> Self {
        self.batch = records;
        self
    }

    /// The name of the tables with the positions, as [`Inbox::table`].
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.view.inbox = self.view.inbox.table(name);
        self
    }

    /// The view, to ask how far it is.
    #[must_use]
    pub fn view(&self) -> View<D> {
        self.view.clone()
    }

    /// What it does while it runs, to be asked from elsewhere.
    #[must_use]
    pub fn metrics(&self) -> HandlerMetrics {
        self.handling.metrics()
    }

    /// Follows the events until `shutdown` is over. A record that cannot be shown stops its
    /// partition: it is in the summary's `halted`, and [`View::lag`] grows.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run(
        self,
        handler: impl TxHandler<D::Tx>,
        shutdown: impl Future<Output = ()>,
    ) -> HandlerSummary {
        let View {
            database, inbox, ..
        } = self.view;
        let handling = self.handling.transactional(database, inbox);
        handling.batch(self.batch).run(handler, shutdown).await
    }
}

/// How far a view is; made by [`Projection::view`], wherever its database can be reached.
#[derive(Clone, Debug)]
pub struct View<D> {
    cluster: Arc<Cluster>,
    database: D,
    inbox: Inbox,
    name: String,
    topics: Vec<String>,
}

/// A view could not be asked, or is not there yet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ViewError {
    /// It does not show yet what was asked for.
    #[error(
        "the view {view} was to show {topic}-{partition}@{offset}, and is at {position} after \
         {waited_ms} ms: look whether it runs, and at what it has stopped"
    )]
    Behind {
        /// The view.
        view: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that it does not show.
        offset: i64,
        /// The first offset that it has not shown.
        position: i64,
        /// How long that was waited for.
        waited_ms: u64,
    },
    /// What keeps the broker or the database from answering.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl<D: Database> View<D> {
    /// Waits until it shows what a token asks for: what was appended, what was loaded, or
    /// [`Self::end`].
    ///
    /// # Errors
    /// `Behind` if it does not show it in time.
    pub async fn wait_for(&self, token: &Token, timeout: Duration) -> Result<(), ViewError> {
        let clock = self.cluster.clock();
        let end = clock.now().mono.plus(timeout);
        let mut pauses = Pauses::new(PAUSE, PAUSE_MAX);
        let mut commits = self.database.commits();
        loop {
            // What is committed from here on is heard of.
            let Some((topic, partition, offset, position)) = self.missing(token).await? else {
                return Ok(());
            };
            let now = clock.now().mono;
            if now >= end {
                return Err(ViewError::Behind {
                    view: self.name.clone(),
                    topic: topic.to_owned(),
                    partition,
                    offset,
                    position,
                    waited_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
                });
            }
            let again = clock.sleep_until(now.plus(pauses.next_pause()).min(end));
            tokio::select! {
                () = commits.next() => {}
                () = again => {}
            }
        }
    }

    /// What it has to show to be as new as the log is now.
    ///
    /// # Errors
    /// What keeps the broker from answering; a topic that is not there.
    pub async fn end(&self) -> Result<Token, ClientError> {
        let mut token = Token::default();
        for (topic, partition, start, end) in self.logs().await? {
            if start < end {
                token.merge(&Token::new(&topic, partition, end - 1));
            }
        }
        Ok(token)
    }

    /// How many records of the log it does not show yet: `projection_lag`.
    ///
    /// # Errors
    /// As [`Self::end`], and what keeps the database from answering.
    pub async fn lag(&self) -> Result<u64, ClientError> {
        let mut lag = 0_u64;
        for (topic, partition, start, end) in self.logs().await? {
            let position = self.position(&topic, partition).await?.unwrap_or(start);
            let behind = end.saturating_sub(position.max(start));
            lag = lag.saturating_add(u64::try_from(behind).unwrap_or(0));
        }
        Ok(lag)
    }

    /// How long the oldest record that it does not show has been in the log; nothing, if it shows
    /// all of them: `projection_lag_seconds`. It goes by the times of the records.
    ///
    /// # Errors
    /// As [`Self::lag`].
    pub async fn lag_time(&self) -> Result<Duration, ClientError> {
        let limit = self.cluster.limits().request;
        let mut oldest: Option<i64> = None;
        for (topic, partition, start, end) in self.logs().await? {
            let position = self.position(&topic, partition).await?;
            let position = position.unwrap_or(start).max(start);
            if position >= end {
                continue;
            }
            let mut consumer = Consumer::new(&self.cluster, ConsumerConfig::default());
            let from = StartAt::Offset(position);
            consumer.assign(&topic, partition, from).await?;
            if let Some(record) = consumer.next_within(limit).await? {
                oldest = Some(oldest.unwrap_or(i64::MAX).min(record.timestamp));
            }
        }
        let now = self.cluster.clock().wall().0;
        let lag_ms = oldest.map_or(0, |it| now.saturating_sub(it));
        Ok(Duration::from_millis(u64::try_from(lag_ms).unwrap_or(0)))
    }

    /// The first offset of a partition that it has not shown; `None` if it has shown none.
    ///
    /// # Errors
    /// What keeps the database from answering.
    pub async fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>, ClientError> {
        let (database, view) = (&self.database, &self.name);
        self.inbox.position(database, view, topic, partition).await
    }

    /// What a token asks for first that is not shown, and how far its partition is.
    async fn missing<'t>(
        &self,
        token: &'t Token,
    ) -> Result<Option<(&'t str, i32, i64, i64)>, ClientError> {
        for (topic, partition, offset) in token.offsets() {
            let position = self.position(topic, partition).await?.unwrap_or(0);
            if position <= offset {
                return Ok(Some((topic, partition, offset, position)));
            }
        }
        Ok(None)
    }

    /// Its partitions with the offsets of the first record and behind the last.
    async fn logs(&self) -> Result<Vec<(String, i32, i64, i64)>, ClientError> {
        let admin = Admin::new(Arc::clone(&self.cluster));
        let mut logs = Vec::new();
        for topic in &self.topics {
            let partitions = admin.describe_topic(topic).await?.partitions;
            let of = |spec| move |partition| (topic.as_str(), partition, spec);
            let starts: Vec<_> = (0..partitions).map(of(OffsetSpec::Earliest)).collect();
            let ends: Vec<_> = (0..partitions).map(of(OffsetSpec::Latest)).collect();
            let starts = admin.offsets(&starts).await?;
            for (start, end) in starts.into_iter().zip(admin.offsets(&ends).await?) {
                let (from, to) = (start.offset.unwrap_or(0), end.offset.unwrap_or(0));
                logs.push((topic.clone(), start.partition, from, to));
            }
        }
        Ok(logs)
    }
}

/// What is shown in one transaction.
const BATCH: usize = 100;

/// How often the database is asked if it does not tell of commits.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);
