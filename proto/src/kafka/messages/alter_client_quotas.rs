//! AlterClientQuotas (key 49), v0 to v1.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Each entity has an answer of its own.
//!
//! v1 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Quotas to change.
    AlterClientQuotasRequest {
        entries: Vec<AlterClientQuotasEntry>,
        validate_only: bool,
    }

    /// The quotas of one entity.
    AlterClientQuotasEntry {
        entity: Vec<AlterClientQuotasEntity>,
        ops: Vec<AlterClientQuotasOp>,
    }

    /// One part of an entity.
    AlterClientQuotasEntity {
        /// `user`, `client-id` or `ip`.
        entity_type: Str,
        /// Null for the default.
        entity_name: Option<Str> = Some(Str::default()),
    }

    /// One change.
    AlterClientQuotasOp {
        key: Str,
        value: f64,
        /// Whether the quota goes, whatever the value.
        remove: bool,
    }

    /// What became of it.
    AlterClientQuotasResponse {
        throttle_time_ms: i32,
        entries: Vec<AlterClientQuotasResult>,
    }

    /// What became of the quotas of one entity.
    AlterClientQuotasResult {
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        entity: Vec<AlterClientQuotasEntity>,
    }
}
