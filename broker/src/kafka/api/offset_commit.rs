//! OffsetCommit (key 8), v2 to v9.
//!
//! Floor 5 of broker.
//!
//! - Each partition has an answer of its own; what is wrong with the member is the answer of all.
//! - v2 to v4 may say how long the offsets are kept.
//! - A generation of a group that does not exist: error 22, from v9 on 69.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartition, OffsetCommitPartitionResult, OffsetCommitRequest, OffsetCommitResponse,
    OffsetCommitTopic, OffsetCommitTopicResult,
};

use super::Call;
use crate::error::GroupError;
use crate::kafka::errors::WireError;
use crate::kafka::fan_out;
use crate::service::groups::{Commit, Member, OffsetToCommit};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let asked: Vec<(Str, Vec<i32>)> = request.topics.iter().map(indexes).collect();
    let committed = commit(call, request).await;
    let code = |error: &GroupError| code(call.version, error);
    let mut codes: Box<dyn Iterator<Item = i16> + Send> = match &committed {
        Ok(results) => Box::new(results.iter().map(|one| one.as_ref().err().map_or(0, code))),
        Err(error) => Box::new(std::iter::repeat(code(error))),
    };
    let topics = asked.into_iter().map(|(name, indexes)| {
        let partitions = indexes.into_iter().zip(codes.by_ref());
        OffsetCommitTopicResult {
            name,
            partitions: partitions
                .map(|(index, error_code)| OffsetCommitPartitionResult { index, error_code })
                .collect(),
        }
    });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..OffsetCommitResponse::default()
    }
}

fn indexes(topic: &OffsetCommitTopic) -> (Str, Vec<i32>) {
    let indexes = topic.partitions.iter().map(|partition| partition.index);
    (topic.name.clone(), indexes.collect())
}

async fn commit(
    call: Call<'_>,
    request: OffsetCommitRequest,
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    fan_out::check_id("group", &request.group_id, call.service.config())?;
    let commit = Commit {
        member: Member {
            member_id: request.member_id.into(),
            instance_id: request.group_instance_id.map(String::from),
            generation: request.generation_id,
        },
        retention_ms: Some(request.retention_time_ms).filter(|&retention| retention >= 0),
        offsets: request.topics.into_iter().flat_map(offsets).collect(),
    };
    call.service
        .commit_offsets(request.group_id.into(), commit)
        .await
}

fn offsets(topic: OffsetCommitTopic) -> impl Iterator<Item = OffsetToCommit> {
    let name = String::from(topic.name);
    let offset = move |partition: OffsetCommitPartition| OffsetToCommit {
        topic: name.clone(),
        partition: partition.index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.unwrap_or_default().into(),
    };
    topic.partitions.into_iter().map(offset)
}

fn code(version: i16, error: &GroupError) -> i16 {
    match error {
        GroupError::GenerationOfUnknownGroup { .. } if version >= UNKNOWN_GROUP_SINCE => {
            ErrorCode::GroupIdNotFound.code()
        }
        error => error.error_code().code(),
    }
}

/// The first version that tells an unknown group from an unknown generation.
const UNKNOWN_GROUP_SINCE: i16 = 9;
