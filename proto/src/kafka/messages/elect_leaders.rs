//! ElectLeaders (key 43), v0 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Null partitions ask for all of them.
//!
//! v1 election types, an error for the whole answer; v2 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Partitions whose leader is to be elected.
    ElectLeadersRequest {
        /// 0: the preferred one; 1: any that is left.
        election_type: i8 [1..],
        topic_partitions: Option<Vec<ElectLeadersTopic>> = Some(Vec::new()),
        timeout_ms: i32 = 60_000,
    }

    /// The partitions of one topic.
    ElectLeadersTopic {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// What became of it.
    ElectLeadersResponse {
        throttle_time_ms: i32,
        error_code: i16 [1..],
        replica_election_results: Vec<ElectLeadersTopicResult>,
    }

    /// What became of the partitions of one topic.
    ElectLeadersTopicResult {
        topic: Str,
        partitions: Vec<ElectLeadersPartitionResult>,
    }

    /// What became of one partition.
    ElectLeadersPartitionResult {
        partition_id: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
    }
}
