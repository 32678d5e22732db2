//! Fetch (key 1), v4 to v16.
//!
//! Floor 5 of broker.
//!
//! - Waits up to max_wait_ms for min_bytes; wakes on append to any asked partition.
//! - Returns whole batches; the first may exceed max_bytes so that progress is made.
//! - Within a session only what the reader does not know yet is answered; an unknown session is
//!   error 70, an epoch that does not follow 71, and another way of naming topics 106.
//! - Topics by id from v13 on.

use highwater_proto::cursor::{Records, Str, Uuid};
use highwater_proto::kafka::messages::fetch::{
    FetchEpochEndOffset, FetchForgottenTopic, FetchPartition as WirePartition,
    FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopic, FetchTopicResponse,
};

use super::Call;
use crate::error::FetchError;
use crate::ids::{TopicId, TopicRef};
use crate::kafka::errors::WireError;
use crate::service::fetch::{
    FetchCall, FetchPartition, Fetched, FetchedPartition, Isolation, Naming, SessionStep,
};
use highwater_log::types::Offset;

pub(in crate::kafka) async fn handle(call: Call<'_>, request: FetchRequest) -> FetchResponse {
    let by_id = call.version >= BY_ID_SINCE;
    let step = SessionStep {
        session_id: request.session_id,
        epoch: request.session_epoch,
        naming: if by_id { Naming::Ids } else { Naming::Names },
        forgotten: request
            .forgotten_topics
            .into_iter()
            .flat_map(|topic| forgotten(topic, by_id))
            .collect(),
    };
    let asked = FetchCall {
        max_wait_ms: request.max_wait_ms,
        min_bytes: request.min_bytes,
        max_bytes: request.max_bytes,
        isolation: isolation(request.isolation_level),
        partitions: request
            .topics
            .into_iter()
            .flat_map(|topic| partitions(topic, by_id))
            .collect(),
    };
    match call.service.fetch_in_session(step, asked).await {
        Ok(fetched) => FetchResponse {
            session_id: fetched.session_id,
            topics: topics(fetched.partitions),
            ..FetchResponse::default()
        },
        Err(error) => FetchResponse {
            error_code: error.error_code().code(),
            ..FetchResponse::default()
        },
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
    let name = topic_ref(topic.name, topic.topic_id, by_id);
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

fn forgotten(topic: FetchForgottenTopic, by_id: bool) -> impl Iterator<Item = (TopicRef, i32)> {
    let name = topic_ref(topic.name, topic.topic_id, by_id);
    let partitions = topic.partitions.into_iter();
    partitions.map(move |partition| (name.clone(), partition))
}

fn topic_ref(name: Str, id: Uuid, by_id: bool) -> TopicRef {
    if by_id {
        TopicRef::Id(TopicId(id.0))
    } else {
        TopicRef::Name(name.into())
    }
}

/// The order is kept: a session may have other topics between two partitions of one.
fn topics(fetched: Vec<FetchedPartition>) -> Vec<FetchTopicResponse> {
    let mut topics: Vec<FetchTopicResponse> = Vec::new();
    let mut last = None;
    for one in fetched {
        if last.as_ref() != Some(&one.topic) {
            last = Some(one.topic.clone());
            let (name, topic_id) = match &one.topic {
                TopicRef::Name(name) => (Str::from(name.clone()), Uuid::NIL),
                TopicRef::Id(id) => (Str::default(), Uuid(id.0)),
            };
            topics.push(FetchTopicResponse {
                name,
                topic_id,
                partitions: Vec::new(),
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(partition_response(one));
        }
    }
    topics
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
    let is_unknown = matches!(
        error,
        FetchError::UnknownTopicOrPartition | FetchError::UnknownTopicId
    );
    FetchPartitionResponse {
        index,
        error_code: error.error_code().code(),
        high_watermark: NONE,
        // As in Kafka: none of what is not there, null for other errors.
        aborted_transactions: is_unknown.then(Vec::new),
        ..FetchPartitionResponse::default()
    }
}

/// The first version with topic ids.
const BY_ID_SINCE: i16 = 13;
const READ_COMMITTED: i8 = 1;
/// No offset.
const NONE: i64 = -1;
