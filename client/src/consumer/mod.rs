//! The consumer: partitions in, assigned by hand or by a group; records out.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - Each record of a partition is given once and in order, until `seek` says otherwise.
//! - Of each leader at most one answer is being handed out and one more is fetched ahead: all
//!   together twice `fetch.max.bytes`, or two of `max.partition.fetch.bytes` of each leader if that
//!   is more, and one decompressed batch.
//! - Nothing is lost when a `poll` is dropped: tasks do the waiting, `poll` only collects.
//! - Partitions are assigned by hand or by the group, never both.

mod assigned;
mod buffer;
mod fetch;
mod fetcher;
mod group;
mod partitions;
mod pushed;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use tracing::Instrument;

use crate::admin::CommittedOffset;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::ClientError;
use crate::record::ConsumerRecord;
use crate::trace::poll_span;
use fetcher::Fetcher;
use group::Group;

pub(crate) use fetcher::offsets_of;
pub use group::{GroupMetadata, RebalanceListener};
pub(crate) use pushed::Pushed;
pub use stream::Records;

/// Where to begin to read a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record.
    Earliest,
    /// Behind the newest record: only what comes from now on.
    Latest,
    /// At an offset.
    Offset(i64),
    /// At the first record that is not older, in milliseconds since 1970; at the end if none is.
    Timestamp(i64),
}

/// Reads records; made by [`crate::Client::consumer`].
///
/// As a member of a group, which shares the partitions among its members and keeps how far they
/// got:
///
/// ```no_run
/// use std::time::Duration;
/// use highwater_client::{Client, ConsumerConfig};
///
/// # async fn run(client: Client) -> Result<(), highwater_client::ClientError> {
/// let mut consumer = client.consumer(ConsumerConfig {
///     group_id: Some("billing".to_owned()),
///     ..ConsumerConfig::default()
/// });
/// consumer.subscribe(["flights"])?;
/// for _ in 0..100 {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{}-{}: {:?}", record.partition, record.offset, record.value);
///     }
/// }
/// consumer.close(Duration::from_secs(30)).await.result()
/// # }
/// ```
///
/// By itself, from where it is told:
///
/// ```no_run
/// use std::time::Duration;
/// use highwater_client::{Client, ConsumerConfig, StartAt};
///
/// # async fn run(client: Client) -> Result<(), highwater_client::ClientError> {
/// let mut consumer = client.consumer(ConsumerConfig::default());
/// consumer.assign("flights", 0, StartAt::Earliest).await?;
/// loop {
///     for record in consumer.poll(Duration::from_millis(500)).await? {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    topics: Arc<Cluster>,
    config: Arc<ConsumerConfig>,
    fetcher: Fetcher,
    group: Option<Group>,
    /// When a stream has to look beyond what is buffered.
    looks_at: Mono,
}

/// How a consumer was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "whether the last commit came through is for the caller to judge"]
pub struct Closed {
    /// What was committed on closing.
    pub committed: Vec<CommittedOffset>,
    /// How far records were handed out without a commit: the group hands those before again. All of
    /// what was not committed by hand, without `enable.auto.commit`.
    pub uncommitted: Vec<CommittedOffset>,
    /// What did not come through.
    pub error: Option<ClientError>,
}

impl Closed {
    /// What did not come through, as a result.
    ///
    /// # Errors
    /// Of the commit; `Unknown` if it took longer than it was allowed to.
    pub fn result(self) -> Result<(), ClientError> {
        self.error.map_or(Ok(()), Err)
    }
}

impl Consumer {
    pub(crate) fn new(cluster: &Arc<Cluster>, config: ConsumerConfig) -> Self {
        let config = Arc::new(config);
        Self {
            topics: Arc::clone(cluster),
            fetcher: Fetcher::new(cluster, Arc::clone(&config)),
            group: Group::new(cluster, &config),
            config,
            looks_at: Mono(0),
        }
    }

    /// Reads these topics as a member of the group `group.id`: from now on `poll` joins, takes
    /// partitions over and gives them back. Called again, it replaces the topics.
    ///
    /// A partition starts where the group has got to, else where `auto.offset.reset` says. With
    /// `cooperative-sticky` as the only strategy, partitions that stay with this consumer are read
    /// through a rebalance; else all are given back and dealt out anew.
    ///
    /// # Errors
    /// `Invalid` without `group.id` or topics, if settings contradict each other, or if partitions
    /// were assigned by hand.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn subscribe<T: Into<String>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ClientError> {
        let topics: Vec<String> = topics.into_iter().map(T::into).collect();
        if topics.is_empty() {
            let why = "subscribe to at least one topic, or unsubscribe";
            return Err(ClientError::Invalid(why.to_owned()));
        }
        self.subscribable()?.subscribe(topics);
        Ok(())
    }

    /// Reads the topics whose whole names match a pattern, as [`Self::subscribe`]; which they are
    /// is looked up now and every `metadata.max.age.ms`. Topics in which the broker keeps its own
    /// state are left out with `exclude.internal.topics`.
    ///
    /// The pattern is a regular expression, without look-around and back references.
    ///
    /// ```no_run
    /// # use highwater_client::{ClientError, Consumer};
    /// # async fn run(mut consumer: Consumer) -> Result<(), ClientError> {
    /// consumer.subscribe_pattern("orders\\..*")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::subscribe`]; `Invalid` if it is no pattern.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), ClientError> {
        self.subscribable()?.subscribe_pattern(pattern)
    }

    /// The group, if topics can be subscribed to.
    fn subscribable(&mut self) -> Result<&mut Group, ClientError> {
        self.config.group()?;
        let has_partitions = !self.fetcher.partitions.is_empty();
        match &mut self.group {
            Some(group) if group.is_subscribed() || !has_partitions => Ok(group),
            _ => {
                let why = "partitions were assigned by hand: unassign them before subscribing";
                Err(ClientError::Invalid(why.to_owned()))
            }
        }
    }

    /// The topics that are subscribed to; with a pattern, those that it matches as far as it is
    /// known.
    #[must_use]
    pub fn subscription(&self) -> &[String] {
        self.group.as_ref().map_or(&[], Group::subscription)
    }

    /// Who hears of partitions that come and go by the group; replaces the one before.
    ///
    /// # Errors
    /// `Invalid` without `group.id`.
    pub fn on_rebalance(&mut self, listener: impl RebalanceListener) -> Result<(), ClientError> {
        self.config.group()?;
        if let Some(group) = &mut self.group {
            group.listen(Box::new(listener));
        }
        Ok(())
    }

    /// Gives all partitions back and leaves the group: what was handed out is committed before,
    /// with `enable.auto.commit`, and what the rebalance listener says. Partitions are let go even
    /// if the commit fails; those that were assigned by hand, too.
    ///
    /// May be dropped and called again: what is under way goes on.
    ///
    /// # Errors
    /// Of the commit.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        let Some(group) = &mut self.group else {
            self.fetcher.partitions.clear();
            return Ok(());
        };
        let given_up = group.give_up(&mut self.fetcher).await;
        group.leave().await;
        given_up
    }

    /// Closes in good order, within a time limit: as [`Self::unsubscribe`], so that the other
    /// members need not wait for the session to end. A consumer that is dropped instead leaves
    /// without a commit, and so does this call when it is dropped.
    pub async fn close(mut self, timeout: Duration) -> Closed {
        let mut closed = Closed::default();
        if let Some(group) = &mut self.group {
            closed.uncommitted = Group::not_committed(&self.fetcher);
            group.report();
        }
        let cluster = Arc::clone(&self.topics);
        closed.error = match cluster.within(timeout, self.unsubscribe()).await {
            Some(result) => result.err(),
            None => Some(ClientError::Unknown(format!(
                "closing the consumer took longer than {} ms: its last commit may be missing, and \
                 the group may wait for the end of its session",
                timeout.as_millis()
            ))),
        };
        closed.committed = self.group.as_mut().map(Group::reported).unwrap_or_default();
        let is_open = |it: &CommittedOffset| {
            let is_it = |done: &CommittedOffset| {
                (&done.topic, done.partition) == (&it.topic, it.partition)
                    && done.offset >= it.offset
            };
            !closed.committed.iter().any(is_it)
        };
        closed.uncommitted.retain(is_open);
        closed
    }

    /// Commits the positions behind everything that `poll` has handed out, and waits for the
    /// answer. May be dropped: then the commit still takes place, sooner or later.
    ///
    /// # Errors
    /// `Invalid` without `group.id`. `Broker` with `REBALANCE_IN_PROGRESS`, `ILLEGAL_GENERATION` or
    /// `UNKNOWN_MEMBER_ID` if the group has gone on without this member: its partitions may be
    /// handed out again to another one.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.config.group()?;
        match &mut self.group {
            Some(group) => group.commit_now(&mut self.fetcher).await,
            None => Ok(()),
        }
    }

    /// Commits these offsets, each that of the next record to read, and waits for the answer. For
    /// work that is not done in the order of the records, or with `enable.auto.commit` off.
    ///
    /// May be dropped: then the commit still takes place, sooner or later.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_offsets(&mut self, offsets: &[CommittedOffset]) -> Result<(), ClientError> {
        self.config.group()?;
        match &mut self.group {
            Some(group) => group.commit_offsets(offsets, &mut self.fetcher).await,
            None => Ok(()),
        }
    }

    /// What the group has committed of these partitions; those without an offset are left out.
    /// Asked anew with each call; may be dropped.
    ///
    /// # Errors
    /// `Invalid` without `group.id`; when the coordinator refuses, or cannot be reached for
    /// `default.api.timeout.ms`.
    pub async fn committed(
        &self,
        partitions: &[(&str, i32)],
    ) -> Result<Vec<CommittedOffset>, ClientError> {
        let group = self.config.group()?;
        self.fetcher
            .admin
            .group_offsets(group, Some(partitions))
            .await
    }

    /// Which member of which generation this is; nothing while it is none.
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.group.as_ref()?.metadata()
    }

    /// Waits for records, and gives up to `max.poll.records` of them, of all partitions by turns.
    /// Empty if none came in time. A broker that cannot be reached is no error: it is tried again.
    ///
    /// With a call, what earlier calls have handed out counts as done: with `enable.auto.commit`
    /// it is committed every `auto.commit.interval.ms`, and before partitions go to another member
    /// of the group.
    ///
    /// # Errors
    /// What stopped a partition, such as `Corrupt` or, without `auto.offset.reset`, a `Broker`
    /// error `OFFSET_OUT_OF_RANGE`. It is told once; the partition stays where it is until
    /// [`Self::seek`], and the others go on. Why the consumer cannot be a member of its group, each
    /// time until it subscribes to something else. May be dropped and called again without a loss.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let span = poll_span(self.config.group_id.as_deref());
        let deadline = self.fetcher.now().plus(timeout);
        let collect = |fetcher: &mut Fetcher| {
            let records = fetcher.collect();
            (!records.is_empty()).then_some(records)
        };
        let polled = self.wait_for(deadline, collect).instrument(span.clone());
        let records = polled.await?.unwrap_or_default();
        span.record("messaging.batch.message_count", records.len());
        Ok(records)
    }

    /// Looks after everything until there is something to collect, or until a moment.
    async fn wait_for<T>(
        &mut self,
        deadline: Mono,
        collect: impl Fn(&mut Fetcher) -> Option<T>,
    ) -> Result<Option<T>, ClientError> {
        let mut polling = None;
        loop {
            self.fetcher.take_in();
            let mut later = deadline;
            if let Some(group) = &mut self.group {
                polling = polling.or_else(|| group.polling());
                polling.iter().for_each(group::Polling::touch);
                group.take_in(&mut self.fetcher);
                group.tend(&mut self.fetcher)?;
                let now = self.fetcher.now();
                let touch = now.plus(group.touch_interval());
                later = later.min(group.commit_if_due(&self.fetcher)).min(touch);
                later = later.min(group.look_if_due(now));
            }
            let later = self.fetcher.ask().map_or(later, |at| at.min(later));
            if let Some(collected) = collect(&mut self.fetcher) {
                return Ok(Some(collected));
            }
            if let Some(error) = self.fetcher.error() {
                return Err(error);
            }
            if self.fetcher.has_answers() {
                // What was handed out was of no use, so the next answer can be taken.
                continue;
            }
            if self.fetcher.now() >= deadline {
                return Ok(None);
            }
            self.wait_until(later).await;
        }
    }

    /// Waits for something to happen.
    async fn wait_until(&mut self, at: Mono) {
        let sleep = self.fetcher.sleep_until(at);
        let group = async {
            match &mut self.group {
                Some(group) => group.changed().await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            biased;
            Some(event) = self.fetcher.tasks.join_next() => {
                self.fetcher.handle(event);
                None
            }
            done = group => done,
            () = sleep => None,
        };
        if let (Some(done), Some(group)) = (done, &mut self.group) {
            group.handle(done, &mut self.fetcher);
        }
    }
}
