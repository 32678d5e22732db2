//! SaslAuthenticate (key 36), v0 to v2.
//!
//! Floor 5 of broker.
//!
//! - There was no handshake, and there can be none: error 34.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::sasl_authenticate::{
    SaslAuthenticateRequest, SaslAuthenticateResponse,
};

pub(in crate::kafka) fn handle(_request: &SaslAuthenticateRequest) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some(Str::from_static(
            "this listener asks nobody to authenticate; connect without SASL",
        )),
        ..SaslAuthenticateResponse::default()
    }
}
