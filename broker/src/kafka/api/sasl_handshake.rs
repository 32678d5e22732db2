//! SaslHandshake (key 17), v0 to v1.
//!
//! Floor 5 of broker.
//!
//! - No listener asks for a proof, so that there is nothing to shake hands about: error 34, and no
//!   mechanisms.

use highwater_proto::code::ErrorCode;
use highwater_proto::kafka::messages::sasl_handshake::{
    SaslHandshakeRequest, SaslHandshakeResponse,
};

pub(in crate::kafka) fn handle(_request: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    SaslHandshakeResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        ..SaslHandshakeResponse::default()
    }
}
