//! AlterPartitionReassignments (key 45), v0.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Null replicas cancel what is under way.
//!
//! Flexible from the start.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Partitions to move to other brokers.
    AlterPartitionReassignmentsRequest {
        timeout_ms: i32 = 60_000,
        topics: Vec<ReassignableTopic>,
    }

    /// The partitions of one topic.
    ReassignableTopic {
        name: Str,
        partitions: Vec<ReassignablePartition>,
    }

    /// One partition.
    ReassignablePartition {
        index: i32,
        replicas: Option<Vec<i32>>,
    }

    /// What became of it.
    AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        responses: Vec<ReassignableTopicResponse>,
    }

    /// What became of the partitions of one topic.
    ReassignableTopicResponse {
        name: Str,
        partitions: Vec<ReassignablePartitionResponse>,
    }

    /// What became of one partition.
    ReassignablePartitionResponse {
        index: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
    }
}
