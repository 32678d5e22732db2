//! CreatePartitions (key 37), v0 to v3.
//!
//! Floor 5 of broker.
//!
//! - `count` is the new total. Each topic has one answer: clients fail on a missing one.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsResult,
    CreatePartitionsTopic,
};

use super::Call;
use crate::kafka::errors::{code_of, message_of};
use crate::service::topics::{CreatePartitionsCall, NewPartitions};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let topics = request.topics.into_iter().map(new_partitions).collect();
    let validate_only = request.validate_only;
    let created = call.service.create_partitions(CreatePartitionsCall {
        topics,
        validate_only,
    });
    let results = created
        .await
        .into_iter()
        .map(|topic| CreatePartitionsResult {
            error_code: code_of(&topic.result),
            error_message: message_of(&topic.result),
            name: Str::from(topic.name),
        });
    CreatePartitionsResponse {
        results: results.collect(),
        ..CreatePartitionsResponse::default()
    }
}

fn new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let assignments = topic
        .assignments
        .map(|all| all.into_iter().map(|one| one.broker_ids));
    NewPartitions {
        name: topic.name.into(),
        total: topic.count,
        assignments: assignments.map(Iterator::collect),
    }
}
