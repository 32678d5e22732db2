//! What tools see of groups: where they are, which there are, what they do.

use highwater_broker::service::groups::GroupState;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::delete_groups::DeleteGroupsRequest;
use highwater_proto::kafka::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use highwater_proto::kafka::messages::find_coordinator::FindCoordinatorRequest;
use highwater_proto::kafka::messages::list_groups::{ListGroupsRequest, ListedGroup};

use crate::group_kit::{
    COMMIT, Consumer, LEAVE, commit, committed, leave, subscription, until_state,
};
use crate::kit::{Client, Rig};

#[test]
fn the_coordinator_of_every_group_is_this_broker_at_the_address_that_the_client_came_by() {
    let rig = Rig::new();
    let port = i32::from(rig.address.port());
    let mut client = rig.client();
    for version in 0..=3 {
        let request = FindCoordinatorRequest {
            key: "g".into(),
            ..FindCoordinatorRequest::default()
        };
        let found = client.call(version, request);
        assert_eq!(
            (found.error_code, found.node_id, found.port),
            (0, 1, port),
            "v{version}"
        );
        assert_eq!(found.host, "127.0.0.1");
    }
    for version in 4..=6 {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec!["g".into(), "h".into()],
            ..FindCoordinatorRequest::default()
        };
        let found = client.call(version, request).coordinators;
        let keys: Vec<&str> = found.iter().map(|one| &*one.key).collect();
        assert_eq!(keys, ["g", "h"]);
        for one in &found {
            assert_eq!(
                (one.error_code, one.node_id, one.port),
                (0, 1, port),
                "v{version}"
            );
            assert_eq!(one.host, "127.0.0.1");
        }
    }
}

#[test]
fn transactions_have_no_coordinator_error_15_and_share_groups_are_error_42() {
    let rig = Rig::new();
    let mut client = rig.client();
    for (key_type, code) in [(1, 15), (2, 42), (3, 42), (-1, 42)] {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec!["x".into()],
            ..FindCoordinatorRequest::default()
        };
        let found = client.call(6, request).coordinators.remove(0);
        assert_eq!(
            (found.error_code, found.node_id, found.port),
            (code, -1, -1)
        );
        assert!(
            found.error_message.is_some_and(|why| why.len() > 20),
            "type {key_type}"
        );
        let request = FindCoordinatorRequest {
            key: "x".into(),
            key_type,
            ..FindCoordinatorRequest::default()
        };
        assert_eq!(client.call(1, request).error_code, code);
    }
}

fn describe(client: &mut Client, version: i16, group: &'static str) -> DescribedGroup {
    let request = DescribeGroupsRequest {
        groups: vec![group.into()],
        include_authorized_operations: version >= 3,
    };
    let mut answer = client.call(version, request);
    assert_eq!(answer.groups.len(), 1);
    answer.groups.remove(0)
}

#[test]
fn a_group_is_described_as_it_is_in_every_version() {
    let rig = Rig::new();
    let consumer = Consumer::stable(&rig, "g");
    let mut client = rig.client();
    for version in 0..=5 {
        let group = describe(&mut client, version, "g");
        assert_eq!((group.error_code, &*group.group_id), (0, "g"), "v{version}");
        assert_eq!(
            (&*group.group_state, &*group.protocol_type),
            ("Stable", "consumer")
        );
        assert_eq!(group.protocol_data, "range");
        // Read, delete, describe, describe its settings and alter them.
        let operations = if version >= 3 { 3400 } else { i32::MIN };
        assert_eq!(group.authorized_operations, operations, "v{version}");
        let [member] = &group.members[..] else {
            panic!("{group:?}")
        };
        assert_eq!(member.member_id, consumer.id());
        assert_eq!(
            (&*member.client_id, &*member.client_host),
            ("test", "/127.0.0.1")
        );
        assert_eq!(member.member_metadata, subscription("t"));
        assert_eq!(&member.member_assignment[..], b"work");
    }
}

#[test]
fn a_group_that_does_not_exist_is_dead_which_is_no_error() {
    let rig = Rig::new();
    let mut client = rig.client();
    for version in 0..=5 {
        let group = describe(&mut client, version, "nobody");
        assert_eq!(
            (group.error_code, &*group.group_state),
            (0, "Dead"),
            "v{version}"
        );
        assert_eq!((&*group.group_id, group.members.len()), ("nobody", 0));
    }
}

#[test]
fn a_group_that_is_named_twice_is_described_once_then_error_42() {
    let rig = Rig::new();
    let _member = Consumer::stable(&rig, "g");
    let request = DescribeGroupsRequest {
        groups: vec!["g".into(), "g".into()],
        ..DescribeGroupsRequest::default()
    };
    let groups = rig.client().call(5, request).groups;
    let told = groups.iter().map(|one| (one.error_code, one.members.len()));
    assert_eq!(told.collect::<Vec<_>>(), [(0, 1), (42, 0)]);
}

#[test]
fn while_it_is_rebalanced_a_group_tells_the_last_assignments_and_no_metadata() {
    let rig = Rig::new();
    let mut old = Consumer::stable(&rig, "g");
    let mut new = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    let mut client = rig.client();
    let mut assignments = |state: &str| -> Vec<String> {
        let group = describe(&mut client, 5, "g");
        assert_eq!((&*group.group_state, &*group.protocol_data), (state, ""));
        let members = group.members.into_iter();
        let assignment = members.map(|member| {
            assert!(member.member_metadata.is_empty(), "{member:?}");
            String::from_utf8(member.member_assignment.to_vec()).unwrap()
        });
        let mut assignments: Vec<String> = assignment.collect();
        assignments.sort();
        assignments
    };
    assert_eq!(assignments("PreparingRebalance"), ["", "work"]);
    old.send_join();
    old.receive_join();
    new.receive_join();
    assert_eq!(assignments("CompletingRebalance"), ["", ""]);
}

fn listed(
    client: &mut Client,
    version: i16,
    states: &[&'static str],
    types: &[&'static str],
) -> Vec<ListedGroup> {
    let all = |names: &[&'static str]| names.iter().map(|name| Str::from_static(name)).collect();
    let request = ListGroupsRequest {
        states_filter: all(states),
        types_filter: all(types),
    };
    let answer = client.call(version, request);
    assert_eq!(answer.error_code, 0);
    answer.groups
}

#[test]
fn groups_are_listed_by_state_and_type_in_any_case_of_letters() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let _member = Consumer::stable(&rig, "stable");
    let gone = Consumer::stable(&rig, "empty");
    client.call(LEAVE, leave("empty", &gone.id()));
    assert_eq!(committed(&mut client, COMMIT, commit("simple", "t", 1)), 0);
    for version in 0..=5 {
        let groups = listed(&mut client, version, &[], &[]);
        let names: Vec<&str> = groups.iter().map(|group| &*group.group_id).collect();
        assert_eq!(names, ["empty", "simple", "stable"], "v{version}");
        let types: Vec<&str> = groups.iter().map(|group| &*group.protocol_type).collect();
        assert_eq!(types, ["consumer", "", "consumer"]);
        let state = if version >= 4 { "Stable" } else { "" };
        assert_eq!(groups[2].group_state, state, "v{version}");
        let kind = if version >= 5 { "classic" } else { "" };
        assert_eq!(groups[2].group_type, kind, "v{version}");
    }
    let mut names = |states: &[&'static str], types: &[&'static str]| -> Vec<String> {
        let groups = listed(&mut client, 5, states, types).into_iter();
        groups.map(|group| String::from(group.group_id)).collect()
    };
    assert_eq!(names(&["sTABLE"], &[]), ["stable"]);
    assert_eq!(names(&["Empty"], &["CLASSIC"]), ["empty", "simple"]);
    assert_eq!(
        names(&["Empty", "stable"], &["classic", "consumer"]).len(),
        3
    );
    assert_eq!(names(&[], &["Consumer"]), [""; 0]);
    assert_eq!(names(&["Sleeping"], &[]), [""; 0]);
}

#[test]
fn a_group_without_a_name_is_described_and_deleted_like_any_other() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let delete = |client: &mut Client| {
        let request = DeleteGroupsRequest {
            groups_names: vec!["".into()],
        };
        client.call(2, request).results[0].error_code
    };
    let state = |client: &mut Client| {
        let group = describe(client, 5, "");
        (group.error_code, String::from(group.group_state))
    };
    assert_eq!(state(&mut client), (0, "Dead".to_owned()));
    assert_eq!(delete(&mut client), 69);
    assert_eq!(committed(&mut client, COMMIT, commit("", "t", 5)), 0);
    assert_eq!(state(&mut client), (0, "Empty".to_owned()));
    assert_eq!(delete(&mut client), 0);
    assert_eq!(state(&mut client), (0, "Dead".to_owned()));
}

#[test]
fn a_group_with_members_is_not_deleted_error_68_and_an_unknown_one_is_error_69() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let mut consumer = Consumer::stable(&rig, "busy");
    for version in 0..=2 {
        assert_eq!(committed(&mut client, COMMIT, commit("idle", "t", 1)), 0);
        let request = DeleteGroupsRequest {
            groups_names: vec!["busy".into(), "idle".into(), "nobody".into()],
        };
        let answer = client.call(version, request);
        let results = answer.results.iter();
        let results: Vec<_> = results
            .map(|one| (&*one.group_id, one.error_code))
            .collect();
        assert_eq!(
            results,
            [("busy", 68), ("idle", 0), ("nobody", 69)],
            "v{version}"
        );
        assert_eq!(rig.service.describe_group("idle").state, GroupState::Dead);
    }
    assert_eq!(consumer.heartbeat(), 0);
}
