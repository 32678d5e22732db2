//! SyncGroup (key 14), v0 to v5.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - An assignment is never null, not even beside an error.
//!
//! v1 throttle time; v2 no layout; v3 static members; v4 flexible; v5 protocol type and protocol.

use bytes::Bytes;

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// A member asks for its assignment; the leader brings those of all.
    SyncGroupRequest {
        group_id: Str,
        generation_id: i32,
        member_id: Str,
        group_instance_id: Option<Str> [3..],
        protocol_type: Option<Str> [5..] ignorable,
        protocol_name: Option<Str> [5..] ignorable,
        /// From the leader; empty from the others.
        assignments: Vec<SyncGroupAssignment>,
    }

    /// The assignment of one member.
    SyncGroupAssignment {
        member_id: Str,
        assignment: Bytes,
    }

    /// The member's assignment.
    SyncGroupResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: i16,
        protocol_type: Option<Str> [5..] ignorable,
        protocol_name: Option<Str> [5..] ignorable,
        assignment: Bytes,
    }
}
