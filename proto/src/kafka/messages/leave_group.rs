//! LeaveGroup (key 13), v0 to v5.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - v3 replaces the one member by a list of members, each with an answer of its own.
//!
//! v1 throttle time; v2 no layout; v3 several members; v4 flexible; v5 reasons.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Members leave their group.
    LeaveGroupRequest {
        group_id: Str,
        member_id: Str [..=2],
        members: Vec<LeaveGroupMember> [3..],
    }

    /// One member that leaves.
    LeaveGroupMember {
        /// Empty for a static member that is named by its instance id.
        member_id: Str,
        group_instance_id: Option<Str>,
        reason: Option<Str> [5..] ignorable,
    }

    /// What became of it.
    LeaveGroupResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: i16,
        members: Vec<LeaveGroupResult> [3..],
    }

    /// What became of one member.
    LeaveGroupResult {
        member_id: Str,
        group_instance_id: Option<Str>,
        error_code: i16,
    }
}
