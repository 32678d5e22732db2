//! DeleteTopics (key 20), v1 to v6.
//!
//! Floor 5 of broker.
//!
//! - v6 names topics by name or by id, and answers with both.
//! - A topic that has both or neither is answered with error 42; the others are deleted.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::delete_topics::{
    DeleteTopic, DeleteTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::Call;
use crate::ids::{TopicId, TopicRef};
use crate::kafka::errors::WireError;
use crate::service::topics::DeletedTopic;

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let mut topics: Vec<TopicRef> = request
        .topic_names
        .into_iter()
        .map(|name| TopicRef::Name(name.into()))
        .collect();
    let mut refused = Vec::new();
    for DeleteTopic { name, topic_id } in request.topics {
        match (name, topic_id.is_nil()) {
            (Some(name), true) => topics.push(TopicRef::Name(name.into())),
            (None, false) => topics.push(TopicRef::Id(TopicId(topic_id.0))),
            (name, _) => refused.push(DeleteTopicResult {
                name,
                topic_id,
                error_code: ErrorCode::InvalidRequest.code(),
                error_message: Some(Str::from_static("a topic has a name or an id, not both")),
            }),
        }
    }
    let deleted = call.service.delete_topics(topics).await;
    DeleteTopicsResponse {
        topics: deleted
            .into_iter()
            .map(|one| answer(call.version, one))
            .chain(refused)
            .collect(),
        ..DeleteTopicsResponse::default()
    }
}

fn answer(version: i16, deleted: DeletedTopic) -> DeleteTopicResult {
    match deleted.result {
        Ok((name, id)) => DeleteTopicResult {
            name: Some(Str::from(name)),
            topic_id: Uuid(id.0),
            ..DeleteTopicResult::default()
        },
        Err(error) => {
            let (name, topic_id) = match deleted.asked {
                TopicRef::Name(name) => (Some(Str::from(name)), Uuid::NIL),
                TopicRef::Id(id) => (None, Uuid(id.0)),
            };
            DeleteTopicResult {
                name,
                topic_id,
                error_code: match error.error_code() {
                    ErrorCode::TopicDeletionDisabled if version < DISABLED_SINCE => {
                        ErrorCode::InvalidRequest.code()
                    }
                    error => error.code(),
                },
                error_message: error.message(),
            }
        }
    }
}

/// The first version that knows of brokers where topics cannot be deleted.
const DISABLED_SINCE: i16 = 3;
