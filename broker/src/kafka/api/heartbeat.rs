//! Heartbeat (key 12), v0 to v4.
//!
//! Floor 5 of broker.
//!
//! - Error 27 while the group is being rebalanced: the member is alive, and joins again.

use highwater_proto::kafka::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::Call;
use crate::kafka::errors::code_of;
use crate::service::groups::Member;

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let member = Member {
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(String::from),
        generation: request.generation_id,
    };
    let result = call.service.heartbeat(&request.group_id, member).await;
    HeartbeatResponse {
        error_code: code_of(&result),
        ..HeartbeatResponse::default()
    }
}
