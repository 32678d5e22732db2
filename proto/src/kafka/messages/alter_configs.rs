//! AlterConfigs (key 33), v0 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - A request replaces all settings of a resource: what it does not name goes back to its default.
//!
//! v1 no layout; v2 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// All settings of resources.
    AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    /// All settings of one topic or broker.
    AlterConfigsResource {
        /// 2: topic; 4: broker.
        resource_type: i8,
        resource_name: Str,
        configs: Vec<AlterConfigsEntry>,
    }

    /// One setting.
    AlterConfigsEntry {
        name: Str,
        value: Option<Str> = Some(Str::default()),
    }

    /// What became of each resource.
    AlterConfigsResponse {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResult>,
    }

    /// What became of one resource.
    AlterConfigsResult {
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        resource_type: i8,
        resource_name: Str,
    }
}
