//! OffsetFetch (key 9), v1 to v9.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - v8 replaces the one group by a list of groups, and the one answer by a list of answers.
//! - Null topics ask for all that the group has committed; an empty list asks for nothing.
//!
//! v2 null topics, an error for the group; v3 throttle time; v5 leader epochs; v6 flexible; v7 asks
//! for stable offsets only; v8 several groups; v9 member and epoch of the new group protocol.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which committed offsets to read.
    OffsetFetchRequest {
        group_id: Str [..=7],
        topics: Option<Vec<OffsetFetchTopic>> [..=7; null 2..] = Some(Vec::new()),
        groups: Vec<OffsetFetchGroup> [8..],
        require_stable: bool [7..],
    }

    /// The partitions of one topic.
    OffsetFetchTopic {
        name: Str,
        partition_indexes: Vec<i32>,
    }

    /// What to read of one group.
    OffsetFetchGroup {
        group_id: Str,
        member_id: Option<Str> [9..] ignorable,
        member_epoch: i32 [9..] ignorable = -1,
        topics: Option<Vec<OffsetFetchTopic>> = Some(Vec::new()),
    }

    /// The committed offsets.
    OffsetFetchResponse {
        throttle_time_ms: i32 [3..] ignorable,
        topics: Vec<OffsetFetchTopicResult> [..=7],
        error_code: i16 [2..=7] ignorable,
        groups: Vec<OffsetFetchGroupResult> [8..],
    }

    /// The committed offsets of one topic.
    OffsetFetchTopicResult {
        name: Str,
        partitions: Vec<OffsetFetchPartitionResult>,
    }

    /// The committed offset of one partition.
    OffsetFetchPartitionResult {
        index: i32,
        /// The next offset to read; -1 for none.
        committed_offset: i64,
        committed_leader_epoch: i32 [5..] ignorable = -1,
        metadata: Option<Str> = Some(Str::default()),
        error_code: i16,
    }

    /// The committed offsets of one group.
    OffsetFetchGroupResult {
        group_id: Str,
        topics: Vec<OffsetFetchTopicResult>,
        error_code: i16,
    }
}
