//! Sends the records of a batch, all of them before the first answer is waited for.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Records are handed over in their order; behind one that was refused none of its lane is.
//! - Each has one result.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::code::ErrorCode;

use super::destination::{Destination, MemoryAcks, Unfit};
use super::error::OutboxError;
use super::machine::Fault;
use super::router::Lane;
use crate::cluster::Cluster;
use crate::error::ClientError;
use crate::producer::{Delivery, Producer};
use crate::record::Record;

/// Publishes records by one producer.
#[derive(Debug)]
pub(super) struct Publisher {
    cluster: Arc<Cluster>,
    producer: Producer,
    memory_acks: MemoryAcks,
    topics: HashMap<String, Destination>,
}

/// A publisher that has sent what it was given.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) publisher: Publisher,
    /// `MemoryAck`, if it was an error: then nothing counts as sent.
    pub(super) sent: Result<Sent, OutboxError>,
}

/// A row to be sent: its place in the batch, its lane, and its record or why it has none.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) index: usize,
    pub(super) lane: Option<Lane>,
    pub(super) record: Result<Record, String>,
}

/// What became of a round.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) results: Vec<(usize, Result<(), Fault>)>,
    /// The last error that was not the fault of a row.
    pub(super) trouble: Option<ClientError>,
    /// How many records each topic has taken.
    pub(super) counts: HashMap<String, u64>,
}

/// Where a record stands.
enum Outcome {
    Refused(Fault),
    Accepted(String, Delivery),
}

impl Publisher {
    pub(super) fn new(cluster: Arc<Cluster>, producer: Producer, memory_acks: MemoryAcks) -> Self {
        Self {
            cluster,
            producer,
            memory_acks,
            topics: HashMap::new(),
        }
    }

    /// Sends records, and comes back when all are answered.
    pub(super) async fn publish(mut self, sendings: Vec<Sending>) -> Published {
        let sent = self.send_all(sendings).await;
        Published {
            publisher: self,
            sent,
        }
    }

    async fn send_all(&mut self, sendings: Vec<Sending>) -> Result<Sent, OutboxError> {
        let mut sent = Sent {
            results: Vec::with_capacity(sendings.len()),
            trouble: None,
            counts: HashMap::new(),
        };
        let mut outcomes = Vec::with_capacity(sendings.len());
        let mut held: HashSet<Lane> = HashSet::new();
        // Looking once more for a topic that is not there takes as long as the first time.
        let mut missing: HashMap<String, Fault> = HashMap::new();
        for Sending {
            index,
            lane,
            record,
        } in sendings
        {
            let is_held = lane.as_ref().is_some_and(|lane| held.contains(lane));
            let outcome = match record {
                // What would be refused anyway need not wait for the broker.
                _ if is_held => Outcome::Refused(Fault::Held),
                Err(why) => Outcome::Refused(Fault::Final(why)),
                Ok(_) if sent.trouble.is_some() => Outcome::Refused(Fault::Broker),
                Ok(record) => match missing.get(&record.topic) {
                    Some(fault) => Outcome::Refused(fault.clone()),
                    None => self.send(record, &mut missing, &mut sent.trouble).await?,
                },
            };
            if let Outcome::Refused(_) = &outcome {
                held.extend(lane);
            }
            outcomes.push((index, outcome));
        }
        // All of them are there: now they go, in as few requests as they fit in.
        self.producer.flush().await;
        for (index, outcome) in outcomes {
            let result = match outcome {
                Outcome::Refused(fault) => Err(fault),
                Outcome::Accepted(topic, delivery) => match delivery.await {
                    Ok(_) => {
                        *sent.counts.entry(topic).or_default() += 1;
                        Ok(())
                    }
                    Err(error) => {
                        self.topics.remove(&topic);
                        Err(fault_of(error, &mut sent.trouble))
                    }
                },
            };
            sent.results.push((index, result));
        }
        Ok(sent)
    }

    async fn send(
        &mut self,
        record: Record,
        missing: &mut HashMap<String, Fault>,
        trouble: &mut Option<ClientError>,
    ) -> Result<Outcome, OutboxError> {
        let destination = match self.destination(&record.topic).await {
            Ok(destination) => destination,
            Err(Unfit::Client(error)) => {
                let fault = fault_of(error, trouble);
                missing.insert(record.topic, fault.clone());
                return Ok(Outcome::Refused(fault));
            }
            Err(Unfit::Refused(error)) => return Err(error),
        };
        if let Some(why) = unfit(&record, destination) {
            // It may have been changed since it was looked at.
            self.topics.remove(&record.topic);
            return Ok(Outcome::Refused(Fault::Row(why)));
        }
        let topic = record.topic.clone();
        Ok(match self.producer.send(record).await {
            Ok(delivery) => Outcome::Accepted(topic, delivery),
            Err(error) => {
                self.topics.remove(&topic);
                Outcome::Refused(fault_of(error, trouble))
            }
        })
    }

    async fn destination(&mut self, topic: &str) -> Result<Destination, Unfit> {
        if let Some(known) = self.topics.get(topic) {
            return Ok(*known);
        }
        let found = Destination::look(&self.cluster, topic, self.memory_acks).await?;
        if self.topics.len() >= TOPICS_MAX {
            self.topics.clear();
        }
        self.topics.insert(topic.to_owned(), found);
        Ok(found)
    }
}

/// Why a topic would not take a record: found before anything behind it in its lane is sent.
fn unfit(record: &Record, destination: Destination) -> Option<String> {
    let topic = &record.topic;
    if destination.needs_keys && record.key.is_none() {
        return Some(format!("{topic} is compacted, and the record has no key"));
    }
    let size = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers.map(|it| it.key.len() + size(&it.value)).sum();
    let bytes = size(&record.key) + size(&record.value) + headers + BATCH_BYTES_MIN;
    (bytes > destination.bytes_max).then(|| {
        let limit = destination.bytes_max;
        format!("the record takes {bytes} bytes, and max.message.bytes of {topic} is {limit}")
    })
}

/// Whose fault an error is. What is nobody's is kept.
fn fault_of(error: ClientError, trouble: &mut Option<ClientError>) -> Fault {
    match &error {
        ClientError::Invalid(why) => Fault::Final(why.clone()),
        ClientError::Broker { code, .. } if is_of_row(*code) => Fault::Row(error.to_string()),
        _ => {
            *trouble = Some(error);
            Fault::Broker
        }
    }
}

/// Whether another row might be taken.
const fn is_of_row(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InvalidTopicException
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::InvalidTimestamp
            | ErrorCode::InvalidRecord
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::PolicyViolation
    )
}

/// Topics that are remembered.
const TOPICS_MAX: usize = 10_000;

/// The head of a batch, and what a record has at least besides its bytes.
const BATCH_BYTES_MIN: usize = 61 + 7;
