//! Metadata (key 3), v0 to v12.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - v0 asks for all topics by an empty list; later versions by null, and an empty list is none.
//!
//! v1 controller, racks, internal topics; v2 cluster id; v4 auto-creation is asked for; v5 offline
//! replicas; v7 leader epochs; v8 authorized operations; v9 flexible; v10 topic ids; v11 no cluster
//! operations; v12 requests by topic id.

use crate::cursor::{Str, Uuid};
use crate::kafka::message::message;

message! {
    /// Which topics to describe.
    MetadataRequest {
        topics: Option<Vec<MetadataTopic>> [..; null 1..],
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// One topic to describe; by its id only from version 12 on.
    MetadataTopic {
        topic_id: Uuid [10..] ignorable,
        name: Option<Str> [..; null 10..],
    }

    /// The brokers and the topics that were asked for.
    MetadataResponse {
        throttle_time_ms: i32 [3..] ignorable,
        brokers: Vec<MetadataBroker>,
        cluster_id: Option<Str> [2..] ignorable,
        controller_id: i32 [1..] ignorable = -1,
        topics: Vec<MetadataTopicResponse>,
        /// Bit n is ACL operation n.
        cluster_authorized_operations: i32 [8..=10] = i32::MIN,
    }

    /// A broker and where it can be reached.
    MetadataBroker {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str> [1..] ignorable,
    }

    /// One topic.
    MetadataTopicResponse {
        error_code: i16,
        name: Option<Str> [..; null 12..],
        topic_id: Uuid [10..] ignorable,
        is_internal: bool [1..] ignorable,
        partitions: Vec<MetadataPartition>,
        /// Bit n is ACL operation n.
        authorized_operations: i32 [8..] = i32::MIN,
    }

    /// One partition.
    MetadataPartition {
        error_code: i16,
        index: i32,
        leader_id: i32,
        leader_epoch: i32 [7..] ignorable = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [5..] ignorable,
    }
}
