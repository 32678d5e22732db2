//! Fetch (key 1), v4 to v17.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - `records` of a response are never null on the wire, not even beside an error, and they are
//!   never copied.
//!
//! v7 sessions; v9 leader epochs; v12 flexible; v13 topic ids instead of names; v15 moves the
//! replica id into a tagged field; v16 tells where a new leader can be reached; v17 tells a
//! follower's directory.

use crate::cursor::{Records, Str, Uuid};
use crate::kafka::message::message;

message! {
    /// Which partitions to read, from where, and how long to wait for how much.
    FetchRequest {
        replica_id: i32 [..=14] = -1,
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 = i32::MAX,
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8,
        session_id: i32 [7..] ignorable,
        session_epoch: i32 [7..] ignorable = -1,
        topics: Vec<FetchTopic>,
        forgotten_topics: Vec<FetchForgottenTopic> [7..],
        rack_id: Str [11..] ignorable,
        @tag 0 cluster_id: Option<Str> [12..] ignorable,
        @tag 1 replica_state: FetchReplicaState [15..],
    }

    /// Who asks, if it is a replica.
    FetchReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    /// The partitions of one topic to read.
    FetchTopic {
        name: Str [..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<FetchPartition>,
    }

    /// One partition to read.
    FetchPartition {
        index: i32,
        current_leader_epoch: i32 [9..] ignorable = -1,
        fetch_offset: i64,
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        max_bytes: i32,
        @tag 0 replica_directory_id: Uuid [17..] ignorable,
    }

    /// Partitions that leave the session.
    FetchForgottenTopic {
        name: Str [..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<i32>,
    }

    /// What was read.
    FetchResponse {
        throttle_time_ms: i32,
        error_code: i16 [7..] ignorable,
        session_id: i32 [7..],
        topics: Vec<FetchTopicResponse>,
        @tag 0 node_endpoints: Vec<FetchNodeEndpoint> [16..],
    }

    /// What was read of one topic.
    FetchTopicResponse {
        name: Str [..=12] ignorable,
        topic_id: Uuid [13..] ignorable,
        partitions: Vec<FetchPartitionResponse>,
    }

    /// What was read of one partition.
    FetchPartitionResponse {
        index: i32,
        error_code: i16,
        high_watermark: i64,
        last_stable_offset: i64 = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        aborted_transactions: Option<Vec<FetchAbortedTransaction>>,
        preferred_read_replica: i32 [11..] = -1,
        records: Records,
        @tag 0 diverging_epoch: FetchEpochEndOffset [12..],
        @tag 1 current_leader: FetchLeader [12..],
        @tag 2 snapshot_id: FetchSnapshotId [12..],
    }

    /// The largest epoch that both logs have, and where it ends.
    FetchEpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    /// The leader that a client should have asked.
    FetchLeader {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// A snapshot to be read instead of the log.
    FetchSnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    /// A transaction whose records a reader of committed data leaves out.
    FetchAbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }

    /// Where a new leader can be reached.
    FetchNodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }
}
