//! DeleteGroups (key 42), v0 to v2.
//!
//! Floor 5 of broker.
//!
//! - A group goes with its offsets; each has an answer of its own. Members: error 68.

use highwater_proto::kafka::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::Call;
use crate::kafka::errors::code_of;

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let names = request.groups_names.iter().cloned().map(String::from);
    let deleted = call.service.delete_groups(names.collect()).await;
    let results = request.groups_names.into_iter().zip(deleted);
    DeleteGroupsResponse {
        results: results
            .map(|(group_id, result)| DeletableGroupResult {
                group_id,
                error_code: code_of(&result),
            })
            .collect(),
        ..DeleteGroupsResponse::default()
    }
}
