//! DescribeUserScramCredentials (key 50), v0.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Flexible from its first version. No answer holds a salt or a key.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Whose credentials to describe.
    DescribeUserScramCredentialsRequest {
        /// Null or none for all.
        users: Option<Vec<DescribeUserScramCredentialsUser>> = Some(Vec::new()),
    }

    /// One user.
    DescribeUserScramCredentialsUser {
        name: Str,
    }

    /// The credentials.
    DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        results: Vec<DescribeUserScramCredentialsResult>,
    }

    /// Those of one user.
    DescribeUserScramCredentialsResult {
        user: Str,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        credential_infos: Vec<DescribeUserScramCredentialsInfo>,
    }

    /// One credential.
    DescribeUserScramCredentialsInfo {
        /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
        mechanism: i8,
        iterations: i32,
    }
}
