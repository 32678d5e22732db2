//! One Produce request: its batches, what was sent, and what the answer says of each.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Each batch gets exactly one result, whatever the answer holds.

use bytes::Bytes;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::Response;
use highwater_proto::kafka::messages::produce::{
    ProducePartition, ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopic,
};

use super::batch::Batch;
use super::delivery::Stored;
use super::queues::Slot;
use crate::cluster::Leader;
use crate::config::ProducerConfig;
use crate::error::ClientError;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) slot: Slot,
    pub(super) topic: Str,
    pub(super) batch: Batch,
}

/// The request for these batches, which are sorted by topic.
pub(super) fn request(
    config: &ProducerConfig,
    sent: &[Sent],
    records: Vec<Bytes>,
) -> ProduceRequest {
    let mut topics: Vec<ProduceTopic> = Vec::new();
    for (sent, records) in sent.iter().zip(records) {
        let partition = ProducePartition {
            index: sent.slot.number(),
            records: Some(records),
        };
        match topics.last_mut() {
            Some(topic) if topic.name == sent.topic => topic.partitions.push(partition),
            _ => topics.push(ProduceTopic {
                name: sent.topic.clone(),
                partitions: vec![partition],
            }),
        }
    }
    ProduceRequest {
        transactional_id: None,
        acks: config.acks.wire(),
        timeout_ms: i32::try_from(config.request_timeout_ms).unwrap_or(i32::MAX),
        topics,
    }
}

/// What an answer tells.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What became of each batch.
    pub(super) results: Vec<Result<Stored, ClientError>>,
    /// Brokers that lead what was sent to the wrong one: id, host, port.
    pub(super) brokers: Vec<(i32, Str, i32)>,
    /// For each batch the new leader of its partition, as far as it is told; empty without news.
    pub(super) leaders: Vec<Option<Leader>>,
}

impl Answer {
    /// The answer to these batches.
    pub(super) fn new(sent: &[Sent], answer: Result<Option<Response>, ClientError>) -> Self {
        let each = |result: Result<Stored, ClientError>| Self {
            results: sent.iter().map(|_| result.clone()).collect(),
            ..Self::default()
        };
        match answer {
            Ok(Some(Response::Produce(response))) => Self::read(sent, response),
            // Without acknowledgements, handed over is all that will ever be known.
            Ok(None) => each(Ok(stored(-1, -1))),
            Ok(Some(_)) => {
                let why = "the answer is not one to Produce".to_owned();
                each(Err(ClientError::Unknown(why)))
            }
            Err(error) => each(Err(error)),
        }
    }

    fn read(sent: &[Sent], response: ProduceResponse) -> Self {
        let topics = response.topics.iter();
        let flat: Vec<(&Str, &ProducePartitionResponse)> = topics
            .flat_map(|topic| topic.partitions.iter().map(|it| (&topic.name, it)))
            .collect();
        let find = |(place, sent): (usize, &Sent)| {
            let is_it = |(name, partition): &&(&Str, &ProducePartitionResponse)| {
                **name == sent.topic && partition.index == sent.slot.number()
            };
            // A broker answers in the order of the request, as a rule.
            let found = flat.get(place).filter(is_it);
            let found = found.or_else(|| flat.iter().find(is_it));
            found.map(|(_, partition)| *partition)
        };
        let lost = || ClientError::Unknown("the answer leaves the batch out".to_owned());
        let found: Vec<_> = sent.iter().enumerate().map(find).collect();
        let leader = |found: &Option<&ProducePartitionResponse>| {
            let leader = &found.as_ref()?.current_leader;
            (leader.leader_id >= 0).then_some(Leader {
                id: leader.leader_id,
                epoch: leader.leader_epoch,
            })
        };
        let endpoints = response.node_endpoints.iter();
        Self {
            leaders: found.iter().map(leader).collect(),
            brokers: endpoints
                .map(|it| (it.node_id, it.host.clone(), it.port))
                .collect(),
            results: found
                .into_iter()
                .map(|found| found.map_or_else(|| Err(lost()), from_partition))
                .collect(),
        }
    }
}

fn from_partition(partition: &ProducePartitionResponse) -> Result<Stored, ClientError> {
    // The broker has the batch already: an earlier try was stored.
    if partition.error_code != ErrorCode::DuplicateSequenceNumber.code() {
        let reason = partition
            .record_errors
            .iter()
            .find_map(|error| error.message.as_deref());
        let message = partition.error_message.as_deref().or(reason);
        ClientError::check(partition.error_code, message)?;
    }
    Ok(stored(partition.base_offset, partition.log_append_time_ms))
}

fn stored(base_offset: i64, append_time: i64) -> Stored {
    Stored {
        base_offset,
        append_time: (append_time >= 0).then_some(append_time),
    }
}
