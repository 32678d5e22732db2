//! CreatePartitions (key 37), v0 to v3.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - `count` is the new total, which has to exceed the present one.
//!
//! v2 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Topics that get more partitions.
    CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    /// One topic and its new number of partitions.
    CreatePartitionsTopic {
        name: Str,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    /// The brokers of one new partition.
    CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }

    /// What became of each topic.
    CreatePartitionsResponse {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsResult>,
    }

    /// What became of one topic.
    CreatePartitionsResult {
        name: Str,
        error_code: i16,
        error_message: Option<Str>,
    }
}
