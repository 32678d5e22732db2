//! DeleteGroups (key 42), v0 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Each group has an answer of its own.
//!
//! v1 no layout; v2 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Groups to delete.
    DeleteGroupsRequest {
        groups_names: Vec<Str>,
    }

    /// What became of them.
    DeleteGroupsResponse {
        throttle_time_ms: i32,
        results: Vec<DeletableGroupResult>,
    }

    /// What became of one group.
    DeletableGroupResult {
        group_id: Str,
        error_code: i16,
    }
}
