//! DescribeGroups (key 15), v0 to v5.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - An unknown group is no error: it is described as dead.
//!
//! v1 throttle time; v2 no layout; v3 authorized operations; v4 static members; v5 flexible.

use bytes::Bytes;

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which groups to describe.
    DescribeGroupsRequest {
        groups: Vec<Str>,
        include_authorized_operations: bool [3..],
    }

    /// The groups.
    DescribeGroupsResponse {
        throttle_time_ms: i32 [1..] ignorable,
        groups: Vec<DescribedGroup>,
    }

    /// One group.
    DescribedGroup {
        error_code: i16,
        group_id: Str,
        /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead`.
        group_state: Str,
        protocol_type: Str,
        /// The protocol that all members follow.
        protocol_data: Str,
        members: Vec<DescribedGroupMember>,
        /// Bit n is ACL operation n.
        authorized_operations: i32 [3..] = i32::MIN,
    }

    /// One member.
    DescribedGroupMember {
        member_id: Str,
        group_instance_id: Option<Str> [4..] ignorable,
        client_id: Str,
        client_host: Str,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }
}
