//! Requests about groups, none of which waits for another member.

use bytes::Bytes;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::delete_groups::DeleteGroupsRequest;
use highwater_proto::kafka::messages::describe_groups::DescribeGroupsRequest;
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::join_group::{JoinGroupProtocol, JoinGroupRequest};
use highwater_proto::kafka::messages::leave_group::{LeaveGroupMember, LeaveGroupRequest};
use highwater_proto::kafka::messages::list_groups::ListGroupsRequest;
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use highwater_proto::kafka::messages::offset_delete::{
    OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic,
};
use highwater_proto::kafka::messages::offset_fetch::{
    OffsetFetchGroup, OffsetFetchRequest, OffsetFetchTopic,
};
use highwater_proto::kafka::messages::sync_group::{SyncGroupAssignment, SyncGroupRequest};

use super::Choices;

fn group(choose: &mut Choices) -> Str {
    choose.of(&["g".into(), "h".into(), "".into(), "no-such-group".into()])
}

pub(super) fn offset_commit(version: i16, choose: &mut Choices) -> OffsetCommitRequest {
    let partition = OffsetCommitPartition {
        index: choose.of(&[0, 1, 9]),
        committed_offset: choose.of(&[5, 0, 1 << 40]),
        committed_leader_epoch: if version >= 6 {
            choose.of(&[0, -1])
        } else {
            -1
        },
        committed_metadata: choose.of(&[Some("seen".into()), None, Some("".into())]),
    };
    let topics = vec![OffsetCommitTopic {
        name: choose.name(),
        partitions: vec![partition],
    }];
    OffsetCommitRequest {
        group_id: group(choose),
        // Every other time it comes from a member that nobody knows.
        generation_id: choose.of(&[-1, -1, 3]),
        member_id: choose.of(&["".into(), "".into(), "nobody".into()]),
        retention_time_ms: if version <= 4 {
            choose.of(&[-1, 60_000])
        } else {
            -1
        },
        topics,
        ..OffsetCommitRequest::default()
    }
}

pub(super) fn offset_fetch(version: i16, choose: &mut Choices) -> OffsetFetchRequest {
    let topic = OffsetFetchTopic {
        name: choose.name(),
        partition_indexes: choose.of(&[vec![0, 1], vec![9], Vec::new()]),
    };
    let topics = choose.of(&[Some(vec![topic.clone()]), None, Some(Vec::new())]);
    let require_stable = version >= 7 && choose.of(&[false, true]);
    let group_id = group(choose);
    if version >= 8 {
        let one = OffsetFetchGroup {
            group_id,
            topics,
            ..OffsetFetchGroup::default()
        };
        let other = OffsetFetchGroup {
            group_id: "no-such-group".into(),
            topics: Some(vec![topic]),
            ..OffsetFetchGroup::default()
        };
        return OffsetFetchRequest {
            groups: vec![one, other],
            require_stable,
            ..OffsetFetchRequest::default()
        };
    }
    OffsetFetchRequest {
        group_id,
        topics: topics.or_else(|| (version < 2).then(Vec::new)),
        require_stable,
        ..OffsetFetchRequest::default()
    }
}

/// The member is always one that nobody knows: to let one in would be to wait.
pub(super) fn join_group(choose: &mut Choices) -> JoinGroupRequest {
    let protocol = JoinGroupProtocol {
        name: "range".into(),
        metadata: Bytes::from_static(b"\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"),
    };
    JoinGroupRequest {
        group_id: group(choose),
        session_timeout_ms: choose.of(&[10_000, 1, i32::MAX]),
        member_id: "nobody".into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

pub(super) fn heartbeat(version: i16, choose: &mut Choices) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: group(choose),
        generation_id: choose.of(&[1, -1]),
        member_id: choose.of(&["nobody".into(), "".into()]),
        group_instance_id: instance(version >= 3, choose),
    }
}

fn instance(is_there: bool, choose: &mut Choices) -> Option<Str> {
    if is_there {
        choose.of(&[None, Some("i".into())])
    } else {
        None
    }
}

pub(super) fn leave_group(version: i16, choose: &mut Choices) -> LeaveGroupRequest {
    let group_id = group(choose);
    let member_id: Str = choose.of(&["nobody".into(), "".into()]);
    if version < 3 {
        return LeaveGroupRequest {
            group_id,
            member_id,
            ..LeaveGroupRequest::default()
        };
    }
    let member = LeaveGroupMember {
        member_id,
        group_instance_id: instance(true, choose),
        ..LeaveGroupMember::default()
    };
    LeaveGroupRequest {
        group_id,
        members: choose.of(&[
            vec![member.clone()],
            vec![member.clone(), member],
            Vec::new(),
        ]),
        ..LeaveGroupRequest::default()
    }
}

pub(super) fn sync_group(version: i16, choose: &mut Choices) -> SyncGroupRequest {
    let assignment = SyncGroupAssignment {
        member_id: "nobody".into(),
        assignment: Bytes::from_static(b"work"),
    };
    let protocol: Option<Str> = if version >= 5 {
        choose.of(&[Some("range".into()), None])
    } else {
        None
    };
    SyncGroupRequest {
        group_id: group(choose),
        generation_id: choose.of(&[1, -1]),
        member_id: "nobody".into(),
        group_instance_id: instance(version >= 3, choose),
        protocol_type: protocol.clone().map(|_| "consumer".into()),
        protocol_name: protocol,
        assignments: choose.of(&[vec![assignment], Vec::new()]),
    }
}

pub(super) fn describe_groups(version: i16, choose: &mut Choices) -> DescribeGroupsRequest {
    DescribeGroupsRequest {
        groups: vec![group(choose), group(choose)],
        include_authorized_operations: version >= 3 && choose.of(&[true, false]),
    }
}

pub(super) fn list_groups(version: i16, choose: &mut Choices) -> ListGroupsRequest {
    let mut request = ListGroupsRequest::default();
    if version >= 4 {
        request.states_filter = choose.of(&[Vec::new(), vec!["EMPTY".into()], vec!["no".into()]]);
    }
    if version >= 5 {
        request.types_filter = choose.of(&[Vec::new(), vec!["Classic".into()], vec!["no".into()]]);
    }
    request
}

pub(super) fn delete_groups(choose: &mut Choices) -> DeleteGroupsRequest {
    DeleteGroupsRequest {
        groups_names: choose.of(&[
            vec!["no-such-group".into()],
            vec!["h".into(), "".into()],
            Vec::new(),
        ]),
    }
}

pub(super) fn offset_delete(choose: &mut Choices) -> OffsetDeleteRequest {
    let partitions = vec![OffsetDeletePartition {
        index: choose.of(&[0, 1, 9]),
    }];
    let topics = vec![OffsetDeleteTopic {
        name: choose.name(),
        partitions,
    }];
    OffsetDeleteRequest {
        group_id: group(choose),
        topics,
    }
}
