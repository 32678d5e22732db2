//! OffsetCommit (key 8), v2 to v9.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Null metadata are the same as empty ones.
//!
//! v3 throttle time; v5 no retention; v6 leader epochs; v7 static members; v8 flexible; v9 other
//! error codes.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Offsets to commit for a group.
    OffsetCommitRequest {
        group_id: Str,
        /// Below 0 for a commit from outside of the group's protocol.
        generation_id: i32 = -1,
        member_id: Str,
        group_instance_id: Option<Str> [7..],
        /// Milliseconds; -1 for the broker's retention.
        retention_time_ms: i64 [..=4] ignorable = -1,
        topics: Vec<OffsetCommitTopic>,
    }

    /// The offsets of one topic.
    OffsetCommitTopic {
        name: Str,
        partitions: Vec<OffsetCommitPartition>,
    }

    /// The offset of one partition.
    OffsetCommitPartition {
        index: i32,
        /// The next offset to read.
        committed_offset: i64,
        committed_leader_epoch: i32 [6..] ignorable = -1,
        committed_metadata: Option<Str> = Some(Str::default()),
    }

    /// What became of the commit.
    OffsetCommitResponse {
        throttle_time_ms: i32 [3..] ignorable,
        topics: Vec<OffsetCommitTopicResult>,
    }

    /// What became of the offsets of one topic.
    OffsetCommitTopicResult {
        name: Str,
        partitions: Vec<OffsetCommitPartitionResult>,
    }

    /// What became of the offset of one partition.
    OffsetCommitPartitionResult {
        index: i32,
        error_code: i16,
    }
}
