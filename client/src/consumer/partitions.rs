//! Partitions of a consumer: assigned by hand, moved, held back, and what is known of them.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - What needs the broker's word waits for it before anything changes: a call that is dropped has
//!   changed nothing.

use std::sync::Arc;

use super::fetcher::offsets_of;
use super::group::Group;
use super::{Consumer, StartAt};
use crate::admin::ListedOffset;
use crate::admin::OffsetSpec;
use crate::error::ClientError;
use crate::error::unknown_partition;

impl Consumer {
    /// Adds a partition, or moves it if it is assigned already. The place is looked up now: after
    /// `Latest`, a record that is stored later is read. May be dropped: then nothing is assigned.
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
        self.not_subscribed()?;
        self.start(topic, &[partition], from).await
    }

    async fn start(
        &mut self,
        topic: &str,
        partitions: &[i32],
        from: StartAt,
    ) -> Result<(), ClientError> {
        let count = self.count(topic).await?;
        if let Some(unknown) = partitions.iter().find(|it| !(0..count).contains(*it)) {
            self.topics.forget_topic(topic);
            return Err(unknown_partition(topic, *unknown));
        }
        let places: Vec<_> = partitions.iter().map(|it| (topic, *it)).collect();
        let offsets = offsets_of(&self.fetcher.admin, &places, from).await?;
        let topic: Arc<str> = Arc::from(topic);
        for (partition, offset) in partitions.iter().zip(offsets) {
            self.fetcher.assign(&topic, *partition, Some(offset));
        }
        Ok(())
    }

    /// Assigns every partition that the topic has now; gives their number. May be dropped: then
    /// nothing is assigned.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn assign_topic(&mut self, topic: &str, from: StartAt) -> Result<i32, ClientError> {
        self.not_subscribed()?;
        // Asked anew, because partitions may have been added.
        self.topics.forget_topic(topic);
        let count = self.count(topic).await?;
        let partitions: Vec<i32> = (0..count).collect();
        self.start(topic, &partitions, from).await?;
        Ok(count)
    }

    fn not_subscribed(&self) -> Result<(), ClientError> {
        if self.group.as_ref().is_some_and(Group::is_subscribed) {
            let why = "the consumer is subscribed: its group assigns the partitions";
            return Err(ClientError::Invalid(why.to_owned()));
        }
        self.config.check()
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

    /// Goes on at another place; also after an error that stopped the partition. May be dropped:
    /// then the partition stays where it is.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned.
    pub async fn seek(
        &mut self,
        topic: &str,
        partition: i32,
        to: StartAt,
    ) -> Result<(), ClientError> {
        if self.fetcher.get(topic, partition).is_none() {
            return Err(not_assigned(topic, partition));
        }
        self.start(topic, &[partition], to).await
    }

    /// The offset of the next record that [`Self::poll`] gives of a partition; nothing while it is
    /// looked up.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        self.fetcher.get(topic, partition)?.position()
    }

    /// Reads nothing of a partition until [`Self::resume`], and keeps it: `poll` goes on with the
    /// others, and the group is not left. It stays so through a rebalance as long as the partition
    /// stays with this consumer.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned.
    pub fn pause(&mut self, topic: &str, partition: i32) -> Result<(), ClientError> {
        self.set_paused(topic, partition, true)
    }

    /// Goes on with a partition that was paused.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned.
    pub fn resume(&mut self, topic: &str, partition: i32) -> Result<(), ClientError> {
        self.set_paused(topic, partition, false)
    }

    fn set_paused(
        &mut self,
        topic: &str,
        partition: i32,
        is_paused: bool,
    ) -> Result<(), ClientError> {
        let mut partitions = self.fetcher.partitions.iter_mut();
        let found = partitions
            .find(|it| *it.asked.topic == *topic && it.asked.partition == partition)
            .ok_or_else(|| not_assigned(topic, partition))?;
        found.is_paused = is_paused;
        Ok(())
    }

    /// The partitions that are paused.
    #[must_use]
    pub fn paused(&self) -> Vec<(Arc<str>, i32)> {
        let partitions = self.fetcher.partitions.iter();
        let paused = partitions.filter(|it| it.is_paused);
        paused.map(|it| it.place()).collect()
    }

    /// How far [`Self::poll`] is behind the end of a partition, in offsets: what the leader said
    /// with the last fetch. Nothing before the first one.
    #[must_use]
    pub fn lag(&self, topic: &str, partition: i32) -> Option<i64> {
        self.fetcher.get(topic, partition)?.lag()
    }

    /// The offset behind the newest record of each partition of a topic, by partition. May be
    /// dropped.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, ClientError> {
        self.all_offsets(topic, StartAt::Latest).await
    }

    /// The offset of the oldest record of each partition of a topic, by partition. May be dropped.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn beginning_offsets(&self, topic: &str) -> Result<Vec<i64>, ClientError> {
        self.all_offsets(topic, StartAt::Earliest).await
    }

    /// The first record of each of these partitions that is not older than a time, in milliseconds
    /// since 1970; in the order of the question. May be dropped.
    ///
    /// ```no_run
    /// # use highwater_client::{ClientError, Consumer};
    /// # async fn run(mut consumer: Consumer) -> Result<(), ClientError> {
    /// use highwater_client::StartAt;
    ///
    /// let noon = 1_785_585_600_000;
    /// for found in consumer.offsets_for_times(&[("flights", 0, noon)]).await? {
    ///     let place = found.offset.map_or(StartAt::Latest, StartAt::Offset);
    ///     consumer.seek(&found.topic, found.partition, place).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if one of them does not exist.
    pub async fn offsets_for_times(
        &self,
        asked: &[(&str, i32, i64)],
    ) -> Result<Vec<ListedOffset>, ClientError> {
        let asked = asked.iter().map(|(topic, partition, timestamp)| {
            let spec = OffsetSpec::Timestamp(*timestamp);
            (*topic, *partition, spec)
        });
        let asked: Vec<_> = asked.collect();
        self.fetcher.admin.offsets(&asked).await
    }

    async fn all_offsets(&self, topic: &str, at: StartAt) -> Result<Vec<i64>, ClientError> {
        let count = self.count(topic).await?;
        let places: Vec<_> = (0..count).map(|partition| (topic, partition)).collect();
        offsets_of(&self.fetcher.admin, &places, at).await
    }

    /// How many partitions a topic has.
    async fn count(&self, topic: &str) -> Result<i32, ClientError> {
        if !self.config.allow_auto_create_topics {
            // Nobody is asked to create it.
            self.topics.existing_leader(topic, 0).await?;
        }
        let count = self.topics.topic(topic).await?.leaders.len();
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }
}

fn not_assigned(topic: &str, partition: i32) -> ClientError {
    ClientError::Invalid(format!("{topic}-{partition} is not assigned"))
}
