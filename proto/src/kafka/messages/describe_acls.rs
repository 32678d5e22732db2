//! DescribeAcls (key 29), v1 to v3.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - A null in a filter lets everything through.
//!
//! v2 flexible; v3 a new resource type.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which access rules to describe.
    DescribeAclsRequest {
        /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user; 1 any.
        resource_type_filter: i8,
        resource_name_filter: Option<Str> = Some(Str::default()),
        /// 3: literal, 4: prefixed; in a filter 1: any, 2: whatever matches the name.
        pattern_type_filter: i8 = 3,
        principal_filter: Option<Str> = Some(Str::default()),
        host_filter: Option<Str> = Some(Str::default()),
        operation: i8,
        /// 2: deny; 3: allow; in a filter 1: any.
        permission_type: i8,
    }

    /// The rules found.
    DescribeAclsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str> = Some(Str::default()),
        resources: Vec<DescribeAclsResource>,
    }

    /// The rules of one resource.
    DescribeAclsResource {
        resource_type: i8,
        resource_name: Str,
        pattern_type: i8 = 3,
        acls: Vec<AclDescription>,
    }

    /// One rule.
    AclDescription {
        principal: Str,
        host: Str,
        operation: i8,
        permission_type: i8,
    }
}
