//! AlterReplicaLogDirs (key 34), v1 to v2.
//!
//! Floor 5 of broker.
//!
//! - A partition that is asked to go to the only directory is there; another one is error 57.

use highwater_proto::kafka::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
};

use super::Call;
use crate::kafka::errors::code_of;

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    AlterReplicaLogDirsResponse {
        results: request
            .dirs
            .into_iter()
            .flat_map(|dir| answer(call, dir))
            .collect(),
        ..AlterReplicaLogDirsResponse::default()
    }
}

fn answer(call: Call<'_>, dir: AlterReplicaLogDir) -> Vec<AlterReplicaLogDirTopicResult> {
    let AlterReplicaLogDir { path, topics } = dir;
    let topics = topics.into_iter().map(|topic| {
        let name = topic.name;
        let partitions = topic.partitions.into_iter().map(|index| {
            let moved = call
                .service
                .move_to_log_dir(path.as_str(), name.as_str(), index);
            AlterReplicaLogDirPartitionResult {
                index,
                error_code: code_of(&moved),
            }
        });
        AlterReplicaLogDirTopicResult {
            partitions: partitions.collect(),
            topic_name: name.clone(),
        }
    });
    topics.collect()
}
