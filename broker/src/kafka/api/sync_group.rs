//! SyncGroup (key 14), v0 to v5.
//!
//! Floor 5 of broker.
//!
//! - Waits until the leader's assignments are there and durable.
//! - v5 and newer name protocol type and protocol, else error 23; a success tells them, too.
//! - An assignment is never null.

use bytes::Bytes;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::sync_group::{
    SyncGroupAssignment, SyncGroupRequest, SyncGroupResponse,
};

use super::Call;
use crate::error::GroupError;
use crate::kafka::errors::WireError;
use crate::kafka::fan_out;
use crate::service::groups::{Member, Sync, Synced};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    match sync(call, request).await {
        Ok(synced) => SyncGroupResponse {
            protocol_type: Some(Str::from(synced.protocol_type)),
            protocol_name: Some(Str::from(synced.protocol)),
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(error) => SyncGroupResponse {
            error_code: error.error_code().code(),
            ..SyncGroupResponse::default()
        },
    }
}

async fn sync(call: Call<'_>, request: SyncGroupRequest) -> Result<Synced, GroupError> {
    let is_told = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= PROTOCOL_SINCE && !is_told {
        return Err(GroupError::InconsistentProtocol {
            why: "the request names no protocol type or no protocol".to_owned(),
        });
    }
    for assigned in &request.assignments {
        fan_out::check_member(assigned.assignment.len(), call.service.config())?;
    }
    let sync = Sync {
        member: Member {
            member_id: request.member_id.into(),
            instance_id: request.group_instance_id.map(String::from),
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type.map(String::from),
        protocol: request.protocol_name.map(String::from),
        assignments: request.assignments.into_iter().map(assignment).collect(),
    };
    call.service.sync_group(request.group_id.into(), sync).await
}

fn assignment(assigned: SyncGroupAssignment) -> (String, Bytes) {
    // It is kept while the generation lives, and must not keep a whole frame with it.
    let assignment = Bytes::copy_from_slice(&assigned.assignment);
    (assigned.member_id.into(), assignment)
}

/// The first version that names the protocol.
const PROTOCOL_SINCE: i16 = 5;
