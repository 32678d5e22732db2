//! OffsetForLeaderEpoch (key 23), v2 to v4.
//!
//! Floor 5 of broker.
//!
//! - Answers the largest epoch that the log knows up to the asked one, and where it ends; both -1
//!   if there is none. From it a client learns that a log has lost its tail.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::offset_for_leader_epoch::{
    EpochEndOffset, EpochTopicResult, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::Call;
use crate::kafka::errors::WireError;
use crate::service::offsets::{EpochEndPartition, EpochPartition};

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
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
            .map(move |asked| EpochPartition {
                topic: name.clone(),
                partition: asked.index,
                current_leader_epoch: asked.current_leader_epoch,
                leader_epoch: asked.leader_epoch,
            })
    });
    let mut ends = call
        .service
        .offset_for_leader_epoch(partitions.collect())
        .into_iter();
    let topics = sizes.into_iter().map(|(name, count)| EpochTopicResult {
        name,
        partitions: ends.by_ref().take(count).map(answer).collect(),
    });
    OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..OffsetForLeaderEpochResponse::default()
    }
}

fn answer(end: EpochEndPartition) -> EpochEndOffset {
    let index = end.partition;
    match end.result {
        Ok(end) => EpochEndOffset {
            index,
            leader_epoch: end.epoch,
            end_offset: end.end_offset.0,
            ..EpochEndOffset::default()
        },
        Err(error) => EpochEndOffset {
            index,
            error_code: error.error_code().code(),
            ..EpochEndOffset::default()
        },
    }
}
