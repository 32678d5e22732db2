//! SaslHandshake (key 17), v0 to v1.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Never flexible.
//!
//! v1: the tokens follow in requests of their own, SaslAuthenticate.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// How the client wants to authenticate.
    SaslHandshakeRequest {
        mechanism: Str,
    }

    /// How clients may authenticate.
    SaslHandshakeResponse {
        error_code: i16,
        mechanisms: Vec<Str>,
    }
}
