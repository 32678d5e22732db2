//! SaslAuthenticate (key 36), v0 to v2.
//!
//! Floor 5 of broker.
//!
//! - A token that proves nothing is error 58, after a delay, and the end of the connection.
//! - Without a handshake, and on a listener without SASL: error 34.
//! - The answer says how long the session is (`connections.max.reauth.ms`). Before it is over a
//!   client proves again who it is: it shakes hands anew, and stays the same user.

use highwater_proto::kafka::messages::sasl_authenticate::{
    SaslAuthenticateRequest, SaslAuthenticateResponse,
};

use super::Call;

#[cfg(feature = "sasl")]
pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    crate::kafka::sasl::authenticate(call, &request.auth_bytes.0).await
}

#[cfg(not(feature = "sasl"))]
pub(in crate::kafka) async fn handle(
    _: Call<'_>,
    _: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    use highwater_proto::code::ErrorCode;
    use highwater_proto::cursor::Str;

    SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some(Str::from_static(
            "this listener asks nobody to authenticate; connect without SASL",
        )),
        ..SaslAuthenticateResponse::default()
    }
}
