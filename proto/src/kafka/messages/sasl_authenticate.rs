//! SaslAuthenticate (key 36), v0 to v2.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Tokens are never null, and no `Debug` prints them: one of PLAIN is a password.
//!
//! v1 the lifetime of the session; v2 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;
use crate::kafka::wire::Hidden;

message! {
    /// A token of the mechanism that was agreed on.
    SaslAuthenticateRequest {
        auth_bytes: Hidden,
    }

    /// The token that answers it.
    SaslAuthenticateResponse {
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        auth_bytes: Hidden,
        session_lifetime_ms: i64 [1..] ignorable,
    }
}
