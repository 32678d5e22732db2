//! OffsetForLeaderEpoch (key 23), v2 to v4.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - The response carries the largest epoch that the log knows up to the one asked for, and where
//!   it ends; both -1 if there is none.
//!
//! v3 replica id; v4 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Asks where leader epochs end.
    OffsetForLeaderEpochRequest {
        replica_id: i32 [3..] ignorable = -2,
        topics: Vec<EpochTopic>,
    }

    /// The partitions of one topic.
    EpochTopic {
        name: Str,
        partitions: Vec<EpochPartition>,
    }

    /// One partition and the epoch asked for.
    EpochPartition {
        index: i32,
        current_leader_epoch: i32 = -1,
        leader_epoch: i32,
    }

    /// Where the epochs end.
    OffsetForLeaderEpochResponse {
        throttle_time_ms: i32,
        topics: Vec<EpochTopicResult>,
    }

    /// Where the epochs end in one topic.
    EpochTopicResult {
        name: Str,
        partitions: Vec<EpochEndOffset>,
    }

    /// Where the epoch ends in one partition.
    EpochEndOffset {
        error_code: i16,
        index: i32,
        leader_epoch: i32 = -1,
        end_offset: i64 = -1,
    }
}
