//! Committed offsets on the wire: how they are written, read back, refused and deleted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_broker::config::BrokerConfig;
use highwater_broker::service::groups::GroupState;
use highwater_log::fs::mem::MemFs;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::find_coordinator::FindCoordinatorRequest;
use highwater_proto::kafka::messages::offset_commit::OffsetCommitRequest;
use highwater_proto::kafka::messages::offset_delete::{
    OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic,
};
use highwater_proto::kafka::messages::offset_fetch::{
    OffsetFetchGroup, OffsetFetchPartitionResult, OffsetFetchRequest, OffsetFetchTopic,
    OffsetFetchTopicResult,
};

use crate::disk::FaultyFs;
use crate::group_kit::{COMMIT, Consumer, commit, committed, until_state};
use crate::kit::{Client, Rig, until};

/// What a group has committed, by topic; `None` asks for all.
fn fetched(
    client: &mut Client,
    version: i16,
    group: &'static str,
    topics: Option<Vec<OffsetFetchTopic>>,
) -> Vec<OffsetFetchTopicResult> {
    if version < 8 {
        let request = OffsetFetchRequest {
            group_id: group.into(),
            topics,
            ..OffsetFetchRequest::default()
        };
        let answer = client.call(version, request);
        assert_eq!(answer.error_code, 0);
        return answer.topics;
    }
    let groups = vec![OffsetFetchGroup {
        group_id: group.into(),
        topics,
        ..OffsetFetchGroup::default()
    }];
    let request = OffsetFetchRequest {
        groups,
        ..OffsetFetchRequest::default()
    };
    let mut answer = client.call(version, request);
    assert_eq!((answer.groups.len(), answer.groups[0].error_code), (1, 0));
    assert_eq!(answer.groups[0].group_id, group);
    answer.groups.remove(0).topics
}

fn asked(name: &'static str, partition_indexes: &[i32]) -> OffsetFetchTopic {
    OffsetFetchTopic {
        name: name.into(),
        partition_indexes: partition_indexes.to_vec(),
    }
}

fn offset(
    index: i32,
    offset: i64,
    epoch: i32,
    metadata: &'static str,
) -> OffsetFetchPartitionResult {
    OffsetFetchPartitionResult {
        index,
        committed_offset: offset,
        committed_leader_epoch: epoch,
        metadata: Some(metadata.into()),
        error_code: 0,
    }
}

#[test]
fn an_offset_comes_back_with_its_metadata_and_epoch_in_every_version() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    for version in 2..=9 {
        let mut request = commit("g", "t", i64::from(version));
        let partition = &mut request.topics[0].partitions[0];
        partition.committed_metadata = Some("seen".into());
        partition.committed_leader_epoch = if version >= 6 { 3 } else { -1 };
        assert_eq!(committed(&mut client, version, request), 0);
        for fetch in 1..=9 {
            let epoch = if version >= 6 && fetch >= 5 { 3 } else { -1 };
            let topics = fetched(&mut client, fetch, "g", Some(vec![asked("t", &[0])]));
            let expected = [offset(0, i64::from(version), epoch, "seen")];
            assert_eq!(topics[0].partitions, expected, "v{version}, v{fetch}");
        }
    }
    let mut request = commit("g", "t", 1);
    request.topics[0].partitions[0].committed_metadata = None;
    assert_eq!(committed(&mut client, COMMIT, request), 0);
    let topics = fetched(&mut client, 9, "g", None);
    assert_eq!(topics[0].partitions, [offset(0, 1, -1, "")]);
}

#[test]
fn what_is_not_committed_is_no_error_and_null_topics_are_all() {
    let rig = Rig::new();
    rig.topic("t", 2);
    rig.topic("u", 1);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 5)), 0);
    assert_eq!(committed(&mut client, COMMIT, commit("g", "u", 6)), 0);
    for version in 1..=9 {
        let of_g = vec![asked("t", &[1, 0]), asked("no-such-topic", &[7])];
        let topics = fetched(&mut client, version, "g", Some(of_g));
        let (none, five) = (offset(1, -1, -1, ""), offset(0, 5, -1, ""));
        assert_eq!(topics[0].partitions, [none, five], "v{version}");
        assert_eq!(topics[1].partitions, [offset(7, -1, -1, "")], "v{version}");
        let of_nobody = fetched(&mut client, version, "nobody", Some(vec![asked("t", &[0])]));
        assert_eq!(
            of_nobody[0].partitions,
            [offset(0, -1, -1, "")],
            "v{version}"
        );
        assert_eq!(fetched(&mut client, version, "g", Some(Vec::new())), []);
        if version >= 2 {
            let mut all = fetched(&mut client, version, "g", None);
            all.sort_by(|one, other| one.name.cmp(&other.name));
            let names: Vec<&str> = all.iter().map(|topic| &*topic.name).collect();
            assert_eq!(names, ["t", "u"], "v{version}");
            assert_eq!(all[1].partitions, [offset(0, 6, -1, "")]);
            assert_eq!(fetched(&mut client, version, "nobody", None), []);
        }
    }
}

#[test]
fn several_groups_are_asked_at_once_from_v8_on() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 5)), 0);
    assert_eq!(committed(&mut client, COMMIT, commit("h", "t", 6)), 0);
    let group = |group_id, topics| OffsetFetchGroup {
        group_id,
        topics,
        ..OffsetFetchGroup::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![
            group("g".into(), None),
            group("nobody".into(), None),
            group("h".into(), Some(vec![asked("t", &[0])])),
        ],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let answer = client.call(8, request);
    let found = |at: usize| {
        let topics = answer.groups[at].topics.iter();
        topics
            .flat_map(|topic| &topic.partitions)
            .map(|one| one.committed_offset)
            .collect()
    };
    let found: [Vec<i64>; 3] = [found(0), found(1), found(2)];
    assert_eq!(found, [vec![5], vec![], vec![6]]);
}

#[test]
fn a_group_that_is_asked_for_twice_is_answered_once_then_error_42() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 5)), 0);
    let all = OffsetFetchGroup {
        group_id: "g".into(),
        topics: None,
        ..OffsetFetchGroup::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![all.clone(), all],
        ..OffsetFetchRequest::default()
    };
    let groups = client.call(9, request).groups;
    let told = groups.iter().map(|one| (one.error_code, one.topics.len()));
    assert_eq!(told.collect::<Vec<_>>(), [(0, 1), (42, 0)]);
}

#[test]
fn an_offset_of_an_unknown_partition_is_error_3_and_the_others_are_committed() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let mut request = commit("g", "t", 5);
    let mut unknown = request.topics[0].partitions[0].clone();
    unknown.index = 1;
    request.topics[0].partitions.insert(0, unknown);
    request
        .topics
        .push(commit("g", "no-such-topic", 1).topics.remove(0));
    let answer = client.call(COMMIT, request);
    let codes = |at: usize| -> Vec<i16> {
        answer.topics[at]
            .partitions
            .iter()
            .map(|one| one.error_code)
            .collect()
    };
    assert_eq!((codes(0), codes(1)), (vec![3, 0], vec![3]));
    let topics = fetched(&mut client, 9, "g", None);
    assert_eq!(topics.len(), 1);
    assert_eq!(topics[0].partitions, [offset(0, 5, -1, "")]);
}

#[test]
fn metadata_that_are_too_long_are_error_12() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let mut request = commit("g", "t", 5);
    let long = "x".repeat(4097);
    request.topics[0].partitions[0].committed_metadata = Some(Str::from(long.clone()));
    assert_eq!(committed(&mut client, COMMIT, request.clone()), 12);
    assert_eq!(fetched(&mut client, 9, "g", None), []);
    let fits = Str::from(long[..4096].to_owned());
    request.topics[0].partitions[0].committed_metadata = Some(fits);
    assert_eq!(committed(&mut client, COMMIT, request), 0);
}

#[test]
fn a_generation_of_a_group_that_does_not_exist_is_error_22_and_from_v9_on_69() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    for version in 2..=9 {
        let request = OffsetCommitRequest {
            generation_id: 3,
            member_id: "nobody".into(),
            ..commit("g", "t", 5)
        };
        let expected = if version >= 9 { 69 } else { 22 };
        assert_eq!(
            committed(&mut client, version, request),
            expected,
            "v{version}"
        );
    }
    assert_eq!(rig.service.describe_group("g").state, GroupState::Dead);
}

#[test]
fn only_members_of_the_generation_commit_to_a_group_that_has_members() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut consumer = Consumer::stable(&rig, "g");
    assert_eq!(consumer.commit(5), 0);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 1)), 25);
    let by = |member_id: Str, generation_id| OffsetCommitRequest {
        generation_id,
        member_id,
        ..commit("g", "t", 1)
    };
    assert_eq!(committed(&mut client, COMMIT, by("nobody".into(), 1)), 25);
    assert_eq!(committed(&mut client, COMMIT, by(consumer.id(), 2)), 22);
    assert_eq!(committed(&mut client, 2, by(consumer.id(), 0)), 22);
    let topics = fetched(&mut client, 9, "g", None);
    assert_eq!(topics[0].partitions, [offset(0, 5, -1, "")]);
}

#[test]
fn a_commit_before_the_assignment_is_error_27() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut consumer = Consumer::joined(&rig, "g");
    assert_eq!(consumer.commit(5), 27);
    let id = consumer.id();
    assert_eq!(consumer.sync(&[(&id, "work")]).error_code, 0);
    assert_eq!(consumer.commit(5), 0);
}

#[test]
fn a_group_without_a_name_commits_and_fetches_as_old_clients_do() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("", "t", 5)), 0);
    let topics = fetched(&mut client, 1, "", Some(vec![asked("t", &[0])]));
    assert_eq!(topics[0].partitions, [offset(0, 5, -1, "")]);
}

#[test]
fn an_id_that_is_too_long_to_be_kept_is_error_42() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let request = commit(&"x".repeat(1025), "t", 5);
    assert_eq!(committed(&mut rig.client(), COMMIT, request), 42);
    assert_eq!(rig.service.list_groups(), []);
}

#[test]
fn offsets_that_say_how_long_they_are_kept_are_gone_then() {
    let rig = Rig::with(BrokerConfig {
        offsets_retention_check_interval_ms: 1_000,
        ..BrokerConfig::default()
    });
    rig.topic("t", 2);
    let mut client = rig.client();
    let kept_for = |retention_time_ms, group| OffsetCommitRequest {
        retention_time_ms,
        ..commit(group, "t", 5)
    };
    assert_eq!(committed(&mut client, 4, kept_for(60_000, "short")), 0);
    assert_eq!(committed(&mut client, 4, kept_for(-1, "default")), 0);
    until(|| {
        rig.advance(std::time::Duration::from_secs(1));
        rig.service.list_groups().len() == 1
    });
    assert!(rig.clock_since_start().as_secs() >= 60);
    // On a busy machine the clock may have run past `connections.max.idle.ms` meanwhile.
    let mut client = rig.client();
    assert_eq!(fetched(&mut client, 9, "short", None), []);
    assert_eq!(fetched(&mut client, 9, "default", None).len(), 1);
}

fn delete(group: &'static str, topics: &[&'static str]) -> OffsetDeleteRequest {
    let topic = |name: &&'static str| OffsetDeleteTopic {
        name: Str::from_static(name),
        partitions: vec![OffsetDeletePartition { index: 0 }],
    };
    OffsetDeleteRequest {
        group_id: group.into(),
        topics: topics.iter().map(topic).collect(),
    }
}

#[test]
fn offsets_are_deleted_but_not_of_topics_that_members_are_subscribed_to_error_86() {
    let rig = Rig::new();
    for topic in ["t", "u"] {
        rig.topic(topic, 1);
    }
    let mut client = rig.client();
    for topic in ["t", "u"] {
        assert_eq!(committed(&mut client, COMMIT, commit("g", topic, 5)), 0);
    }
    Consumer::stable(&rig, "g");
    let answer = client.call(0, delete("g", &["t", "u", "missing"]));
    assert_eq!(answer.error_code, 0);
    let results = answer.topics.iter();
    let codes: Vec<i16> = results
        .map(|topic| topic.partitions[0].error_code)
        .collect();
    assert_eq!(codes, [86, 0, 3]);
    let left = fetched(&mut client, 9, "g", None);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, "t");
}

#[test]
fn offsets_of_an_unknown_group_are_error_69() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let answer = rig.client().call(0, delete("nobody", &["t"]));
    assert_eq!((answer.error_code, answer.topics.len()), (69, 0));
}

#[test]
fn offsets_of_a_group_without_a_name_are_not_deleted_error_24() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("", "t", 5)), 0);
    let answer = client.call(0, delete("", &["t"]));
    assert_eq!((answer.error_code, answer.topics.len()), (24, 0));
    assert_eq!(
        fetched(&mut client, 1, "", Some(vec![asked("t", &[0])])).len(),
        1
    );
}

#[test]
fn offsets_of_a_group_of_other_than_consumers_stay_while_it_has_members_error_68() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 5)), 0);
    let mut request = crate::group_kit::join("g", &Str::default());
    request.protocol_type = "connect".into();
    let mut member = rig.client();
    assert_eq!(member.call(3, request).error_code, 0);
    until_state(&rig, "g", GroupState::CompletingRebalance);
    let answer = client.call(0, delete("g", &["t"]));
    assert_eq!((answer.error_code, answer.topics.len()), (68, 0));
}

#[test]
fn a_broken_log_is_error_16_for_a_commit_and_error_15_for_the_search_of_a_coordinator() {
    let fs = FaultyFs::new(MemFs::new());
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    rig.topic("t", 1);
    let mut client = rig.client();
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 5)), 0);
    fs.faults.syncs.store(true, Ordering::SeqCst);
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 6)), 16);
    assert_eq!(committed(&mut client, COMMIT, commit("g", "t", 7)), 16);
    let find = |key_type| FindCoordinatorRequest {
        key_type,
        coordinator_keys: vec!["g".into()],
        ..FindCoordinatorRequest::default()
    };
    let found = client.call(4, find(0));
    assert_eq!(found.coordinators[0].error_code, 15);
    assert!(
        found.coordinators[0]
            .error_message
            .as_ref()
            .is_some_and(|why| why.len() > 20)
    );
    // What was committed is still read.
    let topics = fetched(&mut client, 9, "g", None);
    assert_eq!(topics[0].partitions, [offset(0, 5, -1, "")]);
}
