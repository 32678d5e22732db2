//! Answers of the model that depend on nothing: records, and refusals of each API.

use highwater_client::{Codec, ErrorCode};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::cursor::Records;
use highwater_proto::kafka::messages::heartbeat::HeartbeatResponse;
use highwater_proto::kafka::messages::join_group::JoinGroupResponse;
use highwater_proto::kafka::messages::leave_group::LeaveGroupResponse;
use highwater_proto::kafka::messages::list_groups::{ListGroupsResponse, ListedGroup};
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartitionResult, OffsetCommitResponse, OffsetCommitTopicResult,
};
use highwater_proto::kafka::messages::offset_fetch::{OffsetFetchGroupResult, OffsetFetchResponse};
use highwater_proto::kafka::messages::sync_group::SyncGroupResponse;
use highwater_proto::kafka::{Request, Response};

/// A few records from an offset on; the value of each is its offset.
pub(crate) fn batch(from: i64, end: i64) -> Records {
    let mut builder = BatchBuilder::new(Codec::None);
    for offset in from..end.min(from + 10) {
        let value = offset.to_string();
        builder
            .append(offset, None, Some(value.as_bytes()), &[])
            .unwrap();
    }
    if builder.records_count() == 0 {
        return Records::default();
    }
    let mut bytes = builder.build().unwrap().to_vec();
    bytes[..8].copy_from_slice(&from.to_be_bytes());
    Records::from(bytes::Bytes::from(bytes))
}

/// The groups of a broker, which coordinates the only one or none.
pub(crate) fn groups(is_coordinator: bool) -> ListGroupsResponse {
    let group = ListedGroup {
        group_id: "g".into(),
        ..Default::default()
    };
    ListGroupsResponse {
        groups: Vec::from_iter(is_coordinator.then_some(group)),
        ..Default::default()
    }
}

/// The answer to a request of a member that is refused.
pub(crate) fn refusal(request: &Request, code: ErrorCode) -> Response {
    let error_code = code.code();
    match request {
        Request::JoinGroup(_) => JoinGroupResponse {
            error_code,
            ..Default::default()
        }
        .into(),
        Request::SyncGroup(_) => SyncGroupResponse {
            error_code,
            ..Default::default()
        }
        .into(),
        Request::Heartbeat(_) => HeartbeatResponse {
            error_code,
            ..Default::default()
        }
        .into(),
        Request::LeaveGroup(_) => LeaveGroupResponse {
            error_code,
            ..Default::default()
        }
        .into(),
        Request::OffsetCommit(request) => {
            let partition = OffsetCommitPartitionResult {
                index: 0,
                error_code,
            };
            let topic = OffsetCommitTopicResult {
                name: request.topics[0].name.clone(),
                partitions: vec![partition],
            };
            OffsetCommitResponse {
                topics: vec![topic],
                ..Default::default()
            }
            .into()
        }
        Request::ListGroups(_) => ListGroupsResponse {
            error_code,
            ..Default::default()
        }
        .into(),
        Request::OffsetFetch(_) => OffsetFetchResponse {
            groups: vec![OffsetFetchGroupResult {
                error_code,
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        other => unreachable!("{:?} is no request of a member", other.key()),
    }
}
