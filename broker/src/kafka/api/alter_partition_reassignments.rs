//! AlterPartitionReassignments (key 45), v0.
//!
//! Floor 5 of broker.
//!
//! - A partition stays on the only broker: other replicas are error 39, and calling a move off is
//!   error 85.

use highwater_proto::kafka::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};

use super::Call;
use crate::kafka::errors::{code_of, message_of};

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    AlterPartitionReassignmentsResponse {
        error_message: None,
        responses: request
            .topics
            .into_iter()
            .map(|topic| answer(call, topic))
            .collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

fn answer(call: Call<'_>, asked: ReassignableTopic) -> ReassignableTopicResponse {
    let ReassignableTopic { name, partitions } = asked;
    let partition = |asked: ReassignablePartition| {
        let ReassignablePartition { index, replicas } = asked;
        let moved = call
            .service
            .reassign(name.as_str(), index, replicas.as_deref());
        ReassignablePartitionResponse {
            index,
            error_code: code_of(&moved),
            error_message: message_of(&moved),
        }
    };
    ReassignableTopicResponse {
        partitions: partitions.into_iter().map(partition).collect(),
        name: name.clone(),
    }
}
