//! DeleteAcls (key 31), v1 to v3.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Each filter has an answer of its own, in order, with the rules that it matched.
//!
//! v2 flexible; v3 a new resource type.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which access rules to delete.
    DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter>,
    }

    /// One filter.
    DeleteAclsFilter {
        /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user; 1 any.
        resource_type_filter: i8,
        resource_name_filter: Option<Str> = Some(Str::default()),
        /// 3: literal, 4: prefixed, 1: any, 2: whatever matches the name.
        pattern_type_filter: i8 = 3,
        principal_filter: Option<Str> = Some(Str::default()),
        host_filter: Option<Str> = Some(Str::default()),
        operation: i8,
        /// 2: deny; 3: allow; 1: any.
        permission_type: i8,
    }

    /// What became of them.
    DeleteAclsResponse {
        throttle_time_ms: i32,
        filter_results: Vec<DeleteAclsFilterResult>,
    }

    /// What one filter matched.
    DeleteAclsFilterResult {
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        matching_acls: Vec<DeleteAclsMatchingAcl>,
    }

    /// One rule that was matched.
    DeleteAclsMatchingAcl {
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        resource_type: i8,
        resource_name: Str,
        pattern_type: i8 = 3,
        principal: Str,
        host: Str,
        operation: i8,
        permission_type: i8,
    }
}
