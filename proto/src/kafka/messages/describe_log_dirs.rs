//! DescribeLogDirs (key 35), v1 to v4.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Null topics ask for all partitions.
//!
//! v2 flexible; v3 an error for the whole answer; v4 the sizes of the disk.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which partitions to describe.
    DescribeLogDirsRequest {
        topics: Option<Vec<DescribeLogDirsAskedTopic>> = Some(Vec::new()),
    }

    /// The partitions of one topic to describe.
    DescribeLogDirsAskedTopic {
        topic: Str,
        partitions: Vec<i32>,
    }

    /// The directories.
    DescribeLogDirsResponse {
        throttle_time_ms: i32,
        error_code: i16 [3..] ignorable,
        results: Vec<DescribeLogDirsResult>,
    }

    /// One directory.
    DescribeLogDirsResult {
        error_code: i16,
        log_dir: Str,
        topics: Vec<DescribeLogDirsTopic>,
        /// The size of the disk; -1 for unknown.
        total_bytes: i64 [4..] ignorable = -1,
        /// What is free of it; -1 for unknown.
        usable_bytes: i64 [4..] ignorable = -1,
    }

    /// The partitions of one topic in a directory.
    DescribeLogDirsTopic {
        name: Str,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    /// One partition in a directory.
    DescribeLogDirsPartition {
        index: i32,
        /// Bytes of its segments.
        partition_size: i64,
        offset_lag: i64,
        /// Whether it is on its way into this directory.
        is_future_key: bool,
    }
}
