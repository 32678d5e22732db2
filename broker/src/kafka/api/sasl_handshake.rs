//! SaslHandshake (key 17), v0 to v1.
//!
//! Floor 5 of broker.
//!
//! - Answers the mechanisms that this client may use; another one is error 33, and the end of the
//!   connection. After v0 the tokens come bare, without requests around them.
//! - On a listener without SASL: error 34. From a client that has proved who it is, too, where
//!   sessions do not end, within a second of the last such handshake, and in v0; else it begins to
//!   prove it again, by the mechanism of before.

use highwater_proto::kafka::messages::sasl_handshake::{
    SaslHandshakeRequest, SaslHandshakeResponse,
};

use super::Call;

#[cfg(feature = "sasl")]
pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: &SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    crate::kafka::sasl::shake_hands(call, &request.mechanism)
}

#[cfg(not(feature = "sasl"))]
pub(in crate::kafka) fn handle(_: Call<'_>, _: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    SaslHandshakeResponse {
        error_code: highwater_proto::code::ErrorCode::IllegalSaslState.code(),
        ..SaslHandshakeResponse::default()
    }
}
