//! Answers that say that a request has failed, in the shape of each API.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Every API of the table has such an answer: a new one does not compile until it has.
//! - Whatever the request names has the code; nothing else is said of it.

mod admin;
mod groups;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::{Records, Str, Uuid};
use highwater_proto::kafka::messages::fetch::{
    FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopicResponse,
};
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use highwater_proto::kafka::messages::offset_for_leader_epoch::{
    EpochEndOffset, EpochTopicResult, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};
use highwater_proto::kafka::messages::produce::{
    ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopicResponse,
};
use highwater_proto::kafka::messages::{
    api_versions::ApiVersionsResponse, init_producer_id::InitProducerIdResponse,
    metadata::MetadataResponse, sasl_authenticate::SaslAuthenticateResponse,
    sasl_handshake::SaslHandshakeResponse,
};
use highwater_proto::kafka::{Request, Response};

use crate::ids::TopicRef;
use crate::kafka::api::Call;

/// The answer to a request that has failed. For Metadata it is made of its true answer by
/// [`metadata`]: without brokers no client would know where to go on.
pub(super) fn failed(call: &Call<'_>, request: &Request, error: ErrorCode) -> Response {
    let code = error.code();
    let why = || Some(Str::from_static(WHY));
    match request {
        Request::Produce(request) => produce(request, code).into(),
        Request::Fetch(request) => {
            let session = call.service.fetch_session(request.session_id);
            fetch(request, &session, code).into()
        }
        Request::ListOffsets(request) => list_offsets(request, code).into(),
        Request::Metadata(_) => MetadataResponse::default().into(),
        Request::OffsetForLeaderEpoch(request) => epochs(request, code).into(),
        Request::ApiVersions(_) => ApiVersionsResponse {
            error_code: code,
            ..ApiVersionsResponse::default()
        }
        .into(),
        Request::InitProducerId(_) => InitProducerIdResponse {
            error_code: code,
            producer_epoch: -1,
            ..InitProducerIdResponse::default()
        }
        .into(),
        Request::SaslHandshake(_) => SaslHandshakeResponse {
            error_code: code,
            ..SaslHandshakeResponse::default()
        }
        .into(),
        Request::SaslAuthenticate(_) => SaslAuthenticateResponse {
            error_code: code,
            error_message: why(),
            ..SaslAuthenticateResponse::default()
        }
        .into(),
        Request::OffsetCommit(_)
        | Request::OffsetFetch(_)
        | Request::OffsetDelete(_)
        | Request::FindCoordinator(_)
        | Request::JoinGroup(_)
        | Request::Heartbeat(_)
        | Request::LeaveGroup(_)
        | Request::SyncGroup(_)
        | Request::DescribeGroups(_)
        | Request::ListGroups(_)
        | Request::DeleteGroups(_) => groups::failed(request, code),
        _ => admin::failed(request, call.version, code),
    }
}

/// Makes a true answer to Metadata one in which every topic has failed.
pub(super) fn metadata(response: &mut MetadataResponse, error: ErrorCode) {
    for topic in &mut response.topics {
        topic.error_code = error.code();
        topic.partitions.clear();
    }
}

fn produce(request: &ProduceRequest, code: i16) -> ProduceResponse {
    let partition = |index| ProducePartitionResponse {
        index,
        error_code: code,
        base_offset: -1,
        log_start_offset: -1,
        error_message: Some(Str::from_static(WHY)),
        ..ProducePartitionResponse::default()
    };
    let topics = each(&request.topics, |topic| ProduceTopicResponse {
        name: topic.name.clone(),
        partitions: each(&topic.partitions, |asked| partition(asked.index)),
    });
    ProduceResponse {
        topics,
        ..ProduceResponse::default()
    }
}

/// A session means the partitions that it has named before, too; it ends with the answer, so that
/// its reader names all of them next time.
fn fetch(request: &FetchRequest, session: &[(TopicRef, i32)], code: i16) -> FetchResponse {
    let partition = |index| FetchPartitionResponse {
        index,
        error_code: code,
        high_watermark: -1,
        log_start_offset: -1,
        ..FetchPartitionResponse::default()
    };
    let mut topics = each(&request.topics, |topic| FetchTopicResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: each(&topic.partitions, |asked| partition(asked.index)),
    });
    for (topic, index) in session {
        let (name, topic_id) = match topic {
            TopicRef::Name(name) => (Str::from(name.clone()), Uuid::default()),
            TopicRef::Id(id) => (Str::default(), Uuid(id.0)),
        };
        let mut known = topics.iter_mut();
        match known.find(|known| known.name == name && known.topic_id == topic_id) {
            Some(known) if known.partitions.iter().any(|known| known.index == *index) => {}
            Some(known) => known.partitions.push(partition(*index)),
            None => topics.push(FetchTopicResponse {
                name,
                topic_id,
                partitions: vec![partition(*index)],
            }),
        }
    }
    FetchResponse {
        topics,
        ..FetchResponse::default()
    }
}

fn list_offsets(request: &ListOffsetsRequest, code: i16) -> ListOffsetsResponse {
    let partition = |index| ListOffsetsPartitionResponse {
        index,
        error_code: code,
        ..ListOffsetsPartitionResponse::default()
    };
    let topics = each(&request.topics, |topic| ListOffsetsTopicResponse {
        name: topic.name.clone(),
        partitions: each(&topic.partitions, |asked| partition(asked.index)),
    });
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

fn epochs(request: &OffsetForLeaderEpochRequest, code: i16) -> OffsetForLeaderEpochResponse {
    let partition = |index| EpochEndOffset {
        index,
        error_code: code,
        ..EpochEndOffset::default()
    };
    let topics = each(&request.topics, |topic| EpochTopicResult {
        name: topic.name.clone(),
        partitions: each(&topic.partitions, |asked| partition(asked.index)),
    });
    OffsetForLeaderEpochResponse {
        topics,
        ..OffsetForLeaderEpochResponse::default()
    }
}

/// Whether a consumer gets any record by this answer.
pub(super) fn has_records(response: &FetchResponse) -> bool {
    let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.any(|partition| !partition.records.is_empty())
}

/// Flips a bit in the records of every partition, behind their checksums.
pub(super) fn corrupt_records(response: &mut FetchResponse) {
    let partitions = response.topics.iter_mut();
    for partition in partitions.flat_map(|topic| &mut topic.partitions) {
        let mut bytes = partition.records.clone().into_bytes().to_vec();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
            partition.records = Records::from(Bytes::from(bytes));
        }
    }
}

fn each<T, U>(items: &[T], made: impl Fn(&T) -> U) -> Vec<U> {
    items.iter().map(made).collect()
}

/// What a client is told besides the code.
const WHY: &str = "a scripted fault of a test";
