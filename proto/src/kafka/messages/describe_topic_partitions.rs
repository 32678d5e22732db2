//! DescribeTopicPartitions (key 75), v0.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - An answer that is cut off has a cursor; the next request starts there.
//!
//! Flexible from the start.

use crate::cursor::{Str, Uuid};
use crate::kafka::message::message;
use crate::kafka::wire::nullable;

message! {
    /// Which topics to describe, from where on.
    DescribeTopicPartitionsRequest {
        topics: Vec<DescribeTopicPartitionsAsked>,
        /// At most so many partitions, of all topics together.
        response_partition_limit: i32 = 2000,
        /// Where the last answer ended.
        cursor: Option<DescribeTopicPartitionsCursor>,
    }

    /// One topic to describe.
    DescribeTopicPartitionsAsked {
        name: Str,
    }

    /// The first partition of the next answer.
    DescribeTopicPartitionsCursor {
        topic_name: Str,
        partition_index: i32,
    }

    /// The topics.
    DescribeTopicPartitionsResponse {
        throttle_time_ms: i32,
        topics: Vec<DescribeTopicPartitionsTopic>,
        /// Null when all topics are described.
        next_cursor: Option<DescribeTopicPartitionsCursor>,
    }

    /// One topic.
    DescribeTopicPartitionsTopic {
        error_code: i16,
        name: Option<Str> = Some(Str::default()),
        topic_id: Uuid,
        is_internal: bool,
        partitions: Vec<DescribeTopicPartitionsPartition>,
        /// Bit n is ACL operation n.
        topic_authorized_operations: i32 = i32::MIN,
    }

    /// One partition.
    DescribeTopicPartitionsPartition {
        error_code: i16,
        index: i32,
        leader_id: i32,
        leader_epoch: i32 = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        eligible_leader_replicas: Option<Vec<i32>>,
        last_known_elr: Option<Vec<i32>>,
        offline_replicas: Vec<i32>,
    }
}

nullable!(DescribeTopicPartitionsCursor);
