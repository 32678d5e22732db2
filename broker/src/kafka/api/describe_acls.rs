//! DescribeAcls (key 29), v1 to v3.
//!
//! Floor 5 of broker.
//!
//! - There are no access lists: error 54.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};

pub(in crate::kafka) fn handle(_request: &DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(Str::from_static(NO_ACCESS_LISTS)),
        ..DescribeAclsResponse::default()
    }
}

/// What is said of access lists.
pub(super) const NO_ACCESS_LISTS: &str =
    "there are no access lists here: everyone may do everything";
