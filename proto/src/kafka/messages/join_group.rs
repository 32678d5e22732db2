//! JoinGroup (key 11), v0 to v9.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - The metadata of a member are never null.
//! - An answer without a protocol has a null protocol from v7 on, an empty one before.
//!
//! v1 rebalance timeout; v2 throttle time; v4 a member is first given its id; v5 static members; v6
//! flexible; v7 the protocol type is answered; v8 a reason; v9 the leader may skip the assignment.

use bytes::Bytes;

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// A member joins its group, or joins it again.
    JoinGroupRequest {
        group_id: Str,
        session_timeout_ms: i32,
        /// -1, and in version 0: the session timeout.
        rebalance_timeout_ms: i32 [1..] ignorable = -1,
        /// Empty for a member that has none yet.
        member_id: Str,
        group_instance_id: Option<Str> [5..],
        protocol_type: Str,
        /// What the member can follow, the best first.
        protocols: Vec<JoinGroupProtocol>,
        reason: Option<Str> [8..] ignorable,
    }

    /// One protocol that the member can follow.
    JoinGroupProtocol {
        name: Str,
        metadata: Bytes,
    }

    /// The generation that the member is in.
    JoinGroupResponse {
        throttle_time_ms: i32 [2..] ignorable,
        error_code: i16,
        /// -1 beside an error.
        generation_id: i32 = -1,
        protocol_type: Option<Str> [7..] ignorable,
        protocol_name: Option<Str> [..; null 7..] = Some(Str::default()),
        leader: Str,
        skip_assignment: bool [9..],
        member_id: Str,
        /// For the leader; empty for the others.
        members: Vec<JoinGroupMember>,
    }

    /// One member, for the leader.
    JoinGroupMember {
        member_id: Str,
        group_instance_id: Option<Str> [5..] ignorable,
        metadata: Bytes,
    }
}
