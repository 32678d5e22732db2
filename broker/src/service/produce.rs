//! Produce: validate each partition's batch, enqueue it, and answer when it is written or durable.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A refused batch leaves no trace in the log.
//! - When `produce` returns, every accepted batch stands in its shard's queue, in request order.

mod conditions;
mod validate;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use highwater_log::error::LogError;
use highwater_log::log::{Appended, Sent};
use highwater_log::reader::LogReader;
use highwater_log::shard::AckAt;
use highwater_log::types::{LogId, Offset};
use highwater_proto::batch::BatchHeader;

use crate::error::ProduceError;
use crate::ids::TopicRef;
use crate::meta::{Topic, is_reserved};
use crate::service::Service;
use crate::shard::{Enqueuer, PendingAppend};
use conditions::Claims;
use validate::Checks;

/// Records for some partitions, each one batch as the producer sent it.
#[derive(Clone, Debug)]
pub struct ProduceCall {
    /// When to answer.
    pub acks: Acks,
    /// The request's transactional id.
    pub transactional_id: Option<String>,
    /// Whether the version of the request may carry zstd.
    pub zstd: ZstdAllowed,
    /// The batches, by topic.
    pub topics: Vec<ProduceTopic>,
}

/// The batches of one topic.
#[derive(Clone, Debug)]
pub struct ProduceTopic {
    /// The topic's name.
    pub topic: String,
    /// Partition and batch; `None` and empty bytes are refused.
    pub partitions: Vec<(i32, Option<Bytes>)>,
}

/// When a producer is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never (0).
    None,
    /// When its batch is written: it survives the death of the process (1).
    Leader,
    /// When its batch is durable under the topic's `durability` (-1).
    All,
}

impl TryFrom<i16> for Acks {
    type Error = ProduceError;

    fn try_from(acks: i16) -> Result<Self, ProduceError> {
        match acks {
            -1 => Ok(Self::All),
            0 => Ok(Self::None),
            1 => Ok(Self::Leader),
            _ => Err(ProduceError::InvalidRequiredAcks { acks }),
        }
    }
}

/// Whether a request may carry zstd: clients older than Kafka 2.1 cannot read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZstdAllowed {
    /// Produce v7 and newer.
    Yes,
    /// Produce v3 to v6.
    No,
}

/// Where a batch was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The broker's time on a LogAppendTime topic, in milliseconds.
    pub log_append_time_ms: Option<i64>,
    /// The first offset of the log.
    pub log_start_offset: Offset,
}

/// What became of one partition's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducedPartition {
    /// The topic's name, as in the call.
    pub topic: String,
    /// The partition, as in the call.
    pub partition: i32,
    /// Where it was stored, or why not.
    pub result: Result<Produced, ProduceError>,
}

/// The answer to a [`ProduceCall`] that is under way. Dropping it undoes nothing.
#[must_use = "the outcome of a produce call must be looked at"]
pub struct ProduceTicket {
    refused: bool,
    answer: Pin<Box<dyn Future<Output = Vec<ProducedPartition>> + Send>>,
}

impl ProduceTicket {
    /// Whether some batch was refused before it was enqueued.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }
}

impl Future for ProduceTicket {
    /// One result for each partition, in the order of the call.
    type Output = Vec<ProducedPartition>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(context)
    }
}

impl Service {
    /// Validates and enqueues the batches. They are in the log's queue, in order, when this
    /// returns; the ticket tells what became of them.
    pub async fn produce(&self, call: ProduceCall) -> ProduceTicket {
        let refused_all = refuse_transactions(&call).err();
        let checks = Checks::new(
            &self.inner.config,
            &self.inner.metrics,
            call.zstd,
            self.clock().now().wall,
        );
        let ack = match call.acks {
            Acks::All => AckAt::Durable,
            Acks::None | Acks::Leader => AckAt::Written,
        };
        let mut enqueuer = self.inner.shard.enqueuer();
        let mut entries = Vec::new();
        for ProduceTopic {
            topic: name,
            partitions,
        } in call.topics
        {
            let topic = self.named(&name);
            for (partition, records) in partitions {
                let outcome = match (&refused_all, &topic) {
                    (Some(_), Some(topic))
                        if topic.settings.log.key_index && is_transactional(records.as_ref()) =>
                    {
                        Err(conditions::in_a_transaction())
                    }
                    (Some(error), _) => Err(error.clone()),
                    (None, None) => Err(no_topic(&name)),
                    (None, Some(topic)) if topic.is_internal() => Err(ProduceError::InternalTopic),
                    (None, Some(topic)) => {
                        self.enqueue(&mut enqueuer, topic, partition, records, (&checks, ack))
                            .await
                    }
                };
                entries.push(Entry {
                    topic: name.clone(),
                    partition,
                    outcome,
                });
            }
        }
        // What was enqueued is written now, all of it together.
        drop(enqueuer);
        self.ticket(entries)
    }

    async fn enqueue(
        &self,
        enqueuer: &mut Enqueuer<'_>,
        topic: &Topic,
        partition: i32,
        records: Option<Bytes>,
        (checks, ack): (&Checks<'_>, AckAt),
    ) -> Result<Enqueued, ProduceError> {
        let log = topic
            .log(partition)
            .ok_or(ProduceError::UnknownTopicOrPartition)?;
        let batch = checks.validate(records, &topic.settings)?;
        let reader = self.open_log(topic, log).await?;
        let keyed = match reader.key_seed() {
            Some(seed) => Some(checks.keyed(&batch, &topic.settings, seed)?),
            None => None,
        };
        if let Some(keyed) = &keyed {
            let prepared = reader.prepare(keyed);
            prepared.map_err(|error| ProduceError::storage(&error))?;
        }
        let metrics = &self.inner.metrics;
        let records_count = u64::try_from(batch.header().records_count).unwrap_or(0);
        metrics.produced_records.add(records_count);
        let bytes = batch.bytes().len() as u64;
        metrics.produced_bytes.add(bytes);
        reader.count_produced(bytes);
        let claims = keyed
            .as_ref()
            .and_then(|keyed| Claims::of(&reader, &batch, keyed));
        let events = keyed.is_some().then_some(reader);
        let append = enqueuer.enqueue(log, Sent { batch, keyed }, ack).await;
        Ok(Enqueued {
            append,
            claims,
            events,
        })
    }

    /// Makes the files of a partition at its first batch.
    pub(super) async fn open_log(
        &self,
        topic: &Topic,
        log: LogId,
    ) -> Result<LogReader, ProduceError> {
        if let Some(reader) = self.inner.shard.reader(log) {
            return Ok(reader);
        }
        // On a full disk nothing is made for records that would be refused.
        let room = self.inner.shard.expect_room();
        room.map_err(|error| ProduceError::storage(&error))?;
        let service = self.clone();
        let id = topic.id;
        // Asked when it is this call's turn: a topic that was deleted meanwhile gets no files.
        let plan = move || {
            service.inner.meta.read(|meta| {
                let topic = meta.state().topic(&TopicRef::Id(id))?;
                Some((topic.settings.log.clone(), meta.state().leader_epoch()))
            })
        };
        match self.inner.shard.open_log(log, plan).await {
            // Of a topic that is deleted at this moment there is nothing any more.
            Ok(()) => self
                .inner
                .shard
                .reader(log)
                .ok_or(ProduceError::UnknownTopicOrPartition),
            Err(_) if self.topic(&TopicRef::Id(id)).is_none() => {
                Err(ProduceError::UnknownTopicOrPartition)
            }
            Err(error) => Err(ProduceError::storage(&error)),
        }
    }

    /// What became of a batch, and whether it was stored before. One that is refused because its
    /// events are there already is as good as stored.
    async fn appended(
        &self,
        Enqueued {
            append,
            claims,
            events,
        }: Enqueued,
    ) -> Result<(Produced, bool), ProduceError> {
        match (append.await, claims) {
            (Err(LogError::Conflict(conflict)), claims) => {
                let bytes_max = self.config().max_decompressed_message_bytes;
                let repeated = match claims {
                    Some(claims) => claims.repeated(conflict, bytes_max),
                    None => Err(LogError::Conflict(conflict).into()),
                };
                if let (Some(events), Err(_)) = (&events, &repeated) {
                    events.count_conflict();
                }
                Ok((repeated?, true))
            }
            (Ok(appended), _) => {
                if let Some(events) = events.filter(|_| !appended.duplicate) {
                    events.count_events(appended.revisions.len() as u64);
                }
                Ok((produced(&appended), appended.duplicate))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn ticket(&self, entries: Vec<Entry>) -> ProduceTicket {
        let refused = entries.iter().any(|entry| entry.outcome.is_err());
        let service = self.clone();
        let answer = Box::pin(async move {
            let mut answers = Vec::with_capacity(entries.len());
            for Entry {
                topic,
                partition,
                outcome,
            } in entries
            {
                let result = match outcome {
                    Ok(enqueued) => service.appended(enqueued).await,
                    Err(error) => Err(error),
                };
                let metrics = &service.inner.metrics;
                match &result {
                    Ok(_) => metrics.produced_batches.increment(),
                    Err(_) => metrics.refused_batches.increment(),
                }
                if let Ok((_, true)) = result {
                    metrics.duplicate_batches.increment();
                }
                answers.push(ProducedPartition {
                    topic,
                    partition,
                    result: result.map(|(produced, _)| produced),
                });
            }
            answers
        });
        ProduceTicket { refused, answer }
    }
}

/// One partition of a call that is under way.
struct Entry {
    topic: String,
    partition: i32,
    outcome: Result<Enqueued, ProduceError>,
}

/// A batch in the queue of its log.
struct Enqueued {
    append: PendingAppend,
    claims: Option<Claims>,
    /// Where its records are counted as events, if they are.
    events: Option<LogReader>,
}

fn produced(appended: &Appended) -> Produced {
    Produced {
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time_ms,
        log_start_offset: appended.start_offset,
    }
}

fn no_topic(name: &str) -> ProduceError {
    if is_reserved(name) {
        ProduceError::InternalTopic
    } else {
        ProduceError::UnknownTopicOrPartition
    }
}

/// A transactional batch refuses the whole request, whatever else is in it.
fn refuse_transactions(call: &ProduceCall) -> Result<(), ProduceError> {
    let batches = call.topics.iter().flat_map(|topic| &topic.partitions);
    let mut batches = batches.map(|(_, records)| records.as_ref());
    match (batches.any(is_transactional), &call.transactional_id) {
        (false, _) => Ok(()),
        (true, None) => Err(ProduceError::TransactionalIdRequired),
        (true, Some(_)) => Err(ProduceError::TransactionsUnsupported),
    }
}

fn is_transactional(records: Option<&Bytes>) -> bool {
    let header = records.map(|records| BatchHeader::parse(records));
    matches!(header, Some(Ok(header)) if header.is_transactional())
}
