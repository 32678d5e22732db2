//! OffsetDelete (key 47), v0.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Never flexible.
//! - The error of the whole answer comes before the throttle time.
//!
//! There is one version.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Committed offsets to delete.
    OffsetDeleteRequest {
        group_id: Str,
        topics: Vec<OffsetDeleteTopic>,
    }

    /// The partitions of one topic.
    OffsetDeleteTopic {
        name: Str,
        partitions: Vec<OffsetDeletePartition>,
    }

    /// One partition.
    OffsetDeletePartition {
        index: i32,
    }

    /// What became of it.
    OffsetDeleteResponse {
        error_code: i16,
        throttle_time_ms: i32,
        topics: Vec<OffsetDeleteTopicResult>,
    }

    /// What became of the offsets of one topic.
    OffsetDeleteTopicResult {
        name: Str,
        partitions: Vec<OffsetDeletePartitionResult>,
    }

    /// What became of the offset of one partition.
    OffsetDeletePartitionResult {
        index: i32,
        error_code: i16,
    }
}
