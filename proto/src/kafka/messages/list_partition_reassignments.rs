//! ListPartitionReassignments (key 46), v0.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Null topics ask for all that is under way.
//!
//! Flexible from the start.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which partitions to look at.
    ListPartitionReassignmentsRequest {
        timeout_ms: i32 = 60_000,
        topics: Option<Vec<ListPartitionReassignmentsTopic>>,
    }

    /// The partitions of one topic.
    ListPartitionReassignmentsTopic {
        name: Str,
        partition_indexes: Vec<i32>,
    }

    /// What is on its way to other brokers.
    ListPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        topics: Vec<OngoingTopicReassignment>,
    }

    /// What is on its way of one topic.
    OngoingTopicReassignment {
        name: Str,
        partitions: Vec<OngoingPartitionReassignment>,
    }

    /// One partition on its way.
    OngoingPartitionReassignment {
        index: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32>,
        removing_replicas: Vec<i32>,
    }
}
