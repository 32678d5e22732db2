//! A topic of dead letters: listed, shown, and sent back to where they came from.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A reading ends where the topic ended when it began: what comes meanwhile is not looked at, so
//!   that a letter that fails again is not sent back in the same run.
//! - Letters of one partition are sent back in the order of their offsets, each stored before the
//!   next one is sent; the first that cannot be stored ends the run.
//! - Nothing is deleted, and no group's offsets are touched.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;

use super::letter::{DeadLetter, REDRIVES};
use crate::admin::Admin;
use crate::cluster::Cluster;
use crate::config::{ConsumerConfig, ProducerConfig};
use crate::consumer::{Consumer, StartAt};
use crate::error::ClientError;
use crate::producer::Producer;
use crate::record::{ConsumerRecord, Header, Record, RecordMetadata};

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
    since: Option<i64>,
    until: Option<i64>,
    place: Option<(i32, i64)>,
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

    fn takes(&self, record: &ConsumerRecord, letter: &DeadLetter) -> bool {
        let place = (record.partition, record.offset);
        self.key
            .as_ref()
            .is_none_or(|key| letter.key.as_ref() == Some(key))
            && (self.class.is_none() || letter.class == self.class)
            && self.since.is_none_or(|since| record.timestamp >= since)
            && self.until.is_none_or(|until| record.timestamp < until)
            && self.place.is_none_or(|it| it == place)
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

/// What became of a dead letter that was to be sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redriven {
    /// It was stored in its topic, here.
    Sent(RecordMetadata),
    /// It would have been sent; this was a dry run.
    WouldBeSent,
    /// It was left where it is, and why.
    Refused(String),
}

/// A letter that was to be sent back: an entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedriveEntry {
    /// The partition of the topic of dead letters.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// The topic that it came from.
    pub source: String,
    /// Its partition there.
    pub source_partition: i32,
    /// Its offset there, when it failed.
    pub source_offset: i64,
    /// What became of it.
    pub outcome: Redriven,
}

/// What a redrive did with each letter, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "whether the run came to its end is for the caller to judge"]
pub struct RedriveSummary {
    /// The letters that the filter took.
    pub audit: Vec<RedriveEntry>,
    /// How many records were passed over because they are no dead letters that can be read;
    /// [`LetterTopic::list`] says which.
    pub unreadable: u64,
    /// Whether there are more letters than one run takes.
    pub has_more: bool,
    /// What ended the run early: the letter behind the last one of the audit was not sent, or it
    /// is not known whether it was.
    pub error: Option<ClientError>,
}

impl RedriveSummary {
    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        let is_sent = |it: &&RedriveEntry| matches!(it.outcome, Redriven::Sent(_));
        self.audit.iter().filter(is_sent).count()
    }
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
    cluster: Arc<Cluster>,
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

    /// Sends letters back to the topics and partitions that they came from, where every group that
    /// reads them gets them again.
    pub fn redrive(&self, filter: LetterFilter) -> Redrive {
        Redrive {
            topic: self.clone(),
            filter,
            is_dry: false,
            redrives_max: 3,
            count_max: 10_000,
            pause: Duration::ZERO,
        }
    }
}

/// Sends dead letters back; made by [`LetterTopic::redrive`].
///
/// The letters stay in their topic: a second run with the same filter sends them again. The audit
/// says what was sent; [`LetterFilter::since`] and [`LetterFilter::at`] take the rest.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct Redrive {
    topic: LetterTopic,
    filter: LetterFilter,
    is_dry: bool,
    redrives_max: u32,
    count_max: usize,
    pause: Duration,
}

impl Redrive {
    /// Sends nothing, and says what would be sent.
    pub const fn dry_run(mut self) -> Self {
        self.is_dry = true;
        self
    }

    /// How often a record may be sent back; one that has been so often is refused. 3 if it is not
    /// said.
    pub const fn max_redrives(mut self, count: u32) -> Self {
        self.redrives_max = count;
        self
    }

    /// How many letters one run takes; 10,000 if it is not said.
    pub const fn max_letters(mut self, count: usize) -> Self {
        self.count_max = count;
        self
    }

    /// How many letters are sent in a second at most; 0 is taken for 1.
    pub fn per_second(mut self, count: u32) -> Self {
        self.pause = Duration::from_secs(1) / count.max(1);
        self
    }

    /// Does it. The answer says what became of each letter, also if an error ended it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run(self) -> RedriveSummary {
        let mut summary = RedriveSummary::default();
        summary.error = self.send_all(&mut summary).await.err();
        summary
    }

    async fn send_all(&self, summary: &mut RedriveSummary) -> Result<(), ClientError> {
        let cluster = &self.topic.cluster;
        let config = ProducerConfig::new()
            .linger_ms(0)
            .max_request_size(LETTER_BYTES_MAX);
        let producer = Producer::new(Arc::clone(cluster), config, None)?;
        let mut reading = Reading::start(&self.topic).await?;
        let mut next_at = Mono(0);
        while let Some(record) = reading.next().await? {
            let Ok(letter) = DeadLetter::read(&record) else {
                summary.unreadable += 1;
                continue;
            };
            if !self.filter.takes(&record, &letter) {
                continue;
            }
            if summary.audit.len() == self.count_max {
                summary.has_more = true;
                break;
            }
            let outcome = match (self.refusal(&letter), self.is_dry) {
                (Some(why), _) => Redriven::Refused(why),
                (None, true) => Redriven::WouldBeSent,
                (None, false) => {
                    cluster.clock().sleep_until(next_at).await;
                    next_at = cluster.clock().now().mono.plus(self.pause);
                    let delivery = producer.send(returned(&letter)).await?;
                    Redriven::Sent(delivery.await?)
                }
            };
            summary.audit.push(RedriveEntry {
                partition: record.partition,
                offset: record.offset,
                source: letter.topic,
                source_partition: letter.partition,
                source_offset: letter.offset,
                outcome,
            });
        }
        Ok(())
    }

    fn refusal(&self, letter: &DeadLetter) -> Option<String> {
        if letter.is_left_out {
            return Some(format!(
                "the record was too large for a dead letter: it is at {}-{}@{} only",
                letter.topic, letter.partition, letter.offset
            ));
        }
        (letter.redrives >= self.redrives_max).then(|| {
            format!(
                "it has been sent back {} times: look after its cause, or raise max_redrives",
                letter.redrives
            )
        })
    }
}

/// The record as it was, with a count of how often it was sent back.
fn returned(letter: &DeadLetter) -> Record {
    let mut record = Record::to(&letter.topic).partition(letter.partition);
    record.key.clone_from(&letter.key);
    record.value.clone_from(&letter.value);
    record.headers.clone_from(&letter.headers);
    let count = letter.redrives.saturating_add(1).to_string();
    record.headers.push(Header {
        key: REDRIVES.to_owned(),
        value: Some(Bytes::from(count)),
    });
    record
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
struct Reading {
    consumer: Consumer,
    topic: String,
    /// Partitions that are left, the next one last: where they start and end.
    left: Vec<(i32, i64, i64)>,
    /// The partition at hand, and where it ends.
    current: Option<(i32, i64)>,
    records: std::vec::IntoIter<ConsumerRecord>,
}

impl Reading {
    async fn start(letters: &LetterTopic) -> Result<Self, ClientError> {
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

    async fn next(&mut self) -> Result<Option<ConsumerRecord>, ClientError> {
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

/// The largest letter that is sent back.
const LETTER_BYTES_MAX: usize = 32 << 20;
