//! Produce (key 0), v3 to v11.
//!
//! Floor 5 of broker.
//!
//! - Takes effect in two steps: when `begin` returns, every accepted batch stands in its log's
//!   queue; the answer follows when it is written (acks 1) or durable (acks -1).
//! - acks 0 is not answered. If such a batch is refused the connection is closed, which is all that
//!   its producer can notice.
//! - v7 and newer may carry zstd; v8 and newer are told which record was refused and why.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::Response;
use highwater_proto::kafka::messages::produce::{
    ProducePartitionResponse, ProduceRecordError, ProduceRequest, ProduceResponse,
    ProduceTopic as WireTopic, ProduceTopicResponse,
};

use super::Call;
use crate::error::{ProduceError, RefusedRecord};
use crate::kafka::dispatch::Refusal;
use crate::kafka::errors::{code_of, message_of};
use crate::service::produce::{
    Acks, ProduceCall, ProduceTicket, ProduceTopic, Produced, ProducedPartition, ZstdAllowed,
};

/// A produce request whose batches are enqueued, or refused.
pub(in crate::kafka) struct UnderWay {
    acks: i16,
    /// The topics of the request, and how many partitions each has.
    topics: Vec<(Str, usize)>,
    outcome: Outcome,
}

enum Outcome {
    Ticket(ProduceTicket),
    /// The whole request.
    Refused {
        partitions: Vec<i32>,
        error: ProduceError,
    },
}

/// Enqueues the batches.
pub(in crate::kafka) async fn begin(call: Call<'_>, request: ProduceRequest) -> UnderWay {
    let sizes = request
        .topics
        .iter()
        .map(|topic| (topic.name.clone(), topic.partitions.len()));
    let topics = sizes.collect();
    let outcome = match Acks::try_from(request.acks) {
        Ok(acks) => {
            let zstd = if call.version >= ZSTD_SINCE {
                ZstdAllowed::Yes
            } else {
                ZstdAllowed::No
            };
            let ticket = call.service.produce(ProduceCall {
                acks,
                transactional_id: request.transactional_id.map(String::from),
                zstd,
                topics: request.topics.into_iter().map(batches).collect(),
            });
            Outcome::Ticket(ticket.await)
        }
        Err(error) => Outcome::Refused {
            partitions: request
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|partition| partition.index))
                .collect(),
            error,
        },
    };
    UnderWay {
        acks: request.acks,
        topics,
        outcome,
    }
}

impl UnderWay {
    /// Waits until the request can be answered.
    pub(in crate::kafka) async fn answer(self) -> Result<Option<Response>, Refusal> {
        let mut results: Vec<PartitionResult> = match self.outcome {
            Outcome::Ticket(ticket) => ticket
                .await
                .into_iter()
                .map(PartitionResult::from)
                .collect(),
            Outcome::Refused { partitions, error } => partitions
                .into_iter()
                .map(|index| PartitionResult {
                    index,
                    result: Err(error.clone()),
                })
                .collect(),
        };
        if self.acks == 0 {
            return match results.iter().find_map(|one| one.result.as_ref().err()) {
                None => Ok(None),
                Some(error) => Err(Refusal::Unanswered {
                    why: error.to_string(),
                }),
            };
        }
        let mut results = results.drain(..);
        let topics = self
            .topics
            .into_iter()
            .map(|(name, count)| ProduceTopicResponse {
                name,
                partitions: results
                    .by_ref()
                    .take(count)
                    .map(partition_response)
                    .collect(),
            });
        let topics = topics.collect();
        Ok(Some(
            ProduceResponse {
                topics,
                ..ProduceResponse::default()
            }
            .into(),
        ))
    }
}

struct PartitionResult {
    index: i32,
    result: Result<Produced, ProduceError>,
}

impl From<ProducedPartition> for PartitionResult {
    fn from(produced: ProducedPartition) -> Self {
        Self {
            index: produced.partition,
            result: produced.result,
        }
    }
}

fn batches(topic: WireTopic) -> ProduceTopic {
    let partitions = topic.partitions.into_iter();
    ProduceTopic {
        topic: topic.name.into(),
        partitions: partitions
            .map(|partition| (partition.index, partition.records))
            .collect(),
    }
}

fn partition_response(
    PartitionResult { index, result }: PartitionResult,
) -> ProducePartitionResponse {
    let response = ProducePartitionResponse {
        index,
        error_code: code_of(&result),
        error_message: message_of(&result),
        ..ProducePartitionResponse::default()
    };
    match result {
        Ok(produced) => ProducePartitionResponse {
            base_offset: produced.base_offset.0,
            log_append_time_ms: produced.log_append_time_ms.unwrap_or(NONE),
            log_start_offset: produced.log_start_offset.0,
            ..response
        },
        Err(error) => ProducePartitionResponse {
            base_offset: NONE,
            record_errors: record_errors(error),
            ..response
        },
    }
}

fn record_errors(error: ProduceError) -> Vec<ProduceRecordError> {
    let ProduceError::InvalidRecord { records, .. } = error else {
        return Vec::new();
    };
    let wire = |RefusedRecord { index, why }| ProduceRecordError {
        batch_index: index,
        message: Some(Str::from(why)),
    };
    records
        .into_iter()
        .take(RECORD_ERRORS_MAX)
        .map(wire)
        .collect()
}

/// The first version that may carry zstd.
const ZSTD_SINCE: i16 = 7;
/// Neither an offset nor a time.
const NONE: i64 = -1;
/// A batch of many bad records is not answered with more bytes than it had.
const RECORD_ERRORS_MAX: usize = 100;
