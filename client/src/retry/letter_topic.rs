//! A topic of dead letters: which there are, and what is in them.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A reading ends where the topic ended when it began: what comes meanwhile is not looked at.
//! - Nothing is created or deleted, and no group's offsets are touched.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::letter::DeadLetter;
use crate::admin::Admin;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::consumer::{Consumer, StartAt};
use crate::error::ClientError;
use crate::record::ConsumerRecord;

/// Which dead letters are meant: those that meet every condition.
///
/// ```
/// use highwater_client::LetterFilter;
///
/// let filter = LetterFilter::all().key("o-42").class("retry").since(1_785_585_600_000);
/// # let _ = filter;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct LetterFilter {
    key: Option<Bytes>,
    class: Option<String>,
    error: Option<String>,
    group: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    place: Option<(i32, i64)>,
    behind: Option<(i32, i64)>,
}

impl LetterFilter {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of a key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Those of a class: `retry`, `dead`, `invalid` or `panic`. Letters that are not ours have
    /// none.
    pub fn class(mut self, class: impl Into<String>) -> Self {
        self.class = Some(class.into());
        self
    }

    /// Those of an error's type, as [`DeadLetter::error`] has it.
    pub fn error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Those that this group could not handle.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Those that were stored then or later, in milliseconds since 1970.
    pub const fn since(mut self, ms: i64) -> Self {
        self.since = Some(ms);
        self
    }

    /// Those that were stored before, in milliseconds since 1970.
    pub const fn until(mut self, ms: i64) -> Self {
        self.until = Some(ms);
        self
    }

    /// The one at an offset of a partition of the topic of dead letters.
    pub const fn at(mut self, partition: i32, offset: i64) -> Self {
        self.place = Some((partition, offset));
        self
    }

    /// Those that come after the one at this place, by partition and offset: to go on where a run
    /// ended.
    pub const fn behind(mut self, partition: i32, offset: i64) -> Self {
        self.behind = Some((partition, offset));
        self
    }

    pub(super) fn takes(&self, record: &ConsumerRecord, letter: &DeadLetter) -> bool {
        let place = (record.partition, record.offset);
        self.key
            .as_ref()
            .is_none_or(|key| letter.key.as_ref() == Some(key))
            && (self.class.is_none() || letter.class == self.class)
            && (self.group.is_none() || letter.group == self.group)
            && self.error.as_ref().is_none_or(|it| letter.error == *it)
            && self.since.is_none_or(|since| record.timestamp >= since)
            && self.until.is_none_or(|until| record.timestamp < until)
            && self.place.is_none_or(|it| it == place)
            && self.behind.is_none_or(|it| place > it)
    }
}

/// A dead letter, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// The partition of the topic of dead letters.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// When it was stored, in milliseconds since 1970.
    pub stored_at: i64,
    /// The letter.
    pub letter: DeadLetter,
}

/// Dead letters of a topic, by partition and offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// Those that were asked for.
    pub letters: Vec<StoredLetter>,
    /// Records that are no dead letters that can be read: partition, offset and why. Told only
    /// of what was looked at.
    pub unreadable: Vec<(i32, i64, String)>,
    /// Whether there are more than the limit.
    pub has_more: bool,
}

/// A topic of dead letters; made by [`Client::dead_letters`](crate::Client::dead_letters).
///
/// ```no_run
/// use highwater_client::{Client, ClientError, LetterFilter};
///
/// # async fn run(client: Client) -> Result<(), ClientError> {
/// let letters = client.dead_letters("order-events-dlt");
/// for it in letters.list(&LetterFilter::all(), 100).await?.letters {
///     println!("{}@{}: {}", it.partition, it.offset, it.letter.message);
/// }
/// let plan = letters.redrive(LetterFilter::all().key("o-42")).dry_run().run().await;
/// println!("{} letters", plan.audit.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LetterTopic {
    pub(super) cluster: Arc<Cluster>,
    topic: String,
}

impl LetterTopic {
    pub(crate) fn new(cluster: &Arc<Cluster>, topic: String) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            topic,
        }
    }

    /// The first letters that a filter takes, by partition and offset.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is no such topic; what stopped the
    /// reading.
    pub async fn list(&self, filter: &LetterFilter, limit: usize) -> Result<Letters, ClientError> {
        let mut found = Letters::default();
        let mut reading = Reading::start(self).await?;
        while let Some(record) = reading.next().await? {
            match DeadLetter::read(&record) {
                Ok(letter) if !filter.takes(&record, &letter) => {}
                Ok(_) if found.letters.len() == limit => {
                    found.has_more = true;
                    return Ok(found);
                }
                Ok(letter) => found.letters.push(stored(&record, letter)),
                Err(why) if found.unreadable.len() < limit => {
                    let place = (record.partition, record.offset);
                    found.unreadable.push((place.0, place.1, why.to_string()));
                }
                Err(_) => found.has_more = true,
            }
        }
        Ok(found)
    }

    /// The letter at an offset; nothing if there is none.
    ///
    /// # Errors
    /// As [`Self::list`]; `Undecodable` if the record there is no dead letter.
    pub async fn show(
        &self,
        partition: i32,
        offset: i64,
    ) -> Result<Option<StoredLetter>, ClientError> {
        let mut reading = Reading::start_at(self, partition, offset).await?;
        match reading.next().await? {
            Some(record) if record.offset == offset => {
                let letter = DeadLetter::read(&record)?;
                Ok(Some(stored(&record, letter)))
            }
            _ => Ok(None),
        }
    }
}

fn stored(record: &ConsumerRecord, letter: DeadLetter) -> StoredLetter {
    StoredLetter {
        partition: record.partition,
        offset: record.offset,
        stored_at: record.timestamp,
        letter,
    }
}

/// A way through a topic, partition by partition, up to where it ends now.
pub(super) struct Reading {
    consumer: Consumer,
    topic: String,
    /// Partitions that are left, the next one last: where they start and end.
    left: Vec<(i32, i64, i64)>,
    /// The partition at hand, and where it ends.
    current: Option<(i32, i64)>,
    records: std::vec::IntoIter<ConsumerRecord>,
}

impl Reading {
    pub(super) async fn start(letters: &LetterTopic) -> Result<Self, ClientError> {
        let consumer = consumer(letters).await?;
        let starts = consumer.beginning_offsets(&letters.topic).await?;
        let ends = consumer.end_offsets(&letters.topic).await?;
        let places = (0..).zip(starts.into_iter().zip(ends));
        let mut left: Vec<_> = places.map(|(it, (start, end))| (it, start, end)).collect();
        left.reverse();
        Ok(Self::over(consumer, letters, left))
    }

    /// From an offset of one partition on.
    async fn start_at(
        letters: &LetterTopic,
        partition: i32,
        offset: i64,
    ) -> Result<Self, ClientError> {
        let consumer = consumer(letters).await?;
        let at = usize::try_from(partition).ok();
        let starts = consumer.beginning_offsets(&letters.topic).await?;
        let ends = consumer.end_offsets(&letters.topic).await?;
        let bounds = at.and_then(|at| Some((*starts.get(at)?, *ends.get(at)?)));
        let is_there = bounds.filter(|(start, end)| (*start..*end).contains(&offset));
        let left = is_there.map(|(_, end)| (partition, offset, end));
        Ok(Self::over(consumer, letters, left.into_iter().collect()))
    }

    fn over(consumer: Consumer, letters: &LetterTopic, left: Vec<(i32, i64, i64)>) -> Self {
        Self {
            consumer,
            topic: letters.topic.clone(),
            left,
            current: None,
            records: Vec::new().into_iter(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<ConsumerRecord>, ClientError> {
        loop {
            let Some((partition, end)) = self.current else {
                let Some((partition, start, end)) = self.left.pop() else {
                    return Ok(None);
                };
                let at = StartAt::Offset(start);
                self.consumer.assign(&self.topic, partition, at).await?;
                self.current = Some((partition, end));
                continue;
            };
            if let Some(record) = self.records.next() {
                if record.offset < end {
                    return Ok(Some(record));
                }
            } else if self.is_at(partition, end) {
                self.consumer.unassign(&self.topic, partition);
                self.current = None;
            } else {
                self.fetch(partition, end).await?;
            }
        }
    }

    fn is_at(&self, partition: i32, end: i64) -> bool {
        self.consumer
            .position(&self.topic, partition)
            .is_some_and(|it| it >= end)
    }

    async fn fetch(&mut self, partition: i32, end: i64) -> Result<(), ClientError> {
        let records = self.consumer.poll(POLL_MAX).await?;
        if records.is_empty() && !self.is_at(partition, end) {
            return Err(ClientError::NotSent(format!(
                "{}-{partition} gave nothing for {} s before its end at {end}: try again when its \
                 broker is there",
                self.topic,
                POLL_MAX.as_secs()
            )));
        }
        self.records = records.into_iter();
        Ok(())
    }
}

async fn consumer(letters: &LetterTopic) -> Result<Consumer, ClientError> {
    // Looking must not create the topic.
    Admin::new(Arc::clone(&letters.cluster))
        .describe_topic(&letters.topic)
        .await?;
    let config = ConsumerConfig::new().allow_auto_create_topics(false);
    Ok(Consumer::new(&letters.cluster, config))
}

/// How long a broker may take to give what it has.
const POLL_MAX: Duration = Duration::from_secs(30);
