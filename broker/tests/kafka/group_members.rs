//! What members are told: each error of the group protocol, and what differs from version to
//! version.

use bytes::Bytes;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::groups::GroupState;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::join_group::{JoinGroupProtocol, JoinGroupRequest};
use highwater_proto::kafka::messages::leave_group::{LeaveGroupMember, LeaveGroupRequest};
use highwater_proto::kafka::messages::sync_group::SyncGroupRequest;

use crate::group_kit::{
    Consumer, HEARTBEAT, JOIN, LEAVE, SYNC, join, join_static, leave, sync, until_state,
};
use crate::kit::{Client, Rig};

fn heartbeat(client: &mut Client, group: &'static str, member: &Str, generation_id: i32) -> i16 {
    let request = HeartbeatRequest {
        group_id: group.into(),
        generation_id,
        member_id: member.clone(),
        ..HeartbeatRequest::default()
    };
    client.call(HEARTBEAT, request).error_code
}

#[test]
fn a_new_member_is_first_told_its_id_from_v4_on_and_joins_at_once_before() {
    let rig = Rig::new();
    for version in 0..=9 {
        let group = format!("g{version}");
        let mut client = rig.client();
        let request = |member_id: &Str| JoinGroupRequest {
            rebalance_timeout_ms: if version == 0 { -1 } else { 60_000 },
            ..join(&group, member_id)
        };
        let mut joined = client.call(version, request(&Str::default()));
        if version >= 4 {
            assert_eq!(
                (joined.error_code, joined.generation_id),
                (79, -1),
                "v{version}"
            );
            assert!(joined.member_id.starts_with("test-"), "{joined:?}");
            assert_eq!(joined.protocol_name, (version < 7).then(Str::default));
            assert_eq!((&*joined.leader, joined.members.len()), ("", 0));
            joined = client.call(version, request(&joined.member_id.clone()));
        }
        assert_eq!(
            (joined.error_code, joined.generation_id),
            (0, 1),
            "v{version}"
        );
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(joined.protocol_name, Some("range".into()));
        assert_eq!(
            joined.protocol_type,
            (version >= 7).then(|| "consumer".into())
        );
        assert_eq!(joined.members.len(), 1);
        assert_eq!(
            joined.members[0].metadata,
            crate::group_kit::subscription("t")
        );
        let described = rig.service.describe_group(&group);
        assert_eq!(described.members[0].client_id, "test");
        assert_eq!(described.members[0].client_host, "/127.0.0.1");
    }
}

#[test]
fn a_static_member_joins_at_once_and_its_id_begins_with_its_instance_id() {
    let rig = Rig::new();
    for version in 5..=9 {
        let group = format!("g{version}");
        let joined = rig.client().call(version, join_static(&group, "i"));
        assert_eq!(joined.error_code, 0);
        assert!(joined.member_id.starts_with("i-"), "{joined:?}");
        assert_eq!(joined.members[0].group_instance_id, Some("i".into()));
    }
}

#[test]
fn the_assignment_comes_in_every_version_and_v5_names_the_protocol() {
    let rig = Rig::new();
    for version in 0..=5 {
        let group: &'static str = ["a", "b", "c", "d", "e", "f"][usize::try_from(version).unwrap()];
        let mut consumer = Consumer::joined(&rig, group);
        let id = consumer.id();
        let mut request = sync(group, &consumer.joined, &[(&id, "work")]);
        if version < 5 {
            (request.protocol_type, request.protocol_name) = (None, None);
        }
        let synced = consumer.client.call(version, request);
        assert_eq!(
            (synced.error_code, &synced.assignment[..]),
            (0, &b"work"[..]),
            "v{version}"
        );
        assert_eq!(
            synced.protocol_type,
            (version >= 5).then(|| "consumer".into())
        );
        assert_eq!(synced.protocol_name, (version >= 5).then(|| "range".into()));
        assert_eq!(consumer.heartbeat(), 0);
    }
}

#[test]
fn a_member_that_the_leader_forgot_has_an_empty_assignment_which_is_not_null() {
    let rig = Rig::new();
    let mut consumer = Consumer::joined(&rig, "g");
    let synced = consumer.sync(&[]);
    assert_eq!((synced.error_code, synced.assignment), (0, Bytes::new()));
}

#[test]
fn an_empty_group_id_is_error_24_for_members() {
    let rig = Rig::new();
    let mut client = rig.client();
    let nobody = Str::from_static("nobody");
    assert_eq!(client.call(JOIN, join("", &Str::default())).error_code, 24);
    assert_eq!(heartbeat(&mut client, "", &nobody, 1), 24);
    for version in [2, LEAVE] {
        let request = if version < 3 {
            LeaveGroupRequest {
                member_id: nobody.clone(),
                ..LeaveGroupRequest::default()
            }
        } else {
            leave("", &nobody)
        };
        assert_eq!(client.call(version, request).error_code, 24);
    }
    let request = sync("", &Consumer::joined(&rig, "g").joined, &[]);
    assert_eq!(client.call(SYNC, request).error_code, 24);
}

#[test]
fn a_member_that_is_not_in_the_group_is_error_25() {
    let rig = Rig::new();
    let mut consumer = Consumer::stable(&rig, "g");
    let mut client = rig.client();
    let nobody = Str::from_static("nobody");
    for group in ["g", "no-such-group"] {
        let joined = client.call(JOIN, join(group, &nobody));
        assert_eq!(
            (joined.error_code, joined.generation_id),
            (25, -1),
            "{group}"
        );
        assert_eq!(
            (joined.protocol_name, joined.member_id),
            (None, nobody.clone())
        );
        assert_eq!(heartbeat(&mut client, group, &nobody, 1), 25, "{group}");
        let mut request = sync(group, &consumer.joined, &[]);
        request.member_id = nobody.clone();
        assert_eq!(client.call(SYNC, request).error_code, 25, "{group}");
        let left = client.call(LEAVE, leave(group, &nobody));
        assert_eq!(
            (left.error_code, left.members[0].error_code),
            (0, 25),
            "{group}"
        );
        let request = LeaveGroupRequest {
            group_id: group.into(),
            member_id: nobody.clone(),
            ..LeaveGroupRequest::default()
        };
        assert_eq!(client.call(2, request).error_code, 25, "{group}");
    }
    // The third one has noticed nothing.
    assert_eq!(consumer.heartbeat(), 0);
}

#[test]
fn another_generation_is_error_22() {
    let rig = Rig::new();
    let mut consumer = Consumer::stable(&rig, "g");
    let id = consumer.id();
    for generation in [0, 2, -1] {
        assert_eq!(
            heartbeat(&mut consumer.client, "g", &id, generation),
            22,
            "{generation}"
        );
        let mut request = sync("g", &consumer.joined, &[]);
        request.generation_id = generation;
        assert_eq!(
            consumer.client.call(SYNC, request).error_code,
            22,
            "{generation}"
        );
    }
    assert_eq!(consumer.heartbeat(), 0);
}

#[test]
fn members_that_do_not_agree_on_a_protocol_are_error_23() {
    let rig = Rig::new();
    let mut consumer = Consumer::stable(&rig, "g");
    let mut client = rig.client();
    let new = Str::default();
    let other_type = JoinGroupRequest {
        protocol_type: "connect".into(),
        ..join("g", &new)
    };
    let other_protocol = JoinGroupRequest {
        protocols: vec![JoinGroupProtocol {
            name: "roundrobin".into(),
            metadata: Bytes::new(),
        }],
        ..join("g", &new)
    };
    let no_type = JoinGroupRequest {
        protocol_type: "".into(),
        ..join("new", &new)
    };
    let no_protocol = JoinGroupRequest {
        protocols: Vec::new(),
        ..join("new", &new)
    };
    for request in [other_type, other_protocol, no_type, no_protocol] {
        assert_eq!(
            client.call(JOIN, request.clone()).error_code,
            23,
            "{request:?}"
        );
        assert_eq!(
            client.call(3, request.clone()).error_code,
            23,
            "{request:?}"
        );
    }
    assert_eq!(consumer.heartbeat(), 0);
}

#[test]
fn a_sync_that_expects_another_protocol_or_none_is_error_23() {
    let rig = Rig::new();
    let mut consumer = Consumer::stable(&rig, "g");
    let good = sync("g", &consumer.joined, &[]);
    let expecting = |kind: Option<&'static str>, name: Option<&'static str>| SyncGroupRequest {
        protocol_type: kind.map(Str::from),
        protocol_name: name.map(Str::from),
        ..good.clone()
    };
    for request in [
        expecting(Some("connect"), Some("range")),
        expecting(Some("consumer"), Some("roundrobin")),
        expecting(None, Some("range")),
        expecting(Some("consumer"), None),
        expecting(None, None),
    ] {
        let synced = consumer.client.call(SYNC, request.clone());
        assert_eq!(
            (synced.error_code, synced.assignment),
            (23, Bytes::new()),
            "{request:?}"
        );
    }
    // Older versions do not say what they expect.
    assert_eq!(consumer.client.call(4, expecting(None, None)).error_code, 0);
}

#[test]
fn a_session_timeout_outside_of_the_limits_is_error_26() {
    let rig = Rig::new();
    let mut client = rig.client();
    for session_timeout_ms in [0, 5_999, 1_800_001, -1] {
        let request = JoinGroupRequest {
            session_timeout_ms,
            ..join("g", &Str::default())
        };
        assert_eq!(
            client.call(JOIN, request).error_code,
            26,
            "{session_timeout_ms}"
        );
    }
    assert_eq!(rig.service.describe_group("g").state, GroupState::Dead);
}

#[test]
fn while_the_group_is_rebalanced_a_heartbeat_is_error_27_and_keeps_its_member_alive() {
    let rig = Rig::new();
    let mut old = Consumer::stable(&rig, "g");
    let mut new = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    for _ in 0..4 {
        assert_eq!(old.heartbeat(), 27);
        rig.advance(std::time::Duration::from_secs(6));
    }
    old.send_join();
    old.receive_join();
    new.receive_join();
    assert_eq!((old.joined.generation_id, new.joined.generation_id), (2, 2));
    assert_eq!((old.joined.members.len(), new.joined.members.len()), (2, 0));
    assert_eq!(new.joined.leader, old.id());
}

#[test]
fn a_sync_that_waits_is_told_of_the_next_rebalance_by_error_27() {
    let rig = Rig::new();
    let mut leader = Consumer::stable(&rig, "g");
    let mut follower = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    leader.send_join();
    leader.receive_join();
    follower.receive_join();
    follower.client.send(SYNC, sync("g", &follower.joined, &[]));
    let mut third = Consumer::begin(&rig, "g");
    let (_, synced) = follower.client.receive::<SyncGroupRequest>(SYNC);
    assert_eq!((synced.error_code, synced.assignment), (27, Bytes::new()));
    assert_eq!(leader.sync(&[]).error_code, 27);
    leader.send_join();
    follower.send_join();
    leader.receive_join();
    follower.receive_join();
    third.receive_join();
    assert_eq!(leader.joined.members.len(), 3);
}

#[test]
fn one_member_or_one_group_too_many_is_error_81() {
    let rig = Rig::with(BrokerConfig {
        group_max_size: 1,
        groups_max: 2,
        ..BrokerConfig::default()
    });
    let mut consumer = Consumer::stable(&rig, "g");
    let mut client = rig.client();
    let refused = client.call(JOIN, join("g", &Str::default()));
    assert_eq!((refused.error_code, refused.generation_id), (81, -1));
    Consumer::stable(&rig, "h");
    assert_eq!(client.call(JOIN, join("i", &Str::default())).error_code, 81);
    assert_eq!(consumer.heartbeat(), 0);
}

#[test]
fn a_static_member_that_was_replaced_is_error_82() {
    let rig = Rig::new();
    let mut client = rig.client();
    let old = client.call(JOIN, join_static("g", "i"));
    let mut of_old = sync("g", &old, &[(&old.member_id, "work")]);
    of_old.group_instance_id = Some("i".into());
    assert_eq!(client.call(SYNC, of_old.clone()).error_code, 0);
    let new = rig.client().call(JOIN, join_static("g", "i"));
    assert_eq!((new.error_code, new.generation_id), (0, old.generation_id));
    assert_ne!(new.member_id, old.member_id);
    // The leader gets its members, and keeps the assignments.
    assert!(new.skip_assignment && new.members.len() == 1, "{new:?}");
    let beat = |member_id: &Str| HeartbeatRequest {
        group_id: "g".into(),
        generation_id: old.generation_id,
        member_id: member_id.clone(),
        group_instance_id: Some("i".into()),
    };
    assert_eq!(client.call(HEARTBEAT, beat(&old.member_id)).error_code, 82);
    assert_eq!(client.call(SYNC, of_old).error_code, 82);
    let again = JoinGroupRequest {
        member_id: old.member_id.clone(),
        ..join_static("g", "i")
    };
    assert_eq!(client.call(JOIN, again).error_code, 82);
    let mut request = leave("g", &old.member_id);
    request.members[0].group_instance_id = Some("i".into());
    assert_eq!(client.call(LEAVE, request).members[0].error_code, 82);
    assert_eq!(client.call(HEARTBEAT, beat(&new.member_id)).error_code, 0);
}

#[test]
fn members_leave_one_by_one_in_old_versions_and_together_in_new_ones() {
    let rig = Rig::new();
    let mut client = rig.client();
    for version in 0..=2 {
        let consumer = Consumer::stable(&rig, "old");
        let request = LeaveGroupRequest {
            group_id: "old".into(),
            member_id: consumer.id(),
            ..LeaveGroupRequest::default()
        };
        assert_eq!(client.call(version, request.clone()).error_code, 0);
        assert_eq!(rig.service.describe_group("old").state, GroupState::Empty);
        assert_eq!(client.call(version, request).error_code, 25);
    }
    for version in 3..=5 {
        let named = client.call(JOIN, join_static("new", "i"));
        let (id, nobody) = (named.member_id.clone(), Str::from_static("nobody"));
        let mut request = sync("new", &named, &[(&id, "work")]);
        request.group_instance_id = Some("i".into());
        assert_eq!(client.call(SYNC, request).error_code, 0);
        let mut request = leave("new", &nobody);
        // By its instance id alone.
        request.members.push(LeaveGroupMember {
            group_instance_id: Some("i".into()),
            ..LeaveGroupMember::default()
        });
        let left = client.call(version, request);
        assert_eq!(left.error_code, 0);
        let codes: Vec<i16> = left
            .members
            .iter()
            .map(|member| member.error_code)
            .collect();
        assert_eq!(codes, [25, 0], "v{version}");
        assert_eq!(left.members[0].member_id, nobody);
        assert_eq!(left.members[1].group_instance_id, Some("i".into()));
        assert_eq!(rig.service.describe_group("new").state, GroupState::Empty);
    }
}

#[test]
fn ids_and_metadata_that_are_too_large_to_be_kept_are_error_42() {
    let rig = Rig::with(BrokerConfig {
        group_member_max_bytes: 100,
        ..BrokerConfig::default()
    });
    let mut client = rig.client();
    let long = "x".repeat(1025);
    assert_eq!(
        client.call(JOIN, join(&long, &Str::default())).error_code,
        42
    );
    assert_eq!(
        client
            .call(JOIN, join("g", &Str::from(long.clone())))
            .error_code,
        42
    );
    let request = JoinGroupRequest {
        group_instance_id: Some(Str::from(long)),
        ..join("g", &Str::default())
    };
    assert_eq!(client.call(JOIN, request).error_code, 42);
    let mut request = join("g", &Str::default());
    request.protocols[0].metadata = Bytes::from_static(&[0; 101]);
    assert_eq!(client.call(JOIN, request).error_code, 42);
    let mut consumer = Consumer::joined(&rig, "g");
    let mut request = sync("g", &consumer.joined, &[(&consumer.id(), "")]);
    request.assignments[0].assignment = Bytes::from_static(&[0; 101]);
    assert_eq!(consumer.client.call(SYNC, request).error_code, 42);
}

#[test]
fn a_client_with_a_long_name_gets_an_id_that_it_can_send_back() {
    let rig = Rig::new();
    let name = Str::from("\u{e9}".repeat(16_000));
    let mut client = rig.client();
    let mut ask = |request: JoinGroupRequest| {
        let frame = highwater_proto::kafka::Request::from(request)
            .encode_frame(JOIN, 0, Some(name.clone()))
            .unwrap();
        client.write(&frame.into_bytes());
        client.receive::<JoinGroupRequest>(JOIN).1
    };
    let named = ask(join("g", &Str::default()));
    assert_eq!(named.error_code, 79);
    assert!(named.member_id.len() <= 1024, "{}", named.member_id.len());
    assert_eq!(ask(join("g", &named.member_id)).error_code, 0);
}
