//! CreateTopics (key 19), v2 to v7.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - A topic has a count of partitions or an assignment, not both.
//!
//! v4 -1 asks for the broker's defaults; v5 flexible, answers with the configuration; v7 topic ids.

use crate::cursor::{Str, Uuid};
use crate::kafka::message::message;

message! {
    /// Topics to create.
    CreateTopicsRequest {
        topics: Vec<CreateTopic>,
        timeout_ms: i32 = 60_000,
        validate_only: bool,
    }

    /// One topic to create.
    CreateTopic {
        name: Str,
        /// -1: the broker's default, or the count of the assignments.
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreateTopicAssignment>,
        configs: Vec<CreateTopicConfig>,
    }

    /// The brokers of one partition.
    CreateTopicAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    /// One setting of a topic.
    CreateTopicConfig {
        name: Str,
        value: Option<Str>,
    }

    /// What became of each topic.
    CreateTopicsResponse {
        throttle_time_ms: i32,
        topics: Vec<CreateTopicResult>,
    }

    /// What became of one topic.
    CreateTopicResult {
        name: Str,
        topic_id: Uuid [7..] ignorable,
        error_code: i16,
        error_message: Option<Str>,
        num_partitions: i32 [5..] ignorable = -1,
        replication_factor: i16 [5..] ignorable = -1,
        configs: Option<Vec<CreateTopicResultConfig>> [5..] ignorable = Some(Vec::new()),
        @tag 0 topic_config_error_code: i16 [5..] ignorable,
    }

    /// One setting of a topic that was created.
    CreateTopicResultConfig {
        name: Str,
        value: Option<Str>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }
}
