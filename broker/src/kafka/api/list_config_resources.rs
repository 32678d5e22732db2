//! ListConfigResources (key 74), v0 to v1.
//!
//! Floor 5 of broker.
//!
//! - v0 asks for the subscriptions of client metrics alone; there are none.
//! - v1 asks for resources of some types, or of all; a type without configs is error 35.

use highwater_proto::code::ErrorCode;
use highwater_proto::kafka::messages::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse, ListedConfigResource,
};

use super::Call;
use super::describe_configs::{KINDS, resource_parts};

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: &ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let asked = &request.resource_types;
    if call.version == METRICS_ONLY {
        return ListConfigResourcesResponse::default();
    }
    if asked.iter().any(|kind| !KINDS.contains(kind)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        };
    }
    let all = call.service.config_resources().into_iter();
    let resources = all
        .map(resource_parts)
        .map(|(kind, name)| ListedConfigResource {
            resource_name: name,
            resource_type: kind,
        });
    ListConfigResourcesResponse {
        config_resources: resources
            .filter(|one| asked.is_empty() || asked.contains(&one.resource_type))
            .collect(),
        ..ListConfigResourcesResponse::default()
    }
}

/// The version that knows client metrics alone.
const METRICS_ONLY: i16 = 0;
