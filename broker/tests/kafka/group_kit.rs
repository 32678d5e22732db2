//! What the tests of groups share: requests of members, and a member that is in.

use bytes::Bytes;
use highwater_broker::service::groups::GroupState;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::join_group::{
    JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse,
};
use highwater_proto::kafka::messages::leave_group::{LeaveGroupMember, LeaveGroupRequest};
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use highwater_proto::kafka::messages::sync_group::{
    SyncGroupAssignment, SyncGroupRequest, SyncGroupResponse,
};

use crate::kit::{Client, Rig, until};

/// The versions that the tests speak where the version does not matter.
pub(crate) const JOIN: i16 = 9;
pub(crate) const SYNC: i16 = 5;
pub(crate) const HEARTBEAT: i16 = 4;
pub(crate) const LEAVE: i16 = 5;
pub(crate) const COMMIT: i16 = 9;

/// A subscription to one topic, as consumers write it.
pub(crate) fn subscription(topic: &str) -> Bytes {
    let name = topic.as_bytes();
    let length = u16::try_from(name.len()).unwrap().to_be_bytes();
    [&b"\0\0\0\0\0\x01"[..], &length, name, b"\xff\xff\xff\xff"]
        .concat()
        .into()
}

/// A consumer of topic `t` joins; without an id if it has none.
pub(crate) fn join(group: &str, member_id: &Str) -> JoinGroupRequest {
    let protocol = JoinGroupProtocol {
        name: "range".into(),
        metadata: subscription("t"),
    };
    JoinGroupRequest {
        group_id: Str::from(group.to_owned()),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.clone(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

/// The same for a static member.
pub(crate) fn join_static(group: &str, instance: &'static str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_instance_id: Some(instance.into()),
        ..join(group, &Str::default())
    }
}

/// One member asks for its assignment, and brings assignments.
pub(crate) fn sync(
    group: &str,
    joined: &JoinGroupResponse,
    of: &[(&Str, &'static str)],
) -> SyncGroupRequest {
    let assignments = of.iter().map(|(member_id, work)| SyncGroupAssignment {
        member_id: (*member_id).clone(),
        assignment: Bytes::from_static(work.as_bytes()),
    });
    SyncGroupRequest {
        group_id: Str::from(group.to_owned()),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assignments.collect(),
        ..SyncGroupRequest::default()
    }
}

/// One offset of partition 0 of a topic, from outside of the group.
pub(crate) fn commit(group: &str, topic: &'static str, offset: i64) -> OffsetCommitRequest {
    let partitions = vec![OffsetCommitPartition {
        committed_offset: offset,
        ..OffsetCommitPartition::default()
    }];
    OffsetCommitRequest {
        group_id: Str::from(group.to_owned()),
        topics: vec![OffsetCommitTopic {
            name: topic.into(),
            partitions,
        }],
        ..OffsetCommitRequest::default()
    }
}

/// The error of the first partition of a commit.
pub(crate) fn committed(client: &mut Client, version: i16, request: OffsetCommitRequest) -> i16 {
    client.call(version, request).topics[0].partitions[0].error_code
}

/// One member leaves.
pub(crate) fn leave(group: &str, member_id: &Str) -> LeaveGroupRequest {
    LeaveGroupRequest {
        group_id: Str::from(group.to_owned()),
        members: vec![LeaveGroupMember {
            member_id: member_id.clone(),
            ..LeaveGroupMember::default()
        }],
        ..LeaveGroupRequest::default()
    }
}

/// Waits until a group does this.
pub(crate) fn until_state(rig: &Rig, group: &str, state: GroupState) {
    until(|| rig.service.describe_group(group).state == state);
}

/// A member with a connection of its own.
pub(crate) struct Consumer {
    pub(crate) client: Client,
    pub(crate) group: &'static str,
    pub(crate) joined: JoinGroupResponse,
}

impl Consumer {
    /// Is given an id, and sends its join with it; the answer is not waited for.
    pub(crate) fn begin(rig: &Rig, group: &'static str) -> Self {
        let mut client = rig.client();
        let joined = client.call(JOIN, join(group, &Str::default()));
        assert_eq!(joined.error_code, 79);
        client.send(JOIN, join(group, &joined.member_id));
        Self {
            client,
            group,
            joined,
        }
    }

    /// Joins an empty group and is its leader.
    pub(crate) fn joined(rig: &Rig, group: &'static str) -> Self {
        let mut consumer = Self::begin(rig, group);
        consumer.receive_join();
        assert_eq!(consumer.joined.leader, consumer.joined.member_id);
        consumer
    }

    /// Joins an empty group, which is stable then.
    pub(crate) fn stable(rig: &Rig, group: &'static str) -> Self {
        let mut consumer = Self::joined(rig, group);
        let id = consumer.id();
        assert_eq!(consumer.sync(&[(&id, "work")]).error_code, 0);
        consumer
    }

    pub(crate) fn id(&self) -> Str {
        self.joined.member_id.clone()
    }

    pub(crate) fn send_join(&mut self) {
        self.client.send(JOIN, join(self.group, &self.id()));
    }

    /// The answer to a join, which has to be a success.
    pub(crate) fn receive_join(&mut self) {
        let (_, joined) = self.client.receive::<JoinGroupRequest>(JOIN);
        assert_eq!(joined.error_code, 0, "{joined:?}");
        self.joined = joined;
    }

    pub(crate) fn sync(&mut self, of: &[(&Str, &'static str)]) -> SyncGroupResponse {
        self.client.call(SYNC, sync(self.group, &self.joined, of))
    }

    pub(crate) fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest {
            group_id: Str::from_static(self.group),
            generation_id: self.joined.generation_id,
            member_id: self.id(),
            ..HeartbeatRequest::default()
        };
        self.client.call(HEARTBEAT, request).error_code
    }

    /// A commit of the member for partition 0 of topic `t`.
    pub(crate) fn commit(&mut self, offset: i64) -> i16 {
        let request = OffsetCommitRequest {
            generation_id: self.joined.generation_id,
            member_id: self.id(),
            ..commit(self.group, "t", offset)
        };
        committed(&mut self.client, COMMIT, request)
    }
}
