//! DeleteRecords (key 21), v0 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - The response carries the new start of each log.
//!
//! v2 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Below which offsets records may go.
    DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic>,
        timeout_ms: i32,
    }

    /// The partitions of one topic.
    DeleteRecordsTopic {
        name: Str,
        partitions: Vec<DeleteRecordsPartition>,
    }

    /// One partition.
    DeleteRecordsPartition {
        index: i32,
        /// The new start of the log; -1: the high watermark.
        offset: i64,
    }

    /// What became of each partition.
    DeleteRecordsResponse {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResult>,
    }

    /// What became of the partitions of one topic.
    DeleteRecordsTopicResult {
        name: Str,
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// What became of one partition.
    DeleteRecordsPartitionResult {
        index: i32,
        low_watermark: i64,
        error_code: i16,
    }
}
