//! SaslAuthenticate (key 36), v0 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Tokens are never null.
//!
//! v1 the lifetime of the session; v2 flexible.

use bytes::Bytes;

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// A token of the mechanism that was agreed on.
    SaslAuthenticateRequest {
        auth_bytes: Bytes,
    }

    /// The token that answers it.
    SaslAuthenticateResponse {
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        auth_bytes: Bytes,
        session_lifetime_ms: i64 [1..] ignorable,
    }
}
