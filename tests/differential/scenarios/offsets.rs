//! Committed offsets: written, read, refused, deleted.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::ApiKey;
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use highwater_proto::kafka::messages::offset_delete::{
    OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic,
};
use highwater_proto::kafka::messages::offset_fetch::{
    OffsetFetchGroup, OffsetFetchRequest, OffsetFetchTopic,
};

use super::groups::{Member, describe, ready};
use crate::peer::Peer;

/// From outside of a group, in every version.
pub(super) fn commit_and_fetch(peer: &mut Peer) {
    ready(peer);
    let topic = format!("offsets{}", peer.run);
    peer.topic(&topic, 2, &[]);
    for version in peer.versions(ApiKey::OffsetCommit) {
        let group = format!("offsets-{version}{}", peer.run);
        fetch_all(peer, &group, &topic, "before");
        let long = "m".repeat(4_097);
        for (what, partition, metadata) in [
            ("with metadata", 0, Some("here I was")),
            ("without metadata", 1, None),
            ("too much metadata", 0, Some(long.as_str())),
            ("an unknown partition", 7, Some("")),
        ] {
            let mut request = commit(&group, &topic, partition, 42);
            request.topics[0].partitions[0].committed_metadata =
                metadata.map(|text| Str::from(text.to_owned()));
            if version >= 6 {
                request.topics[0].partitions[0].committed_leader_epoch = 3;
            }
            peer.ask("main", what, version, request);
        }
        peer.ask(
            "main",
            "an unknown topic",
            version,
            commit(&group, "no-such-topic", 0, 1),
        );
        peer.ask(
            "main",
            "an empty group id",
            version,
            commit("", &topic, 0, 1),
        );
        let mut member = commit(&group, &topic, 0, 43);
        member.generation_id = 1;
        member.member_id = Str::from_static("nobody");
        peer.ask(
            "main",
            "a member of an empty group",
            version,
            member.clone(),
        );
        member.group_id = Str::from(format!("{group}-unknown"));
        peer.ask("main", "a member of no group", version, member);
        fetch_all(peer, &group, &topic, "after");
        describe(peer, &group, "a group that only keeps offsets");
    }
}

/// What a commit is told in each state of its group.
pub(super) fn in_each_state(peer: &mut Peer) {
    ready(peer);
    let topic = format!("states{}", peer.run);
    peer.topic(&topic, 1, &[]);
    let join = peer.newest(ApiKey::JoinGroup);
    let (sync, leave) = (
        peer.newest(ApiKey::SyncGroup),
        peer.newest(ApiKey::LeaveGroup),
    );
    for version in peer.versions(ApiKey::OffsetCommit) {
        let group = format!("states-{version}{}", peer.run);
        let member = Member::new(&group, "a");
        let joined = member.enter(peer, join);
        let (id, generation) = (joined.member_id.to_string(), joined.generation_id);
        let all = |peer: &mut Peer, state: &str| {
            let outside = commit(&group, &topic, 0, 1);
            peer.ask("main", &format!("{state}: from outside"), version, outside);
            for (who, member_id, generation) in [
                ("the member", id.as_str(), generation),
                ("the member, an old generation", &id, generation - 1),
                ("the member, a future generation", &id, generation + 1),
                ("a stranger", "nobody", generation),
            ] {
                let mut request = commit(&group, &topic, 0, 2);
                request.member_id = Str::from(member_id.to_owned());
                request.generation_id = generation;
                peer.ask("main", &format!("{state}: {who}"), version, request);
            }
        };
        all(peer, "completing");
        peer.ask(
            "a",
            "sync",
            sync,
            member.sync(&id, generation, &[(&id, "all")]),
        );
        all(peer, "stable");
        peer.ask("a", "leave", leave, member.leave(&id, leave));
        all(peer, "empty");
        fetch_all(peer, &group, &topic, "in the end");
    }
}

/// Offsets deleted one by one.
pub(super) fn deleted(peer: &mut Peer) {
    ready(peer);
    let topic = format!("deleted{}", peer.run);
    peer.topic(&topic, 2, &[]);
    let group = format!("deleted{}", peer.run);
    for partition in [0, 1] {
        peer.ask_newest("commit", commit(&group, &topic, partition, 5));
    }
    for (what, group, topic, partition) in [
        ("one", group.as_str(), topic.as_str(), 0),
        ("the same again", &group, &topic, 0),
        ("an unknown partition", &group, &topic, 9),
        ("an unknown topic", &group, "no-such-topic", 0),
        ("an unknown group", "no-such-group", &topic, 0),
        ("an empty group id", "", &topic, 0),
    ] {
        let request = OffsetDeleteRequest {
            group_id: Str::from(group.to_owned()),
            topics: vec![OffsetDeleteTopic {
                name: Str::from(topic.to_owned()),
                partitions: vec![OffsetDeletePartition { index: partition }],
            }],
        };
        peer.ask_newest(what, request);
    }
    fetch_all(peer, &group, &topic, "what is left");
}

/// Reads a group's offsets in every version: two partitions, and all that there are.
fn fetch_all(peer: &mut Peer, group: &str, topic: &str, when: &str) {
    for version in peer.versions(ApiKey::OffsetFetch) {
        let topics = || {
            vec![OffsetFetchTopic {
                name: Str::from(topic.to_owned()),
                partition_indexes: vec![0, 1],
            }]
        };
        for all in [false, true] {
            if all && version < 2 {
                continue;
            }
            let topics = (!all).then(topics);
            let mut request = OffsetFetchRequest::default();
            if version < 8 {
                request.group_id = Str::from(group.to_owned());
                request.topics = topics;
            } else {
                request.groups = vec![OffsetFetchGroup {
                    group_id: Str::from(group.to_owned()),
                    topics,
                    ..OffsetFetchGroup::default()
                }];
            }
            peer.begin("main", version, request);
            let what = format!("{when}, all {all}");
            peer.end_sorted::<OffsetFetchRequest>("main", &what, version, |answer| {
                let groups = answer.groups.iter_mut().map(|group| &mut group.topics);
                for topic in groups.chain([&mut answer.topics]).flatten() {
                    topic.partitions.sort_by_key(|partition| partition.index);
                }
            });
        }
    }
}

fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: Str::from(group.to_owned()),
        topics: vec![OffsetCommitTopic {
            name: Str::from(topic.to_owned()),
            partitions: vec![OffsetCommitPartition {
                index: partition,
                committed_offset: offset,
                ..OffsetCommitPartition::default()
            }],
        }],
        ..OffsetCommitRequest::default()
    }
}
