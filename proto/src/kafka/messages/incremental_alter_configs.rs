//! IncrementalAlterConfigs (key 44), v0 to v1.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - A request changes the settings that it names and leaves all others.
//!
//! v1 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Settings to change.
    IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// The settings of one topic or broker.
    AlterConfigsResource {
        /// 2: topic; 4: broker.
        resource_type: i8,
        resource_name: Str,
        configs: Vec<AlterConfigsEntry>,
    }

    /// One change.
    AlterConfigsEntry {
        name: Str,
        /// 0: set; 1: back to the default; 2: append to a list; 3: remove from a list.
        operation: i8,
        value: Option<Str>,
    }

    /// What became of each resource.
    IncrementalAlterConfigsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterConfigsResult>,
    }

    /// What became of one resource.
    AlterConfigsResult {
        error_code: i16,
        error_message: Option<Str>,
        resource_type: i8,
        resource_name: Str,
    }
}
