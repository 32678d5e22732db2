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
use super::queues::Slot;
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

/// What became of each batch.
pub(super) fn results(
    sent: &[Sent],
    answer: Result<Option<Response>, ClientError>,
) -> Vec<Result<i64, ClientError>> {
    match answer {
        Ok(Some(Response::Produce(response))) => from_response(sent, response),
        // Without acknowledgements, handed over is all that will ever be known.
        Ok(None) => sent.iter().map(|_| Ok(-1)).collect(),
        Ok(Some(_)) => {
            let error = ClientError::Unknown("the answer is not one to Produce".to_owned());
            sent.iter().map(|_| Err(error.clone())).collect()
        }
        Err(error) => sent.iter().map(|_| Err(error.clone())).collect(),
    }
}

fn from_response(sent: &[Sent], response: ProduceResponse) -> Vec<Result<i64, ClientError>> {
    let flat: Vec<(&Str, &ProducePartitionResponse)> = response
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| (&topic.name, partition))
        })
        .collect();
    let find = |(place, sent): (usize, &Sent)| {
        let is_it = |(name, partition): &&(&Str, &ProducePartitionResponse)| {
            **name == sent.topic && partition.index == sent.slot.number()
        };
        // A broker answers in the order of the request, as a rule.
        let found = flat
            .get(place)
            .filter(is_it)
            .or_else(|| flat.iter().find(is_it));
        match found {
            Some((_, partition)) => from_partition(partition),
            None => Err(ClientError::Unknown(
                "the answer leaves the batch out".to_owned(),
            )),
        }
    };
    sent.iter().enumerate().map(find).collect()
}

fn from_partition(partition: &ProducePartitionResponse) -> Result<i64, ClientError> {
    // The broker has the batch already: an earlier try was stored.
    if partition.error_code == ErrorCode::DuplicateSequenceNumber.code() {
        return Ok(partition.base_offset);
    }
    let reason = partition
        .record_errors
        .iter()
        .find_map(|error| error.message.as_deref());
    let message = partition.error_message.as_deref().or(reason);
    ClientError::check(partition.error_code, message)?;
    Ok(partition.base_offset)
}
