//! AlterUserScramCredentials (key 51), v0.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Flexible from its first version. The password itself is in no request.

use bytes::Bytes;

use crate::cursor::Str;
use crate::kafka::message::message;
use crate::kafka::wire::Hidden;

message! {
    /// Credentials to delete and to set.
    AlterUserScramCredentialsRequest {
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    }

    /// A credential to delete.
    ScramCredentialDeletion {
        name: Str,
        /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
        mechanism: i8,
    }

    /// A credential to set.
    ScramCredentialUpsertion {
        name: Str,
        /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
        mechanism: i8,
        iterations: i32,
        salt: Bytes,
        salted_password: Hidden,
    }

    /// What became of it.
    AlterUserScramCredentialsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterUserScramCredentialsResult>,
    }

    /// What became of one user.
    AlterUserScramCredentialsResult {
        user: Str,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
    }
}
