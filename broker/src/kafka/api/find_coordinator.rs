//! FindCoordinator (key 10), v0 to v6.
//!
//! Floor 5 of broker.
//!
//! - There are no groups and no transactions here yet: every key is answered with error 15, which
//!   clients try again. The API is offered because librdkafka compresses with lz4 only where it
//!   sees it.
//! - v4 and newer ask for several keys and get one answer each.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::find_coordinator::{
    FindCoordinatorRequest, FindCoordinatorResponse, FindCoordinatorResult,
};

use super::Call;

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let error_code = ErrorCode::CoordinatorNotAvailable.code();
    let error_message = Some(Str::from_static(WHY));
    if call.version < KEYS_SINCE {
        return FindCoordinatorResponse {
            error_code,
            error_message,
            node_id: NOWHERE,
            port: NOWHERE,
            ..FindCoordinatorResponse::default()
        };
    }
    let result = |key| FindCoordinatorResult {
        key,
        node_id: NOWHERE,
        host: Str::default(),
        port: NOWHERE,
        error_code,
        error_message: error_message.clone(),
    };
    FindCoordinatorResponse {
        coordinators: request.coordinator_keys.into_iter().map(result).collect(),
        ..FindCoordinatorResponse::default()
    }
}

/// The first version with a list of keys.
const KEYS_SINCE: i16 = 4;
/// Neither a node nor a port.
const NOWHERE: i32 = -1;
const WHY: &str = "this broker has no groups and no transactions yet";
