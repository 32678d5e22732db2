//! ElectLeaders (key 43), v0 to v2.
//!
//! Floor 5 of broker.
//!
//! - The only broker leads every partition: error 84 for each that is named.
//! - Null asks for all partitions that need it: there are none.

use highwater_proto::code::ErrorCode;
use highwater_proto::kafka::messages::elect_leaders::{
    ElectLeadersPartitionResult, ElectLeadersRequest, ElectLeadersResponse, ElectLeadersTopic,
    ElectLeadersTopicResult,
};

use super::Call;
use crate::kafka::errors::WireError;

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    if !(PREFERRED..=UNCLEAN).contains(&request.election_type) {
        return ElectLeadersResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ElectLeadersResponse::default()
        };
    }
    let topics = request.topic_partitions.unwrap_or_default();
    ElectLeadersResponse {
        replica_election_results: topics
            .into_iter()
            .map(|topic| answer(call, topic))
            .collect(),
        ..ElectLeadersResponse::default()
    }
}

fn answer(call: Call<'_>, asked: ElectLeadersTopic) -> ElectLeadersTopicResult {
    let ElectLeadersTopic { topic, partitions } = asked;
    let partitions = partitions.into_iter().map(|partition_id| {
        let error = call.service.elect_leader(topic.as_str(), partition_id);
        ElectLeadersPartitionResult {
            partition_id,
            error_code: error.error_code().code(),
            error_message: error.message(),
        }
    });
    ElectLeadersTopicResult {
        partitions: partitions.collect(),
        topic: topic.clone(),
    }
}

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
