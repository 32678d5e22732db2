//! DescribeGroups (key 15), v0 to v5.
//!
//! Floor 5 of broker.
//!
//! - A group that does not exist is `Dead`, which is no error.
//! - A group that is named twice is described once, then refused with error 42: a short request
//!   must not ask for an answer without end.
//! - v3 and newer tell what may be done to the group, if asked: nobody is forbidden anything.

use std::collections::HashSet;

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::Call;
use crate::service::groups::{GroupDescription, MemberDescription};

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let authorized_operations = if request.include_authorized_operations {
        GROUP_OPERATIONS
    } else {
        i32::MIN
    };
    let mut named = HashSet::new();
    let describe = |group_id: Str| {
        if !named.insert(group_id.clone()) {
            return DescribedGroup {
                error_code: ErrorCode::InvalidRequest.code(),
                group_id,
                ..DescribedGroup::default()
            };
        }
        DescribedGroup {
            authorized_operations,
            ..answer(call.service.describe_group(&group_id))
        }
    };
    DescribeGroupsResponse {
        groups: request.groups.into_iter().map(describe).collect(),
        ..DescribeGroupsResponse::default()
    }
}

fn answer(group: GroupDescription) -> DescribedGroup {
    DescribedGroup {
        group_id: Str::from(group.group),
        group_state: Str::from_static(group.state.name()),
        protocol_type: Str::from(group.protocol_type),
        protocol_data: Str::from(group.protocol),
        members: group.members.into_iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

fn member(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: Str::from(member.member_id),
        group_instance_id: member.instance_id.map(Str::from),
        client_id: Str::from(member.client_id),
        client_host: Str::from(member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}

/// Everything that can be done to a group, as bits: read, delete, describe, describe its settings
/// and alter them.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
