//! OffsetDelete (key 47), v0.
//!
//! Floor 5 of broker.
//!
//! - Each partition has an answer of its own; what is wrong with the group is the answer of all,
//!   without topics. A group without a name, which old clients may commit to, is error 24 here.
//! - A topic that members are subscribed to keeps its offsets: error 86.

use highwater_proto::kafka::messages::offset_delete::{
    OffsetDeletePartitionResult, OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteTopicResult,
};

use super::Call;
use crate::error::GroupError;
use crate::kafka::errors::{WireError, code_of};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let asked = request.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (String::from(topic.name.clone()), partition.index))
    });
    let asked: Vec<(String, i32)> = asked.collect();
    let deleted = match request.group_id.is_empty() {
        true => Err(GroupError::InvalidGroupId),
        false => {
            let group = request.group_id.into();
            call.service.delete_offsets(group, asked).await
        }
    };
    let mut results = match deleted {
        Ok(results) => results.into_iter(),
        Err(error) => {
            return OffsetDeleteResponse {
                error_code: error.error_code().code(),
                ..OffsetDeleteResponse::default()
            };
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().zip(results.by_ref());
        OffsetDeleteTopicResult {
            name: topic.name,
            partitions: partitions
                .map(|(partition, result)| OffsetDeletePartitionResult {
                    index: partition.index,
                    error_code: code_of(&result),
                })
                .collect(),
        }
    });
    OffsetDeleteResponse {
        topics: topics.collect(),
        ..OffsetDeleteResponse::default()
    }
}
