//! The consumer: partitions in, assigned by hand or by a group; records out.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - Each record of a partition is given once and in order, until `seek` says otherwise.
//! - Of each leader at most one answer is being handed out and one more is fetched ahead: twice
//!   `fetch.max.bytes`, and one decompressed batch.
//! - Nothing is lost when a `poll` is dropped: tasks do the waiting, `poll` only collects.
//! - Partitions are assigned by hand or by the group, never both.

mod assigned;
mod buffer;
mod fetch;
mod fetcher;
mod group;

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;

use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::ClientError;
use crate::error::unknown_partition;
use crate::record::ConsumerRecord;
use fetcher::Fetcher;
use fetcher::offset_of;
use group::Group;

pub use group::GroupMetadata;

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
/// consumer.close().await
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
}

impl Consumer {
    pub(crate) fn new(cluster: &Arc<Cluster>, config: ConsumerConfig) -> Self {
        let config = Arc::new(config);
        Self {
            topics: Arc::clone(cluster),
            fetcher: Fetcher::new(cluster, Arc::clone(&config)),
            group: Group::new(cluster, &config),
            config,
        }
    }

    /// Reads these topics as a member of the group `group.id`: from now on `poll` joins, takes
    /// partitions over and gives them back. Called again, it replaces the topics.
    ///
    /// A partition starts where the group has got to, else where `auto.offset.reset` says.
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
        self.config.group()?;
        let topics: Vec<String> = topics.into_iter().map(T::into).collect();
        let is_member = self.group.as_ref().is_some_and(Group::is_subscribed);
        let why = if topics.is_empty() {
            "subscribe to at least one topic, or unsubscribe"
        } else if !is_member && !self.fetcher.partitions.is_empty() {
            "partitions were assigned by hand: unassign them before subscribing"
        } else {
            return match &mut self.group {
                Some(group) => group.subscribe(topics),
                None => Ok(()),
            };
        };
        Err(ClientError::Invalid(why.to_owned()))
    }

    /// The topics that are subscribed to.
    #[must_use]
    pub fn subscription(&self) -> &[String] {
        self.group.as_ref().map_or(&[], Group::subscription)
    }

    /// Commits what was handed out, with `enable.auto.commit`, and leaves the group. Partitions are
    /// let go even if the commit fails.
    ///
    /// # Errors
    /// Of the commit.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        let Some(group) = &mut self.group else {
            return Ok(());
        };
        let committed = match self.config.enable_auto_commit {
            true => group.commit_now(&mut self.fetcher).await,
            false => Ok(()),
        };
        if group.is_subscribed() {
            self.fetcher.partitions.clear();
            group.leave().await;
        }
        committed
    }

    /// Commits what was handed out, with `enable.auto.commit`, and leaves the group, so that the
    /// other members need not wait for the session to end. A consumer that is dropped instead
    /// leaves without a commit.
    ///
    /// # Errors
    /// Of the commit.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.unsubscribe().await
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

    /// Which member of which generation this is; nothing while it is none.
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.group.as_ref()?.metadata()
    }

    /// Adds a partition, or moves it if it is assigned already. The place is looked up now: after
    /// `Latest`, a record that is stored later is read.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is no such partition; `Invalid` if the
    /// consumer is subscribed.
    pub async fn assign(
        &mut self,
        topic: &str,
        partition: i32,
        from: StartAt,
    ) -> Result<(), ClientError> {
        if self.group.as_ref().is_some_and(Group::is_subscribed) {
            let why = "the consumer is subscribed: its group assigns the partitions";
            return Err(ClientError::Invalid(why.to_owned()));
        }
        self.start(topic, partition, from).await
    }

    async fn start(
        &mut self,
        topic: &str,
        partition: i32,
        from: StartAt,
    ) -> Result<(), ClientError> {
        let known = self.topics.topic(topic).await?.leaders.len();
        if usize::try_from(partition).map_or(true, |index| index >= known) {
            self.topics.forget_topic(topic);
            return Err(unknown_partition(topic, partition));
        }
        let offset = offset_of(&self.fetcher.admin, topic, partition, from).await?;
        let topic: Arc<str> = Arc::from(topic);
        self.fetcher.assign(&topic, partition, Some(offset));
        Ok(())
    }

    /// Assigns every partition that the topic has now; gives their number.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn assign_topic(&mut self, topic: &str, from: StartAt) -> Result<i32, ClientError> {
        // Asked anew, because partitions may have been added.
        self.topics.forget_topic(topic);
        let count = self.topics.topic(topic).await?.leaders.len();
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        for partition in 0..count {
            self.assign(topic, partition, from).await?;
        }
        Ok(count)
    }

    /// Reads a partition no more; what was fetched of it is dropped. One that the group assigned
    /// comes back with the next generation.
    pub fn unassign(&mut self, topic: &str, partition: i32) {
        self.fetcher
            .partitions
            .retain(|it| *it.asked.topic != *topic || it.asked.partition != partition);
    }

    /// The partitions that are read.
    #[must_use]
    pub fn assignment(&self) -> Vec<(Arc<str>, i32)> {
        let partitions = self.fetcher.partitions.iter();
        partitions
            .map(|it| (Arc::clone(&it.asked.topic), it.asked.partition))
            .collect()
    }

    /// Goes on at another place; also after an error that stopped the partition.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned.
    pub async fn seek(
        &mut self,
        topic: &str,
        partition: i32,
        to: StartAt,
    ) -> Result<(), ClientError> {
        if self.fetcher.index(topic, partition).is_none() {
            return Err(ClientError::Invalid(format!(
                "{topic}-{partition} is not assigned"
            )));
        }
        self.start(topic, partition, to).await
    }

    /// The offset of the next record that [`Self::poll`] gives of a partition; nothing while it is
    /// looked up.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let index = self.fetcher.index(topic, partition)?;
        self.fetcher.partitions.get(index)?.position()
    }

    /// The offset behind the newest record of each partition of a topic, by partition.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, ClientError> {
        let count = self.topics.topic(topic).await?.leaders.len();
        let mut ends = Vec::with_capacity(count);
        for partition in 0..i32::try_from(count).unwrap_or(i32::MAX) {
            let admin = &self.fetcher.admin;
            ends.push(offset_of(admin, topic, partition, StartAt::Latest).await?);
        }
        Ok(ends)
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
        let deadline = self.fetcher.now().plus(timeout);
        let polling = self.group.as_ref().and_then(Group::polling);
        loop {
            self.fetcher.take_in();
            let mut later = deadline;
            if let Some(group) = &mut self.group {
                polling.iter().for_each(group::Polling::touch);
                group.take_in(&mut self.fetcher);
                group.tend(&mut self.fetcher)?;
                let touch = self.fetcher.now().plus(group.touch_interval());
                later = later.min(group.commit_if_due(&self.fetcher)).min(touch);
            }
            let later = self.fetcher.ask().map_or(later, |at| at.min(later));
            let records = self.fetcher.collect();
            if !records.is_empty() {
                return Ok(records);
            }
            if let Some(error) = self.fetcher.error() {
                return Err(error);
            }
            if self.fetcher.has_answers() {
                // What was handed out was of no use, so the next answer can be taken.
                continue;
            }
            if self.fetcher.now() >= deadline {
                return Ok(records);
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
