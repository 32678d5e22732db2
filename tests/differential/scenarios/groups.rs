//! Classic groups: the life of members, step by step.

use bytes::Bytes;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::ApiKey;
use highwater_proto::kafka::messages::delete_groups::DeleteGroupsRequest;
use highwater_proto::kafka::messages::describe_groups::DescribeGroupsRequest;
use highwater_proto::kafka::messages::find_coordinator::FindCoordinatorRequest;
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::join_group::{
    JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse,
};
use highwater_proto::kafka::messages::leave_group::{LeaveGroupMember, LeaveGroupRequest};
use highwater_proto::kafka::messages::list_groups::ListGroupsRequest;
use highwater_proto::kafka::messages::sync_group::{SyncGroupAssignment, SyncGroupRequest};

use crate::peer::Peer;

/// One member through every version: dance, join, sync, heartbeat, describe, leave, delete.
pub(super) fn one_member(peer: &mut Peer) {
    ready(peer);
    for version in peer.versions(ApiKey::JoinGroup) {
        let group = format!("one-{version}{}", peer.run);
        let member = Member::new(&group, "a");
        let joined = member.enter(peer, version);
        let id = joined.member_id.clone();
        let generation = joined.generation_id;
        describe(peer, &group, "before the sync");
        let sync_version = peer.newest(ApiKey::SyncGroup).min(version);
        peer.ask(
            "a",
            "sync",
            sync_version,
            member.sync(&id, generation, &[(&id, "all")]),
        );
        describe(peer, &group, "stable");
        let beat_version = peer.newest(ApiKey::Heartbeat).min(version);
        peer.ask(
            "a",
            "heartbeat",
            beat_version,
            member.heartbeat(&id, generation),
        );
        peer.ask(
            "a",
            "an old heartbeat",
            beat_version,
            member.heartbeat(&id, generation - 1),
        );
        peer.ask(
            "a",
            "another's heartbeat",
            beat_version,
            member.heartbeat("nobody", generation),
        );
        peer.ask(
            "a",
            "sync again",
            sync_version,
            member.sync(&id, generation, &[]),
        );
        peer.begin("a", version, member.join(&id));
        let again = member.joined(peer, "join again", version);
        peer.ask(
            "a",
            "sync",
            sync_version,
            member.sync(&id, again.generation_id, &[(&id, "b")]),
        );
        let delete = || DeleteGroupsRequest {
            groups_names: vec![Str::from(group.clone())],
        };
        peer.ask_newest("delete with a member", delete());
        let leave_version = peer.newest(ApiKey::LeaveGroup).min(version);
        let leave = member.leave(&id, leave_version);
        peer.ask("a", "leave", leave_version, leave.clone());
        peer.ask("a", "leave again", leave_version, leave);
        describe(peer, &group, "empty");
        peer.ask(
            "a",
            "heartbeat of an empty group",
            beat_version,
            member.heartbeat(&id, generation),
        );
        peer.ask_newest("delete", delete());
        peer.ask_newest("delete again", delete());
        describe(peer, &group, "gone");
    }
}

/// Three members join one after another, each time with a rebalance; then the leader leaves.
pub(super) fn three_members(peer: &mut Peer) {
    ready(peer);
    let group = format!("three{}", peer.run);
    let [a, b, c] = ["a", "b", "c"].map(|who| Member::new(&group, who));
    let (join, sync, beat) = (
        peer.newest(ApiKey::JoinGroup),
        peer.newest(ApiKey::SyncGroup),
        peer.newest(ApiKey::Heartbeat),
    );
    let in_a = a.enter(peer, join);
    let id_a = in_a.member_id;
    let all = a.sync(&id_a, in_a.generation_id, &[(&id_a, "all")]);
    peer.ask("a", "sync", sync, all);
    let (id_b, two) = second_joins(peer, (&a, &id_a, in_a.generation_id), &b);
    let parts = [(id_a.as_str(), "one"), (id_b.as_str(), "two")];
    let both = a.sync(&id_a, two, &parts);
    peer.ask("a", "sync", sync, both);
    peer.end::<SyncGroupRequest>("b", "sync", sync);

    let id_c = c.introduce(peer, join);
    peer.begin("c", join, c.join(&id_c));
    until_state(peer, &group, "PreparingRebalance");
    peer.begin("b", join, b.join(&id_b));
    peer.begin("a", join, a.join(&id_a));
    let [three, _, _] = [&a, &b, &c].map(|one| one.joined(peer, "the third generation", join));
    let three = three.generation_id;
    peer.begin("c", sync, c.sync(&id_c, three, &[]));
    peer.begin("b", sync, b.sync(&id_b, three, &[]));
    // The leader forgets one of the three.
    peer.ask("a", "sync", sync, a.sync(&id_a, three, &parts));
    peer.end::<SyncGroupRequest>("b", "sync", sync);
    peer.end::<SyncGroupRequest>("c", "sync of the forgotten one", sync);
    describe(peer, &group, "three");

    let leave = peer.newest(ApiKey::LeaveGroup);
    peer.ask("a", "the leader leaves", leave, a.leave(&id_a, leave));
    peer.ask("b", "heartbeat", beat, b.heartbeat(&id_b, three));
    peer.begin("b", join, b.join(&id_b));
    peer.begin("c", join, c.join(&id_c));
    for one in [b, c] {
        // Which of the two leads is Kafka's hash table's choice.
        peer.end_sorted::<JoinGroupRequest>(one.who, "without the leader", join, |answer| {
            answer.leader = Str::default();
            answer.members.clear();
        });
    }
    describe(peer, &group, "without the leader");
}

/// A second member joins one that works; what the first is told meanwhile is recorded. Gives the
/// second's id and the new generation, in which the second waits for its assignment.
fn second_joins(
    peer: &mut Peer,
    (a, id_a, one): (&Member, &str, i32),
    b: &Member,
) -> (String, i32) {
    let (join, sync, beat) = (
        peer.newest(ApiKey::JoinGroup),
        peer.newest(ApiKey::SyncGroup),
        peer.newest(ApiKey::Heartbeat),
    );
    let id_b = b.introduce(peer, join);
    peer.begin("b", join, b.join(&id_b));
    until_state(peer, &a.group, "PreparingRebalance");
    peer.ask(
        "a",
        "heartbeat in a rebalance",
        beat,
        a.heartbeat(id_a, one),
    );
    peer.ask("a", "sync in a rebalance", sync, a.sync(id_a, one, &[]));
    describe(peer, &a.group, "in a rebalance");
    peer.begin("a", join, a.join(id_a));
    let [two, _] = [a, b].map(|member| member.joined(peer, "the second generation", join));
    let two = two.generation_id;
    peer.begin("b", sync, b.sync(&id_b, two, &[]));
    peer.ask("a", "sync too late", sync, a.sync(id_a, two - 1, &[]));
    peer.ask("a", "heartbeat while syncing", beat, a.heartbeat(id_a, two));
    (id_b, two)
}

/// A member with an instance id comes back, is fenced, and is removed by its instance id.
pub(super) fn static_members(peer: &mut Peer) {
    ready(peer);
    let newest = peer.newest(ApiKey::JoinGroup);
    for version in [5, 7, newest] {
        let (sync, beat, leave) = (
            peer.newest(ApiKey::SyncGroup),
            peer.newest(ApiKey::Heartbeat),
            peer.newest(ApiKey::LeaveGroup),
        );
        let group = format!("static-{version}{}", peer.run);
        let mut member = Member::new(&group, "a");
        member.instance = Some("instance-a");
        peer.begin("a", version, member.join(""));
        let first = member.joined(peer, "a static member", version);
        let (old, generation) = (first.member_id.to_string(), first.generation_id);
        peer.ask(
            "a",
            "sync",
            sync,
            member.sync(&old, generation, &[(&old, "all")]),
        );
        peer.begin("b", version, member.join(""));
        let second = peer
            .end::<JoinGroupRequest>("b", "the same instance", version)
            .unwrap();
        let new = second.member_id.to_string();
        peer.ask(
            "a",
            "the old one's heartbeat",
            beat,
            member.heartbeat(&old, generation),
        );
        peer.ask(
            "b",
            "the new one's sync",
            sync,
            member.sync(&new, second.generation_id, &[]),
        );
        peer.ask(
            "b",
            "the new one's heartbeat",
            beat,
            member.heartbeat(&new, generation),
        );
        describe(peer, &group, "a static member that came back");
        peer.ask("a", "the old one leaves", leave, member.leave(&old, leave));
        peer.ask("b", "by instance id", leave, member.leave("", leave));
        describe(peer, &group, "nobody");
    }
}

/// What is refused.
pub(super) fn refusals(peer: &mut Peer) {
    ready(peer);
    for version in peer.versions(ApiKey::JoinGroup) {
        let group = format!("refused-{version}{}", peer.run);
        let member = Member::new(&group, "a");
        let cases: [(&str, Change); 6] = [
            ("an empty group id", |join| join.group_id = Str::default()),
            ("a short session", |join| join.session_timeout_ms = 5_999),
            ("a long session", |join| join.session_timeout_ms = 1_800_001),
            ("an unknown member", |join| {
                join.member_id = Str::from_static("nobody")
            }),
            ("no protocols", |join| join.protocols.clear()),
            ("no protocol type", |join| {
                join.protocol_type = Str::default()
            }),
        ];
        for (what, change) in cases {
            let mut join = member.join("");
            change(&mut join);
            peer.ask("odd", what, version, join);
        }
        let joined = member.enter(peer, version);
        let mut other = member.join("");
        other.protocol_type = Str::from_static("connect");
        peer.ask("odd", "another protocol type", version, other);
        let mut other = member.join("");
        other.protocols.truncate(1);
        other.protocols[0].name = Str::from_static("sticky");
        peer.ask("odd", "another protocol", version, other);
        let _ = joined;
    }
    let member = Member::new("no-such-group", "a");
    for version in peer.versions(ApiKey::Heartbeat) {
        peer.ask(
            "odd",
            "heartbeat nowhere",
            version,
            member.heartbeat("x", 1),
        );
    }
    for version in peer.versions(ApiKey::SyncGroup) {
        peer.ask("odd", "sync nowhere", version, member.sync("x", 1, &[]));
    }
    for version in peer.versions(ApiKey::LeaveGroup) {
        peer.ask("odd", "leave nowhere", version, member.leave("x", version));
    }
}

/// What is wrong with a request.
type Change = fn(&mut JoinGroupRequest);

/// Lists with filters, descriptions of what there is not, and coordinators.
pub(super) fn lists(peer: &mut Peer) {
    ready(peer);
    for version in peer.versions(ApiKey::DescribeGroups) {
        let request = DescribeGroupsRequest {
            groups: vec![Str::from_static("no-such-group"), Str::default()],
            include_authorized_operations: version >= 3,
        };
        peer.begin("main", version, request);
        let what = "groups that are not";
        peer.end_sorted::<DescribeGroupsRequest>("main", what, version, |answer| {
            answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        });
    }
    for version in peer.versions(ApiKey::ListGroups) {
        let states: &[&[&'static str]] = match version {
            ..=3 => &[&[]],
            _ => &[&["nonsense"], &["Dead"]],
        };
        for state in states {
            let request = ListGroupsRequest {
                states_filter: state.iter().map(|state| Str::from_static(state)).collect(),
                ..ListGroupsRequest::default()
            };
            if version >= 4 {
                peer.ask("main", &format!("states {state:?}"), version, request);
            }
        }
        if version >= 5 {
            let request = ListGroupsRequest {
                types_filter: vec![Str::from_static("nonsense")],
                ..ListGroupsRequest::default()
            };
            peer.ask("main", "an unknown type", version, request);
        }
    }
    for version in peer.versions(ApiKey::FindCoordinator) {
        for key in ["some-group", ""] {
            let key = Str::from(key.to_owned());
            let request = if version < 4 {
                FindCoordinatorRequest {
                    key,
                    ..FindCoordinatorRequest::default()
                }
            } else {
                FindCoordinatorRequest {
                    coordinator_keys: vec![key],
                    ..FindCoordinatorRequest::default()
                }
            };
            peer.ask("main", "who coordinates", version, request);
        }
    }
}

/// Returns when groups can be used: Kafka makes its internal topic at the first question, and each
/// of its partitions answers for its groups when it is loaded.
pub(super) fn ready(peer: &mut Peer) {
    let names = || (0..500).map(|number| Str::from(format!("group {number}")));
    for _ in 0..ATTEMPTS_MAX {
        let found = peer.quietly(FindCoordinatorRequest {
            coordinator_keys: vec![Str::from_static("some-group")],
            ..FindCoordinatorRequest::default()
        });
        let groups = peer.quietly(DescribeGroupsRequest {
            groups: names().collect(),
            ..DescribeGroupsRequest::default()
        });
        let is_loaded = groups.groups.iter().all(|group| group.error_code == 0);
        if found.coordinators[0].error_code == 0 && is_loaded {
            return;
        }
    }
    panic!("there is no coordinator");
}

/// Records a group's description.
pub(super) fn describe(peer: &mut Peer, group: &str, what: &str) {
    let request = DescribeGroupsRequest {
        groups: vec![Str::from(group.to_owned())],
        ..DescribeGroupsRequest::default()
    };
    let version = peer.newest(ApiKey::DescribeGroups);
    peer.begin("main", version, request);
    peer.end_sorted::<DescribeGroupsRequest>("main", what, version, |answer| {
        for group in &mut answer.groups {
            group.members.sort_by(|a, b| a.client_id.cmp(&b.client_id));
        }
    });
}

fn until_state(peer: &mut Peer, group: &str, state: &str) {
    for _ in 0..ATTEMPTS_MAX {
        let answer = peer.quietly(DescribeGroupsRequest {
            groups: vec![Str::from(group.to_owned())],
            ..DescribeGroupsRequest::default()
        });
        if answer.groups[0].group_state == *state {
            return;
        }
    }
    panic!("{group} does not become {state}");
}

/// A member, which asks on a connection of its own name.
pub(super) struct Member {
    group: Str,
    who: &'static str,
    instance: Option<&'static str>,
}

impl Member {
    pub(super) fn new(group: &str, who: &'static str) -> Self {
        Self {
            group: Str::from(group.to_owned()),
            who,
            instance: None,
        }
    }

    /// Joins a group that waits for nobody else.
    pub(super) fn enter(&self, peer: &mut Peer, version: i16) -> JoinGroupResponse {
        let id = self.introduce(peer, version);
        peer.begin(self.who, version, self.join(&id));
        self.joined(peer, "join", version)
    }

    /// The id of the member, where a version asks for one; else none.
    fn introduce(&self, peer: &mut Peer, version: i16) -> String {
        if version < 4 {
            return String::new();
        }
        let answer = peer.ask(self.who, "join without an id", version, self.join(""));
        answer.expect("the member gets an id").member_id.to_string()
    }

    fn joined(&self, peer: &mut Peer, what: &str, version: i16) -> JoinGroupResponse {
        let answer = peer.end_sorted::<JoinGroupRequest>(self.who, what, version, |answer| {
            answer.members.sort_by(|a, b| a.metadata.cmp(&b.metadata));
        });
        answer.expect("the member is answered")
    }

    fn join(&self, id: &str) -> JoinGroupRequest {
        let protocol = |name| JoinGroupProtocol {
            name: Str::from_static(name),
            metadata: Bytes::from(format!("{} by {name}", self.who)),
        };
        JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 60_000,
            member_id: Str::from(id.to_owned()),
            group_instance_id: self.instance.map(Str::from_static),
            protocol_type: Str::from_static("test"),
            protocols: vec![protocol("range"), protocol("roundrobin")],
            ..JoinGroupRequest::default()
        }
    }

    pub(super) fn sync(
        &self,
        id: &str,
        generation: i32,
        parts: &[(&str, &'static str)],
    ) -> SyncGroupRequest {
        let assignments = parts.iter().map(|(member, part)| SyncGroupAssignment {
            member_id: Str::from((*member).to_owned()),
            assignment: Bytes::from_static(part.as_bytes()),
        });
        SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: Str::from(id.to_owned()),
            group_instance_id: self.instance.map(Str::from_static),
            protocol_type: Some(Str::from_static("test")),
            protocol_name: Some(Str::from_static("range")),
            assignments: assignments.collect(),
        }
    }

    fn heartbeat(&self, id: &str, generation: i32) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: Str::from(id.to_owned()),
            group_instance_id: self.instance.map(Str::from_static),
        }
    }

    pub(super) fn leave(&self, id: &str, version: i16) -> LeaveGroupRequest {
        let member_id = Str::from(id.to_owned());
        let group_id = self.group.clone();
        if version < 3 {
            return LeaveGroupRequest {
                group_id,
                member_id,
                ..LeaveGroupRequest::default()
            };
        }
        LeaveGroupRequest {
            group_id,
            members: vec![LeaveGroupMember {
                member_id,
                group_instance_id: self.instance.map(Str::from_static),
                ..LeaveGroupMember::default()
            }],
            ..LeaveGroupRequest::default()
        }
    }
}

const ATTEMPTS_MAX: usize = 100_000;
