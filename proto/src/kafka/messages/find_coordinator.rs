//! FindCoordinator (key 10), v0 to v6.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - v4 replaces the one key by a list of keys, and the one answer by a list of answers.
//!
//! v1 the type of the key; v3 flexible; v4 several keys; v5 and v6 change no layout.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Asks which node coordinates a group or a transaction.
    FindCoordinatorRequest {
        /// The group id or the transactional id.
        key: Str [..=3],
        /// 0 for a group, 1 for a transaction, 2 for a share group.
        key_type: i8 [1..],
        /// The ids, all of one type.
        coordinator_keys: Vec<Str> [4..],
    }

    /// Where the coordinators can be reached.
    FindCoordinatorResponse {
        /// How long the client should wait before its next request, in milliseconds.
        throttle_time_ms: i32 [1..] ignorable,
        /// The error, or 0.
        error_code: i16 [..=3],
        /// The error in words.
        error_message: Option<Str> [1..=3] ignorable = Some(Str::default()),
        /// The coordinator's id; -1 for none.
        node_id: i32 [..=3],
        /// Its host.
        host: Str [..=3],
        /// Its port; -1 for none.
        port: i32 [..=3],
        /// One answer for each key.
        coordinators: Vec<FindCoordinatorResult> [4..],
    }

    /// The coordinator of one key.
    FindCoordinatorResult {
        /// The group id or the transactional id.
        key: Str,
        /// The coordinator's id; -1 for none.
        node_id: i32,
        /// Its host.
        host: Str,
        /// Its port; -1 for none.
        port: i32,
        /// The error, or 0.
        error_code: i16,
        /// The error in words.
        error_message: Option<Str> = Some(Str::default()),
    }
}
