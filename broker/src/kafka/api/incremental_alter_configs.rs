//! IncrementalAlterConfigs (key 44), v0 to v1.
//!
//! Floor 5 of broker.
//!
//! - Each resource is changed whole or not at all; one answer for each.
//! - An operation that Kafka does not have, or a value that is missing: error 42.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::incremental_alter_configs::{
    AlterConfigsEntry, AlterConfigsResource, AlterConfigsResult, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::Call;
use super::describe_configs::{resource, resource_parts};
use crate::kafka::errors::{code_of, message_of};
use crate::service::configs::{
    AlterConfigs, AlterFrom, AlteredConfigs, ConfigChange, ConfigOperation,
};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse {
        results: altered.into_iter().map(answer).chain(refused).collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

fn alter(asked: AlterConfigsResource) -> Result<AlterConfigs, AlterConfigsResult> {
    let changes: Option<Vec<ConfigChange>> = asked.configs.into_iter().map(change).collect();
    match changes {
        Some(changes) => Ok(AlterConfigs {
            resource: resource(asked.resource_type, asked.resource_name),
            from: AlterFrom::Current,
            changes,
        }),
        None => Err(AlterConfigsResult {
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: Some(Str::from_static(
                "a change is SET (0), DELETE (1), APPEND (2) or SUBTRACT (3); all but DELETE need \
                 a value",
            )),
            resource_type: asked.resource_type,
            resource_name: asked.resource_name,
        }),
    }
}

fn change(entry: AlterConfigsEntry) -> Option<ConfigChange> {
    let value = entry.value.map(String::from);
    let operation = match entry.operation {
        0 => ConfigOperation::Set(value?),
        1 => ConfigOperation::Delete,
        2 => ConfigOperation::Append(value?),
        3 => ConfigOperation::Subtract(value?),
        _ => return None,
    };
    Some(ConfigChange {
        name: entry.name.into(),
        operation,
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
