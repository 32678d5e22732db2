//! AlterConfigs (key 33), v0 to v2.
//!
//! Floor 5 of broker.
//!
//! - What is named replaces everything that was set on the resource; the rest goes back to its
//!   default.
//! - A value that is missing is error 42 for its resource.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_configs::{
    AlterConfigsEntry, AlterConfigsRequest, AlterConfigsResource, AlterConfigsResponse,
    AlterConfigsResult,
};

use super::Call;
use super::describe_configs::{resource, resource_parts};
use crate::kafka::errors::{code_of, message_of};
use crate::service::configs::{
    AlterConfigs, AlterFrom, AlteredConfigs, ConfigChange, ConfigOperation,
};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let mut good = Vec::new();
    let mut refused = Vec::new();
    for asked in request.resources {
        match alter(asked) {
            Ok(asked) => good.push(asked),
            Err(result) => refused.push(result),
        }
    }
    let altered = call
        .service
        .alter_configs(good, request.validate_only)
        .await;
    AlterConfigsResponse {
        responses: altered.into_iter().map(answer).chain(refused).collect(),
        ..AlterConfigsResponse::default()
    }
}

fn alter(asked: AlterConfigsResource) -> Result<AlterConfigs, AlterConfigsResult> {
    let changes: Option<Vec<ConfigChange>> = asked.configs.into_iter().map(change).collect();
    match changes {
        Some(changes) => Ok(AlterConfigs {
            resource: resource(asked.resource_type, asked.resource_name),
            from: AlterFrom::Defaults,
            changes,
        }),
        None => Err(AlterConfigsResult {
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: Some(Str::from_static("every config needs a value")),
            resource_type: asked.resource_type,
            resource_name: asked.resource_name,
        }),
    }
}

fn change(entry: AlterConfigsEntry) -> Option<ConfigChange> {
    let value = entry.value.map(String::from)?;
    Some(ConfigChange {
        name: entry.name.into(),
        operation: ConfigOperation::Set(value),
    })
}

fn answer(altered: AlteredConfigs) -> AlterConfigsResult {
    let (resource_type, resource_name) = resource_parts(altered.resource);
    AlterConfigsResult {
        error_code: code_of(&altered.result),
        error_message: message_of(&altered.result),
        resource_type,
        resource_name,
    }
}
