//! DescribeClientQuotas (key 48), v0 to v1.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Null entries beside an error only.
//!
//! v1 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Whose quotas to describe.
    DescribeClientQuotasRequest {
        components: Vec<DescribeClientQuotasComponent>,
        /// Nothing that has more than these components.
        strict: bool,
    }

    /// One part of the filter.
    DescribeClientQuotasComponent {
        /// `user`, `client-id` or `ip`.
        entity_type: Str,
        /// 0: this name; 1: the default; 2: any name.
        match_type: i8,
        name: Option<Str> = Some(Str::default()),
    }

    /// The quotas found.
    DescribeClientQuotasResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        entries: Option<Vec<DescribeClientQuotasEntry>> = Some(Vec::new()),
    }

    /// The quotas of one entity.
    DescribeClientQuotasEntry {
        entity: Vec<DescribeClientQuotasEntity>,
        values: Vec<DescribeClientQuotasValue>,
    }

    /// One part of an entity.
    DescribeClientQuotasEntity {
        entity_type: Str,
        /// Null for the default.
        entity_name: Option<Str> = Some(Str::default()),
    }

    /// One quota.
    DescribeClientQuotasValue {
        key: Str,
        value: f64,
    }
}
