//! ListGroups (key 16), v0 to v5.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - An empty filter lets everything through.
//!
//! v1 throttle time; v2 no layout; v3 flexible; v4 states; v5 types.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which groups to list.
    ListGroupsRequest {
        states_filter: Vec<Str> [4..],
        types_filter: Vec<Str> [5..],
    }

    /// The groups.
    ListGroupsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: i16,
        groups: Vec<ListedGroup>,
    }

    /// One group.
    ListedGroup {
        group_id: Str,
        protocol_type: Str,
        group_state: Str [4..] ignorable,
        /// `Classic` or `Consumer`.
        group_type: Str [5..] ignorable,
    }
}
