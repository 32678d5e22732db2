//! DescribeQuorum (key 55), v0 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Flexible from the start.
//!
//! v1 when a replica last asked; v2 directories, messages, and where the voters can be reached.

use crate::cursor::{Str, Uuid};
use crate::kafka::message::message;

message! {
    /// Whose quorum to describe.
    DescribeQuorumRequest {
        topics: Vec<DescribeQuorumAskedTopic>,
    }

    /// The partitions of one topic.
    DescribeQuorumAskedTopic {
        topic_name: Str,
        partitions: Vec<DescribeQuorumAskedPartition>,
    }

    /// One partition.
    DescribeQuorumAskedPartition {
        index: i32,
    }

    /// The quorums.
    DescribeQuorumResponse {
        error_code: i16,
        error_message: Option<Str> [2..] ignorable = Some(Str::default()),
        topics: Vec<DescribeQuorumTopic>,
        nodes: Vec<DescribeQuorumNode> [2..],
    }

    /// The quorums of one topic.
    DescribeQuorumTopic {
        topic_name: Str,
        partitions: Vec<DescribeQuorumPartition>,
    }

    /// The quorum of one partition.
    DescribeQuorumPartition {
        index: i32,
        error_code: i16,
        error_message: Option<Str> [2..] ignorable = Some(Str::default()),
        leader_id: i32,
        leader_epoch: i32,
        high_watermark: i64,
        current_voters: Vec<DescribeQuorumReplica>,
        observers: Vec<DescribeQuorumReplica>,
    }

    /// One member of a quorum.
    DescribeQuorumReplica {
        replica_id: i32,
        replica_directory_id: Uuid [2..],
        log_end_offset: i64,
        /// Milliseconds since 1970; -1 for the leader, or unknown.
        last_fetch_timestamp: i64 [1..] ignorable = -1,
        /// Milliseconds since 1970; -1 for unknown.
        last_caught_up_timestamp: i64 [1..] ignorable = -1,
    }

    /// A node, and where it can be reached.
    DescribeQuorumNode {
        node_id: i32,
        listeners: Vec<DescribeQuorumListener>,
    }

    /// One address of a node.
    DescribeQuorumListener {
        name: Str,
        host: Str,
        port: u16,
    }
}
