//! Fetch (key 1), v4 to v16.
//!
//! Floor 5 of broker.
//!
//! - Waits up to max_wait_ms for min_bytes; wakes on append to any asked partition.
//! - Returns whole batches; the first may exceed max_bytes so that progress is made.
//! - There are no fetch sessions: a full fetch is answered with session id 0, an incremental one
//!   with error 70, upon which clients go back to full fetches.
//! - Topics by id from v13 on.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::{Records, Str, Uuid};
use highwater_proto::kafka::messages::fetch::{
    FetchEpochEndOffset, FetchPartition as WirePartition, FetchPartitionResponse, FetchRequest,
    FetchResponse, FetchTopic, FetchTopicResponse,
};

use super::Call;
use crate::error::FetchError;
use crate::ids::{TopicId, TopicRef};
use crate::kafka::errors::WireError;
use crate::service::fetch::{FetchCall, FetchPartition, Fetched, FetchedPartition, Isolation};
use highwater_log::types::Offset;

pub(in crate::kafka) async fn handle(call: Call<'_>, request: FetchRequest) -> FetchResponse {
    if request.session_epoch > 0 {
        return FetchResponse {
            error_code: ErrorCode::FetchSessionIdNotFound.code(),
            ..FetchResponse::default()
        };
    }
    let by_id = call.version >= BY_ID_SINCE;
    let sizes = request
        .topics
        .iter()
        .map(|t| (t.name.clone(), t.topic_id, t.partitions.len()));
    let sizes: Vec<(Str, Uuid, usize)> = sizes.collect();
    let fetched = call.service.fetch(FetchCall {
        max_wait_ms: request.max_wait_ms,
        min_bytes: request.min_bytes,
        max_bytes: request.max_bytes,
        isolation: isolation(request.isolation_level),
        partitions: request
            .topics
            .into_iter()
            .flat_map(|topic| partitions(topic, by_id))
            .collect(),
    });
    let mut fetched = fetched.await.into_iter();
    let topics = sizes
        .into_iter()
        .map(|(name, topic_id, count)| FetchTopicResponse {
            name,
            topic_id,
            partitions: fetched
                .by_ref()
                .take(count)
                .map(partition_response)
                .collect(),
        });
    FetchResponse {
        topics: topics.collect(),
        ..FetchResponse::default()
    }
}

/// What a request's number of an isolation level means.
pub(super) fn isolation(level: i8) -> Isolation {
    if level == READ_COMMITTED {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    }
}

fn partitions(topic: FetchTopic, by_id: bool) -> impl Iterator<Item = FetchPartition> {
    let name = if by_id {
        TopicRef::Id(TopicId(topic.topic_id.0))
    } else {
        TopicRef::Name(topic.name.into())
    };
    topic
        .partitions
        .into_iter()
        .map(move |asked: WirePartition| FetchPartition {
            topic: name.clone(),
            partition: asked.index,
            current_leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
            fetch_offset: Offset(asked.fetch_offset),
            max_bytes: asked.max_bytes,
        })
}

fn partition_response(fetched: FetchedPartition) -> FetchPartitionResponse {
    let index = fetched.partition;
    match fetched.result {
        Ok(found) => found_response(index, found),
        Err(error) => refused_response(index, &error),
    }
}

fn found_response(index: i32, found: Fetched) -> FetchPartitionResponse {
    let diverging = found.diverging.map(|end| FetchEpochEndOffset {
        epoch: end.epoch,
        end_offset: end.end_offset.0,
    });
    FetchPartitionResponse {
        index,
        high_watermark: found.high_watermark.0,
        last_stable_offset: found.last_stable_offset.0,
        log_start_offset: found.log_start_offset.0,
        records: Records::from(found.records),
        diverging_epoch: diverging.unwrap_or_default(),
        ..FetchPartitionResponse::default()
    }
}

fn refused_response(index: i32, error: &FetchError) -> FetchPartitionResponse {
    FetchPartitionResponse {
        index,
        error_code: error.error_code().code(),
        high_watermark: NONE,
        ..FetchPartitionResponse::default()
    }
}

/// The first version with topic ids.
const BY_ID_SINCE: i16 = 13;
const READ_COMMITTED: i8 = 1;
/// No offset.
const NONE: i64 = -1;
