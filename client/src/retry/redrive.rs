//! Dead letters sent back to the topics that they came from.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A run ends where the topic ended when it began, so that a letter that fails again is not sent
//!   back in the same run.
//! - Letters of one partition are sent back in the order of their offsets, each stored before the
//!   next one is sent; the first that cannot be stored ends the run.
//! - What became of each is told as soon as it is known, and nothing is deleted or created.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;

use super::letter::{DeadLetter, REDRIVES};
use super::letter_topic::{LetterFilter, LetterTopic, Reading};
use crate::admin::Admin;
use crate::config::ProducerConfig;
use crate::error::ClientError;
use crate::producer::Producer;
use crate::record::{ConsumerRecord, Header, Record, RecordMetadata};

/// What became of a dead letter that was to be sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redriven {
    /// It was stored in its topic, here.
    Sent(RecordMetadata),
    /// It would have been sent; this was a dry run.
    WouldBeSent,
    /// It was left where it is, and why.
    Refused(String),
    /// It was not stored, or it is not known whether it was: [`RedriveSummary::error`] says why,
    /// and the run ended with it.
    Failed,
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
    /// What ended the run early. If it concerns a letter, that is the last one of the audit.
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

impl LetterTopic {
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
/// says what was sent; [`LetterFilter::behind`] its last letter takes the rest.
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
        self.run_each(|_| ControlFlow::Continue(())).await
    }

    /// As [`Self::run`], and tells what became of each letter as soon as it is known, so that an
    /// audit can be written that outlives the run. `Break` ends the run behind that letter.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run_each(
        self,
        mut each: impl FnMut(&RedriveEntry) -> ControlFlow<()>,
    ) -> RedriveSummary {
        let mut summary = RedriveSummary::default();
        summary.error = self.take_all(&mut summary, &mut each).await.err();
        summary
    }

    async fn take_all(
        &self,
        summary: &mut RedriveSummary,
        each: &mut impl FnMut(&RedriveEntry) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let mut way = WayBack::new(self)?;
        let mut reading = Reading::start(&self.topic).await?;
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
            let (outcome, error) = match way.take(&letter).await {
                Ok(outcome) => (outcome, None),
                Err(error) => (Redriven::Failed, Some(error)),
            };
            let entry = entry(&record, letter, outcome);
            let flow = each(&entry);
            summary.audit.push(entry);
            match (error, flow) {
                (Some(error), _) => return Err(error),
                (None, ControlFlow::Break(())) => break,
                (None, ControlFlow::Continue(())) => {}
            }
        }
        Ok(())
    }
}

/// The way of one run's letters to their topics.
struct WayBack<'a> {
    redrive: &'a Redrive,
    admin: Admin,
    producer: Producer,
    next_at: Mono,
    /// How many partitions the topics have; none if a topic is not there.
    partitions: HashMap<String, Option<i32>>,
}

impl<'a> WayBack<'a> {
    fn new(redrive: &'a Redrive) -> Result<Self, ClientError> {
        let cluster = &redrive.topic.cluster;
        let config = ProducerConfig::new()
            .linger_ms(0)
            .max_request_size(LETTER_BYTES_MAX);
        Ok(Self {
            redrive,
            admin: Admin::new(Arc::clone(cluster)),
            producer: Producer::new(Arc::clone(cluster), config, None)?,
            next_at: Mono(0),
            partitions: HashMap::new(),
        })
    }

    async fn take(&mut self, letter: &DeadLetter) -> Result<Redriven, ClientError> {
        let refusal = match self.own_refusal(letter) {
            Some(why) => Some(why),
            None => self.refusal_of_its_topic(letter).await?,
        };
        match (refusal, self.redrive.is_dry) {
            (Some(why), _) => Ok(Redriven::Refused(why)),
            (None, true) => Ok(Redriven::WouldBeSent),
            (None, false) => self.send(letter).await.map(Redriven::Sent),
        }
    }

    async fn send(&mut self, letter: &DeadLetter) -> Result<RecordMetadata, ClientError> {
        let clock = self.redrive.topic.cluster.clock();
        clock.sleep_until(self.next_at).await;
        self.next_at = clock.now().mono.plus(self.redrive.pause);
        self.producer.send(returned(letter)).await?.await
    }

    fn own_refusal(&self, letter: &DeadLetter) -> Option<String> {
        if letter.is_left_out {
            return Some(format!(
                "the record was too large for a dead letter: it is at {}-{}@{} only",
                letter.topic, letter.partition, letter.offset
            ));
        }
        (letter.redrives >= self.redrive.redrives_max).then(|| {
            format!(
                "it has been sent back {} times: look after its cause, or raise max_redrives",
                letter.redrives
            )
        })
    }

    /// Sending must not create a topic: one that is gone is not to come back empty.
    async fn refusal_of_its_topic(
        &mut self,
        letter: &DeadLetter,
    ) -> Result<Option<String>, ClientError> {
        let topic = &letter.topic;
        let partitions = match self.partitions.get(topic) {
            Some(known) => *known,
            None => {
                let found = self.look_up(topic).await?;
                self.partitions.insert(topic.clone(), found);
                found
            }
        };
        let partition = letter.partition;
        Ok(match partitions {
            None => Some(format!("there is no topic {topic} any more")),
            Some(count) if !(0..count).contains(&partition) => Some(format!(
                "topic {topic} has {count} partitions, and none of the number {partition}"
            )),
            Some(_) => None,
        })
    }

    async fn look_up(&self, topic: &str) -> Result<Option<i32>, ClientError> {
        match self.admin.describe_topic(topic).await {
            Ok(described) => Ok(Some(described.partitions)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_missing(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::InvalidTopicException)
    )
}

fn entry(record: &ConsumerRecord, letter: DeadLetter, outcome: Redriven) -> RedriveEntry {
    RedriveEntry {
        partition: record.partition,
        offset: record.offset,
        source: letter.topic,
        source_partition: letter.partition,
        source_offset: letter.offset,
        outcome,
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

/// The largest letter that is sent back.
const LETTER_BYTES_MAX: usize = 32 << 20;
