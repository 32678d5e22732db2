//! InitProducerId (key 22), v0 to v5.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Producer id and epoch of the request are both -1 or both set.
//!
//! v2 flexible; v3 a producer can ask for its next epoch.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Asks for a producer id, and for an epoch that fences older holders of a transactional id.
    InitProducerIdRequest {
        transactional_id: Option<Str>,
        transaction_timeout_ms: i32,
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
    }

    /// The producer id and its epoch.
    InitProducerIdResponse {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 = -1,
        producer_epoch: i16,
    }
}
