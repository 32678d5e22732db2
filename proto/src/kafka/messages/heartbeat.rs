//! Heartbeat (key 12), v0 to v4.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - An error in the answer tells the member what to do; there is nothing else in it.
//!
//! v1 throttle time; v2 no layout; v3 static members; v4 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// A member is alive.
    HeartbeatRequest {
        group_id: Str,
        generation_id: i32,
        member_id: Str,
        group_instance_id: Option<Str> [3..],
    }

    /// Whether the group goes on as it is.
    HeartbeatResponse {
        throttle_time_ms: i32 [1..] ignorable,
        error_code: i16,
    }
}
