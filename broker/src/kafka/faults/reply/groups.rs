//! Answers of the APIs of groups and their offsets that say that a request has failed.
//!
//! Floor 5 of broker.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::delete_groups::{DeletableGroupResult, DeleteGroupsResponse};
use highwater_proto::kafka::messages::describe_groups::{DescribeGroupsResponse, DescribedGroup};
use highwater_proto::kafka::messages::find_coordinator::{
    FindCoordinatorRequest, FindCoordinatorResponse, FindCoordinatorResult,
};
use highwater_proto::kafka::messages::heartbeat::HeartbeatResponse;
use highwater_proto::kafka::messages::join_group::JoinGroupResponse;
use highwater_proto::kafka::messages::leave_group::{LeaveGroupResponse, LeaveGroupResult};
use highwater_proto::kafka::messages::list_groups::ListGroupsResponse;
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartitionResult, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitTopicResult,
};
use highwater_proto::kafka::messages::offset_delete::{
    OffsetDeletePartitionResult, OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteTopicResult,
};
use highwater_proto::kafka::messages::offset_fetch::{
    OffsetFetchGroupResult, OffsetFetchPartitionResult, OffsetFetchRequest, OffsetFetchResponse,
    OffsetFetchTopic, OffsetFetchTopicResult,
};
use highwater_proto::kafka::messages::sync_group::SyncGroupResponse;
use highwater_proto::kafka::{Request, Response};

use super::{WHY, each};

/// The answer to a request about a group that has failed.
pub(super) fn failed(request: &Request, code: i16) -> Response {
    match request {
        Request::OffsetCommit(request) => offset_commit(request, code).into(),
        Request::OffsetDelete(request) => offset_delete(request, code).into(),
        Request::OffsetFetch(request) => offset_fetch(request, code).into(),
        Request::FindCoordinator(request) => find_coordinator(request, code).into(),
        Request::JoinGroup(request) => JoinGroupResponse {
            error_code: code,
            member_id: request.member_id.clone(),
            ..JoinGroupResponse::default()
        }
        .into(),
        Request::LeaveGroup(request) => LeaveGroupResponse {
            error_code: code,
            members: each(&request.members, |member| LeaveGroupResult {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: code,
            }),
            ..LeaveGroupResponse::default()
        }
        .into(),
        Request::SyncGroup(_) => SyncGroupResponse {
            error_code: code,
            ..SyncGroupResponse::default()
        }
        .into(),
        Request::DescribeGroups(request) => DescribeGroupsResponse {
            groups: each(&request.groups, |group| DescribedGroup {
                error_code: code,
                group_id: group.clone(),
                ..DescribedGroup::default()
            }),
            ..DescribeGroupsResponse::default()
        }
        .into(),
        Request::DeleteGroups(request) => DeleteGroupsResponse {
            results: each(&request.groups_names, |group| DeletableGroupResult {
                group_id: group.clone(),
                error_code: code,
            }),
            ..DeleteGroupsResponse::default()
        }
        .into(),
        Request::ListGroups(_) => ListGroupsResponse {
            error_code: code,
            ..ListGroupsResponse::default()
        }
        .into(),
        _ => HeartbeatResponse {
            error_code: code,
            ..HeartbeatResponse::default()
        }
        .into(),
    }
}

fn offset_commit(request: &OffsetCommitRequest, code: i16) -> OffsetCommitResponse {
    let topics = each(&request.topics, |topic| OffsetCommitTopicResult {
        name: topic.name.clone(),
        partitions: each(&topic.partitions, |asked| OffsetCommitPartitionResult {
            index: asked.index,
            error_code: code,
        }),
    });
    OffsetCommitResponse {
        topics,
        ..OffsetCommitResponse::default()
    }
}

fn offset_delete(request: &OffsetDeleteRequest, code: i16) -> OffsetDeleteResponse {
    let topics = each(&request.topics, |topic| OffsetDeleteTopicResult {
        name: topic.name.clone(),
        partitions: each(&topic.partitions, |asked| OffsetDeletePartitionResult {
            index: asked.index,
            error_code: code,
        }),
    });
    OffsetDeleteResponse {
        error_code: code,
        topics,
        ..OffsetDeleteResponse::default()
    }
}

/// Several groups since v8, one before.
fn offset_fetch(request: &OffsetFetchRequest, code: i16) -> OffsetFetchResponse {
    let topics = |topics: &Option<Vec<OffsetFetchTopic>>| {
        each(topics.as_deref().unwrap_or_default(), |topic| {
            let partition = |index: &i32| OffsetFetchPartitionResult {
                index: *index,
                committed_offset: -1,
                error_code: code,
                ..OffsetFetchPartitionResult::default()
            };
            OffsetFetchTopicResult {
                name: topic.name.clone(),
                partitions: each(&topic.partition_indexes, partition),
            }
        })
    };
    if request.groups.is_empty() {
        return OffsetFetchResponse {
            topics: topics(&request.topics),
            error_code: code,
            ..OffsetFetchResponse::default()
        };
    }
    OffsetFetchResponse {
        groups: each(&request.groups, |group| OffsetFetchGroupResult {
            group_id: group.group_id.clone(),
            topics: topics(&group.topics),
            error_code: code,
        }),
        ..OffsetFetchResponse::default()
    }
}

/// Several keys since v4, one before.
fn find_coordinator(request: &FindCoordinatorRequest, code: i16) -> FindCoordinatorResponse {
    let why = || Some(Str::from_static(WHY));
    if request.coordinator_keys.is_empty() {
        return FindCoordinatorResponse {
            error_code: code,
            error_message: why(),
            node_id: -1,
            port: -1,
            ..FindCoordinatorResponse::default()
        };
    }
    FindCoordinatorResponse {
        coordinators: each(&request.coordinator_keys, |key| FindCoordinatorResult {
            key: key.clone(),
            node_id: -1,
            port: -1,
            error_code: code,
            error_message: why(),
            ..FindCoordinatorResult::default()
        }),
        ..FindCoordinatorResponse::default()
    }
}
