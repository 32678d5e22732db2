//! CreateAcls (key 30), v1 to v3.
//!
//! Floor 5 of broker.
//!
//! - There are no access lists: error 54 for each rule.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::create_acls::{
    AclCreationResult, CreateAclsRequest, CreateAclsResponse,
};

use super::describe_acls::NO_ACCESS_LISTS;

pub(in crate::kafka) fn handle(request: &CreateAclsRequest) -> CreateAclsResponse {
    let refused = || AclCreationResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(Str::from_static(NO_ACCESS_LISTS)),
    };
    CreateAclsResponse {
        results: request.creations.iter().map(|_| refused()).collect(),
        ..CreateAclsResponse::default()
    }
}
