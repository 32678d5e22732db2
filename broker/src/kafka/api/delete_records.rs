//! DeleteRecords (key 21), v0 to v2.
//!
//! Floor 5 of broker.
//!
//! - Everything below the offset is gone; -1 stands for the high watermark.
//! - Answers with the new start of each log.

use highwater_log::types::Offset;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};

use super::Call;
use crate::kafka::errors::code_of;
use crate::service::offsets::{DeleteRecordsPartition, DeletedRecords};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let sizes = request
        .topics
        .iter()
        .map(|topic| (topic.name.clone(), topic.partitions.len()));
    let sizes: Vec<(Str, usize)> = sizes.collect();
    let partitions = request.topics.into_iter().flat_map(|topic| {
        let name = String::from(topic.name);
        topic
            .partitions
            .into_iter()
            .map(move |asked| DeleteRecordsPartition {
                topic: name.clone(),
                partition: asked.index,
                before: Offset(asked.offset),
            })
    });
    let mut deleted = call
        .service
        .delete_records(partitions.collect())
        .await
        .into_iter();
    let topics = sizes
        .into_iter()
        .map(|(name, count)| DeleteRecordsTopicResult {
            name,
            partitions: deleted.by_ref().take(count).map(answer).collect(),
        });
    DeleteRecordsResponse {
        topics: topics.collect(),
        ..DeleteRecordsResponse::default()
    }
}

fn answer(deleted: DeletedRecords) -> DeleteRecordsPartitionResult {
    DeleteRecordsPartitionResult {
        index: deleted.partition,
        low_watermark: deleted.result.as_ref().map_or(NONE, |start| start.0),
        error_code: code_of(&deleted.result),
    }
}

/// No offset.
const NONE: i64 = -1;
