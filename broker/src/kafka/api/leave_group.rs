//! LeaveGroup (key 13), v0 to v5.
//!
//! Floor 5 of broker.
//!
//! - v0 to v2 name one member, whose error is that of the answer. v3 and newer name several, each
//!   with an error of its own; a static one by its instance id alone, too.

use highwater_proto::kafka::messages::leave_group::{
    LeaveGroupMember, LeaveGroupRequest, LeaveGroupResponse, LeaveGroupResult,
};

use super::Call;
use crate::error::GroupError;
use crate::kafka::errors::{WireError, code_of};
use crate::service::groups::Leaving;

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let group = String::from(request.group_id);
    if call.version < MEMBERS_SINCE {
        let leaving = Leaving {
            member_id: request.member_id.into(),
            instance_id: None,
        };
        let left = call.service.leave_group(group, vec![leaving]).await;
        let result = left.and_then(|results| results.into_iter().collect::<Result<(), _>>());
        return LeaveGroupResponse {
            error_code: code_of(&result),
            ..LeaveGroupResponse::default()
        };
    }
    let leaving = request.members.iter().map(|member| Leaving {
        member_id: member.member_id.clone().into(),
        instance_id: member.group_instance_id.clone().map(String::from),
    });
    match call.service.leave_group(group, leaving.collect()).await {
        Ok(results) => LeaveGroupResponse {
            members: request
                .members
                .into_iter()
                .zip(results)
                .map(answer)
                .collect(),
            ..LeaveGroupResponse::default()
        },
        Err(error) => LeaveGroupResponse {
            error_code: error.error_code().code(),
            ..LeaveGroupResponse::default()
        },
    }
}

fn answer((member, result): (LeaveGroupMember, Result<(), GroupError>)) -> LeaveGroupResult {
    LeaveGroupResult {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code_of(&result),
    }
}

/// The first version with a list of members.
const MEMBERS_SINCE: i16 = 3;
