//! ListOffsets (key 2), v0 to v9.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - v0 asks for a list of offsets and gets one; every later version asks for a single offset.
//!
//! v2 isolation; v4 leader epochs; v6 flexible; v7 the largest timestamp (-3); v8 local start (-4);
//! v9 tiered (-5).

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which offsets to look up by time.
    ListOffsetsRequest {
        replica_id: i32 = -1,
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic>,
    }

    /// The partitions of one topic to look up.
    ListOffsetsTopic {
        name: Str,
        partitions: Vec<ListOffsetsPartition>,
    }

    /// One partition to look up.
    ListOffsetsPartition {
        index: i32,
        current_leader_epoch: i32 [4..] ignorable = -1,
        /// Milliseconds since 1970; or -1: the end, -2: the start, -3: the largest timestamp.
        timestamp: i64,
        max_num_offsets: i32 [..=0] = 1,
    }

    /// The offsets found.
    ListOffsetsResponse {
        throttle_time_ms: i32 [2..] ignorable,
        topics: Vec<ListOffsetsTopicResponse>,
    }

    /// The offsets found in one topic.
    ListOffsetsTopicResponse {
        name: Str,
        partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// The offset found in one partition.
    ListOffsetsPartitionResponse {
        index: i32,
        error_code: i16,
        /// Descending; version 0 has them instead of `timestamp` and `offset`.
        old_style_offsets: Vec<i64> [..=0],
        timestamp: i64 [1..] = -1,
        offset: i64 [1..] = -1,
        leader_epoch: i32 [4..] = -1,
    }
}
