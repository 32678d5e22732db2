//! FindCoordinator (key 10), v0 to v6.
//!
//! Floor 5 of broker.
//!
//! - Groups (type 0): this broker, at the address that the client came by. Transactions (type 1)
//!   are not here yet: error 15. Share groups (type 2), and types that do not exist: error 42.
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
    let found = find(call, request.key_type);
    if call.version < KEYS_SINCE {
        return FindCoordinatorResponse {
            error_code: found.error_code,
            error_message: found.error_message,
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            ..FindCoordinatorResponse::default()
        };
    }
    let keys = request.coordinator_keys.into_iter();
    FindCoordinatorResponse {
        coordinators: keys
            .map(|key| FindCoordinatorResult {
                key,
                ..found.clone()
            })
            .collect(),
        ..FindCoordinatorResponse::default()
    }
}

/// The coordinator of every key of a type.
fn find(call: Call<'_>, key_type: i8) -> FindCoordinatorResult {
    let (error, why) = match key_type {
        GROUP if call.service.coordinator_available() => return this_broker(call),
        GROUP => (
            ErrorCode::CoordinatorNotAvailable,
            "the broker serves no groups: their log cannot be written, or it is being shut down",
        ),
        TRANSACTION => (
            ErrorCode::CoordinatorNotAvailable,
            "this broker has no transactions yet",
        ),
        SHARE => (ErrorCode::InvalidRequest, "this broker has no share groups"),
        _ => (
            ErrorCode::InvalidRequest,
            "the type of a key is 0 (group), 1 (transaction) or 2 (share group)",
        ),
    };
    FindCoordinatorResult {
        node_id: NOWHERE,
        port: NOWHERE,
        error_code: error.code(),
        error_message: Some(Str::from_static(why)),
        ..FindCoordinatorResult::default()
    }
}

fn this_broker(call: Call<'_>) -> FindCoordinatorResult {
    let address = call.session.advertised();
    FindCoordinatorResult {
        node_id: call.service.cluster().node_id,
        host: Str::from(address.host.clone()),
        port: i32::from(address.port),
        ..FindCoordinatorResult::default()
    }
}

/// The first version with a list of keys.
const KEYS_SINCE: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// Neither a node nor a port.
const NOWHERE: i32 = -1;
