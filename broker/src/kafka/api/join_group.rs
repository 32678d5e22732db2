//! JoinGroup (key 11), v0 to v9.
//!
//! Floor 5 of broker.
//!
//! - Waits until the group's generation is complete.
//! - v0 has no rebalance timeout: the session timeout stands for it.
//! - v4 and newer, members that are not static: the first answer is error 79 with the member's id,
//!   with which it joins again.
//! - An error has generation -1, and no protocol: null from v7 on, empty before.
//! - A leader may keep the assignments as they are from v9 on.

use bytes::Bytes;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::join_group::{
    JoinGroupMember, JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse,
};

use super::Call;
use crate::error::GroupError;
use crate::ids::Ids;
use crate::kafka::errors::WireError;
use crate::kafka::fan_out;
use crate::service::groups::{Join, Joined, JoinedMember};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member_id = request.member_id.detached();
    match join(call, request).await {
        Ok(joined) => answer(joined),
        Err(GroupError::MemberIdRequired { member_id }) => {
            let error = GroupError::MemberIdRequired {
                member_id: String::new(),
            };
            refusal(call.version, Str::from(member_id), &error)
        }
        Err(error) => refusal(call.version, member_id, &error),
    }
}

async fn join(call: Call<'_>, request: JoinGroupRequest) -> Result<Joined, GroupError> {
    let config = call.service.config();
    let instance_id = request.group_instance_id.map(String::from);
    fan_out::check_id("group", &request.group_id, config)?;
    fan_out::check_id("member", &request.member_id, config)?;
    fan_out::check_id(
        "instance",
        instance_id.as_deref().unwrap_or_default(),
        config,
    )?;
    let metadata = request.protocols.iter().map(|protocol| &protocol.metadata);
    fan_out::check_member(metadata.map(Bytes::len).sum(), config)?;
    let client_id = call.session.client_id();
    let new_member_id = if request.member_id.is_empty() {
        new_member_id(
            call.service.ids(),
            instance_id.as_deref().unwrap_or(&client_id),
            config.group_id_max_bytes,
        )?
    } else {
        String::new()
    };
    let rebalance_timeout_ms = match request.rebalance_timeout_ms {
        timeout if call.version >= REBALANCE_TIMEOUT_SINCE && timeout >= 0 => timeout,
        _ => request.session_timeout_ms,
    };
    let join = Join {
        member_id: request.member_id.into(),
        known_member_only: call.version >= KNOWN_MEMBER_SINCE && instance_id.is_none(),
        instance_id,
        new_member_id,
        client_id,
        client_host: call.session.client_host(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.into(),
        protocols: request.protocols.into_iter().map(protocol).collect(),
        may_skip_assignment: call.version >= SKIP_ASSIGNMENT_SINCE,
    };
    call.service.join_group(request.group_id.into(), join).await
}

/// An id for a member that has none; not longer than it may come back, whatever its client is
/// called.
fn new_member_id(ids: &Ids, prefix: &str, bytes_max: usize) -> Result<String, GroupError> {
    let prefix_bytes_max = bytes_max.saturating_sub(UUID_BYTES);
    let prefix = &prefix[..prefix.floor_char_boundary(prefix_bytes_max)];
    ids.member(prefix).map_err(|error| GroupError::Unavailable {
        why: error.to_string(),
    })
}

fn protocol(protocol: JoinGroupProtocol) -> (String, Bytes) {
    // It is kept while the member lives, and must not keep a whole frame with it.
    let metadata = Bytes::copy_from_slice(&protocol.metadata);
    (protocol.name.into(), metadata)
}

fn answer(joined: Joined) -> JoinGroupResponse {
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: Some(Str::from(joined.protocol_type)),
        protocol_name: Some(Str::from(joined.protocol)),
        leader: Str::from(joined.leader),
        skip_assignment: joined.skip_assignment,
        member_id: Str::from(joined.member_id),
        members: joined.members.into_iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }
}

fn member(member: JoinedMember) -> JoinGroupMember {
    JoinGroupMember {
        member_id: Str::from(member.member_id),
        group_instance_id: member.instance_id.map(Str::from),
        metadata: member.metadata,
    }
}

fn refusal(version: i16, member_id: Str, error: &GroupError) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.error_code().code(),
        protocol_name: (version < NULL_PROTOCOL_SINCE).then(Str::default),
        member_id,
        ..JoinGroupResponse::default()
    }
}

/// The first version with a rebalance timeout.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// The first version whose members are given an id before they join.
const KNOWN_MEMBER_SINCE: i16 = 4;
/// The first version whose protocol may be null.
const NULL_PROTOCOL_SINCE: i16 = 7;
/// The first version whose leader may be told to keep the assignments.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;
/// What follows the prefix of a member's id: `-` and a UUID.
const UUID_BYTES: usize = 37;
