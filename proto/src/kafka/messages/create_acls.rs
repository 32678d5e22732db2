//! CreateAcls (key 30), v1 to v3.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Each rule has an answer of its own, in order.
//!
//! v2 flexible; v3 a new resource type.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Access rules to create.
    CreateAclsRequest {
        creations: Vec<AclCreation>,
    }

    /// One rule.
    AclCreation {
        /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user; 1 any.
        resource_type: i8,
        resource_name: Str,
        /// 3: literal, 4: prefixed.
        resource_pattern_type: i8 = 3,
        principal: Str,
        host: Str,
        operation: i8,
        /// 2: deny; 3: allow.
        permission_type: i8,
    }

    /// What became of them.
    CreateAclsResponse {
        throttle_time_ms: i32,
        results: Vec<AclCreationResult>,
    }

    /// What became of one rule.
    AclCreationResult {
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
    }
}
