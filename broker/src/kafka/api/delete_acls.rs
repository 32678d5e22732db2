//! DeleteAcls (key 31), v1 to v3.
//!
//! Floor 5 of broker.
//!
//! - There are no access lists: error 54 for each filter.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::delete_acls::{
    DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse,
};

use super::describe_acls::NO_ACCESS_LISTS;

pub(in crate::kafka) fn handle(request: &DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = || DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(Str::from_static(NO_ACCESS_LISTS)),
        ..DeleteAclsFilterResult::default()
    };
    DeleteAclsResponse {
        filter_results: request.filters.iter().map(|_| refused()).collect(),
        ..DeleteAclsResponse::default()
    }
}
