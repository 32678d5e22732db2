//! AlterClientQuotas (key 49), v0 to v1.
//!
//! Floor 5 of broker.
//!
//! - Nothing limits a client yet, and a quota that is kept and not kept to would be a lie: error
//!   35.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterClientQuotasResult,
};

pub(in crate::kafka) fn handle(request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let entries = request.entries.into_iter();
    let entries = entries.map(|entry| AlterClientQuotasResult {
        error_code: ErrorCode::UnsupportedVersion.code(),
        error_message: Some(Str::from_static(
            "there are no quotas here: nothing would limit the client",
        )),
        entity: entry.entity,
    });
    AlterClientQuotasResponse {
        entries: entries.collect(),
        ..AlterClientQuotasResponse::default()
    }
}
