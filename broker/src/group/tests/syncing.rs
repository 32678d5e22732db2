//! Syncs: the leader's words, durable first, then for everyone.

use bytes::Bytes;

use super::kit::*;
use crate::error::GroupError;
use crate::group::{Ask, GroupState, Sync};

/// Two members that know of generation 2.
fn joined() -> Kit {
    let mut kit = Kit::new();
    kit.join(first_join("a"));
    kit.join(first_join("b"));
    kit.join(rejoin("a"));
    kit
}

#[test]
fn nobody_gets_an_assignment_before_it_is_durable() {
    let mut kit = joined();
    kit.holds_writes = true;
    let b = kit.sync("b", 2, &[]);
    let a = kit.sync("a", 2, &[("a", "0"), ("b", "1")]);
    assert!(kit.is_parked(a) && kit.is_parked(b));
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
    assert_eq!(kit.heartbeat("b", 2), Ok(()));
    kit.finish(Ok(()));
    assert_eq!(kit.synced(a).unwrap().assignment, "0");
    let synced = kit.synced(b).unwrap();
    assert_eq!(
        (synced.assignment, synced.protocol.as_str()),
        (Bytes::from("1"), "range")
    );
    assert_eq!(synced.protocol_type, "consumer");
    assert_eq!(kit.state(), GroupState::Stable);
}

#[test]
fn the_log_keeps_the_whole_generation() {
    let mut kit = joined();
    kit.sync("a", 2, &[("a", "0"), ("b", "1")]);
    let value = kit.logged().unwrap();
    assert_eq!((value.generation, value.leader.as_deref()), (2, Some("a")));
    assert_eq!(
        (value.protocol_type.as_str(), value.protocol.as_deref()),
        ("consumer", Some("range"))
    );
    assert_eq!(value.state_timestamp_ms, kit.now.wall.0);
    let b = &value.members[1];
    assert_eq!(
        (b.member_id.as_str(), b.client_host.as_str()),
        ("b", "/127.0.0.1")
    );
    assert_eq!(
        (b.session_timeout_ms, b.rebalance_timeout_ms),
        (10_000, 60_000)
    );
    assert_eq!(
        (&b.subscription, &b.assignment),
        (&subscription("t"), &Bytes::from("1"))
    );
}

#[test]
fn members_that_the_leader_leaves_out_have_nothing_to_do() {
    let mut kit = joined();
    let b = kit.sync("b", 2, &[]);
    kit.sync("a", 2, &[("a", "0"), ("stranger", "1")]);
    assert_eq!(kit.synced(b).unwrap().assignment, Bytes::new());
    assert_eq!(kit.logged().unwrap().members.len(), 2);
}

#[test]
fn a_stable_group_answers_from_what_it_has() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    for id in ["a", "b"] {
        let ticket = kit.sync(id, generation, &[("a", "stolen"), ("b", "stolen")]);
        assert_eq!(kit.synced(ticket).unwrap().assignment, id);
    }
}

#[test]
fn a_sync_in_a_stable_group_counts_as_a_heartbeat() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    for _ in 0..3 {
        kit.pass(SESSION_MS - 1);
        kit.sync("a", generation, &[]);
    }
    assert_eq!(kit.state(), GroupState::Stable);
}

#[test]
fn syncs_are_checked() {
    let mut kit = Kit::new();
    let unknown = kit.sync("a", 1, &[]);
    assert_eq!(
        kit.synced(unknown),
        Err(GroupError::UnknownMember),
        "no such group"
    );
    let generation = kit.stable_of(vec![static_join("i", "a"), first_join("b")]);
    let with = |member, protocol_type: Option<&str>, protocol: Option<&str>| Sync {
        member,
        protocol_type: protocol_type.map(str::to_owned),
        protocol: protocol.map(str::to_owned),
        assignments: Vec::new(),
    };
    let b = || member("b", generation);
    for (sync, expected) in [
        (
            with(member("x", generation), None, None),
            Some(GroupError::UnknownMember),
        ),
        (
            with(of_instance("i", "b", generation), None, None),
            Some(GroupError::FencedInstance),
        ),
        (
            with(member("b", 1), None, None),
            Some(GroupError::IllegalGeneration {
                asked: 1,
                current: generation,
            }),
        ),
        (with(b(), Some("consumer"), Some("range")), None),
    ] {
        let ticket = kit.ask(Ask::Sync(sync));
        assert_eq!(kit.synced(ticket).err(), expected);
    }
    for (protocol_type, protocol) in [(Some("connect"), None), (None, Some("sticky"))] {
        let ticket = kit.ask(Ask::Sync(with(b(), protocol_type, protocol)));
        let outcome = kit.synced(ticket);
        assert!(matches!(
            outcome,
            Err(GroupError::InconsistentProtocol { .. })
        ));
    }
    let ticket = kit.ask_of("", Ask::Sync(with(b(), None, None)));
    assert_eq!(kit.synced(ticket), Err(GroupError::InvalidGroupId));
}

#[test]
fn a_sync_during_a_rebalance_says_so() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.join(rejoin("a"));
    let b = kit.sync("b", generation, &[]);
    assert_eq!(kit.synced(b), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_sync_that_is_asked_twice_is_answered_twice() {
    let mut kit = joined();
    let older = kit.sync("b", 2, &[]);
    let newer = kit.sync("b", 2, &[]);
    assert_eq!(kit.synced(older), Err(GroupError::RebalanceInProgress));
    kit.sync("a", 2, &[("b", "1")]);
    assert_eq!(kit.synced(newer).unwrap().assignment, "1");
}

#[test]
fn a_session_starts_anew_with_the_answer_to_a_sync() {
    let mut kit = joined();
    kit.sync("b", 2, &[]);
    kit.pass_alive(5 * SESSION_MS, &["a"], 2);
    assert_eq!(kit.group().members.len(), 2, "b waits for us");
    kit.sync("a", 2, &[]);
    kit.pass_alive(SESSION_MS - 1_000, &["a"], 2);
    assert_eq!(kit.group().members.len(), 2);
    kit.pass_alive(1_000, &["a"], 2);
    assert_eq!(kit.group().members.len(), 1);
}

#[test]
fn a_generation_that_cannot_be_written_is_not_complete() {
    let mut kit = joined();
    kit.holds_writes = true;
    let b = kit.sync("b", 2, &[]);
    let a = kit.sync("a", 2, &[("a", "0"), ("b", "1")]);
    kit.finish(Err("the disk is full".to_owned()));
    let why = "the disk is full".to_owned();
    assert_eq!(
        kit.synced(a),
        Err(GroupError::Unavailable { why: why.clone() })
    );
    assert_eq!(kit.synced(b), Err(GroupError::Unavailable { why }));
    assert_eq!(kit.logged(), None);
    // All join again, and then it works.
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    let a = kit.join(rejoin("a"));
    kit.join(rejoin("b"));
    assert_eq!(kit.joined(a).unwrap().generation, 3);
    let a = kit.sync("a", 3, &[("a", "0")]);
    kit.finish(Ok(()));
    assert_eq!(kit.synced(a).unwrap().assignment, "0");
}

#[test]
fn what_is_kept_pins_no_frame() {
    let mut kit = Kit::new();
    let frame = Bytes::from(vec![7; 1_000]);
    let mut join = first_join("a");
    join.protocols[0].1 = frame.slice(10..20);
    kit.join(join);
    let mut sync = sync("a", 1, &[]);
    sync.assignments = vec![("a".to_owned(), frame.slice(20..30))];
    kit.ask(Ask::Sync(sync));
    assert_eq!(kit.state(), GroupState::Stable);
    assert!(frame.is_unique(), "the frame can go");
}
