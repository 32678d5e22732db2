//! ListPartitionReassignments (key 46), v0.
//!
//! Floor 5 of broker.
//!
//! - Nothing is on its way to other brokers: there are none.

use highwater_proto::kafka::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

pub(in crate::kafka) fn handle(
    _request: &ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_message: None,
        ..ListPartitionReassignmentsResponse::default()
    }
}
