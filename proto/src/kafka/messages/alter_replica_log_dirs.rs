//! AlterReplicaLogDirs (key 34), v1 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Each partition has an answer of its own.
//!
//! v2 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Partitions to move to other directories.
    AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir>,
    }

    /// What goes to one directory.
    AlterReplicaLogDir {
        /// Absolute.
        path: Str,
        topics: Vec<AlterReplicaLogDirTopic>,
    }

    /// The partitions of one topic.
    AlterReplicaLogDirTopic {
        name: Str,
        partitions: Vec<i32>,
    }

    /// What became of it.
    AlterReplicaLogDirsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterReplicaLogDirTopicResult>,
    }

    /// What became of the partitions of one topic.
    AlterReplicaLogDirTopicResult {
        topic_name: Str,
        partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    /// What became of one partition.
    AlterReplicaLogDirPartitionResult {
        index: i32,
        error_code: i16,
    }
}
