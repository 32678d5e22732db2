//! Static members: they come back under another id and go on, and their former id is fenced.

use bytes::Bytes;

use super::kit::*;
use crate::error::GroupError;
use crate::group::{Ask, GroupState, Join, Leaving};

/// `a` leads with instance `i`, `b` follows with instance `j`.
fn stable() -> (Kit, i32) {
    let mut kit = Kit::new();
    let generation = kit.stable_of(vec![static_join("i", "a"), static_join("j", "b")]);
    (kit, generation)
}

#[test]
fn a_static_member_needs_no_id_first() {
    let mut kit = Kit::new();
    let a = kit.join(Join {
        known_member_only: true,
        ..static_join("i", "a")
    });
    let joined = kit.joined(a).unwrap();
    assert_eq!(joined.members[0].instance_id.as_deref(), Some("i"));
}

#[test]
fn a_follower_comes_back_without_a_rebalance() {
    let (mut kit, generation) = stable();
    let b2 = kit.join(static_join("j", "b2"));
    let joined = kit.joined(b2).unwrap();
    assert_eq!(
        (joined.generation, joined.leader.as_str()),
        (generation, "a")
    );
    assert_eq!(
        (joined.member_id.as_str(), joined.skip_assignment),
        ("b2", false)
    );
    assert_eq!(kit.state(), GroupState::Stable);
    // It has its former assignment, the former id is out.
    let b2 = kit.sync("b2", generation, &[]);
    assert_eq!(kit.synced(b2).unwrap().assignment, "b");
    let former = of_instance("j", "b", generation);
    assert_eq!(kit.heartbeat_of(former), Err(GroupError::FencedInstance));
    assert_eq!(
        kit.heartbeat("b", generation),
        Err(GroupError::UnknownMember)
    );
    let former = kit.join(again(&static_join("j", "b"), "b"));
    assert_eq!(kit.joined(former), Err(GroupError::FencedInstance));
}

#[test]
fn a_leader_that_may_skip_gets_the_list() {
    let (mut kit, generation) = stable();
    let a2 = kit.join(Join {
        may_skip_assignment: true,
        ..static_join("i", "a2")
    });
    let joined = kit.joined(a2).unwrap();
    assert_eq!(
        (joined.generation, joined.leader.as_str()),
        (generation, "a2")
    );
    assert_eq!((joined.members.len(), joined.skip_assignment), (2, true));
}

#[test]
fn a_follower_has_nothing_to_skip() {
    let (mut kit, _) = stable();
    let b2 = kit.join(Join {
        may_skip_assignment: true,
        ..static_join("j", "b2")
    });
    let joined = kit.joined(b2).unwrap();
    assert_eq!((joined.members.len(), joined.skip_assignment), (0, false));
}

#[test]
fn a_leader_that_cannot_skip_does_not_see_itself_as_the_leader() {
    let (mut kit, generation) = stable();
    let a2 = kit.join(static_join("i", "a2"));
    let joined = kit.joined(a2).unwrap();
    assert_eq!((joined.leader.as_str(), joined.members.len()), ("a", 0));
    // It does lead: its next join starts a rebalance.
    let a2 = kit.join(again(&static_join("i", "a2"), "a2"));
    assert!(kit.is_parked(a2));
    assert_eq!(
        kit.heartbeat("b", generation),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn the_new_id_is_durable_before_it_is_known() {
    let (mut kit, generation) = stable();
    kit.holds_writes = true;
    let b2 = kit.join(static_join("j", "b2"));
    assert!(kit.is_parked(b2));
    assert_eq!(
        kit.heartbeat("b", generation),
        Ok(()),
        "the former id is in until then"
    );
    kit.finish(Ok(()));
    assert!(!kit.is_parked(b2));
    let logged = kit.logged().unwrap();
    let members = logged
        .members
        .iter()
        .map(|m| (m.member_id.as_str(), m.assignment.clone()));
    let expected = [("a", Bytes::from("a")), ("b2", Bytes::from("b"))];
    assert_eq!(members.collect::<Vec<_>>(), expected);
}

#[test]
fn a_new_id_that_cannot_be_written_changes_nothing() {
    let (mut kit, generation) = stable();
    kit.holds_writes = true;
    let b2 = kit.join(static_join("j", "b2"));
    kit.finish(Err("no".to_owned()));
    assert_eq!(
        kit.joined(b2),
        Err(GroupError::Unavailable {
            why: "no".to_owned()
        })
    );
    assert_eq!(kit.heartbeat_of(of_instance("j", "b", generation)), Ok(()));
    assert_eq!(kit.logged().unwrap().members[1].member_id, "b");
}

#[test]
fn another_leader_in_the_log_is_the_leader_after_a_restart() {
    let (mut kit, _) = stable();
    kit.join(static_join("i", "a2"));
    kit.restart();
    let a2 = kit.join(again(&static_join("i", "a2"), "a2"));
    assert!(
        kit.is_parked(a2),
        "a leader that joins again starts a rebalance"
    );
}

#[test]
fn a_protocol_that_would_change_starts_a_rebalance() {
    let mut kit = Kit::new();
    let of = |instance: &str, id: &str, names: &[&str]| Join {
        protocols: names
            .iter()
            .map(|name| ((*name).to_owned(), Bytes::new()))
            .collect(),
        ..static_join(instance, id)
    };
    kit.stable_of(vec![of("i", "a", &["x", "y"]), of("j", "b", &["x", "y"])]);
    let b2 = kit.join(of("j", "b2", &["x", "y", "z"]));
    assert!(!kit.is_parked(b2), "all still follow x");
    let b3 = kit.join(of("j", "b3", &["y"]));
    assert!(kit.is_parked(b3));
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    kit.join(again(&of("i", "a", &["x", "y"]), "a"));
    assert_eq!(kit.joined(b3).unwrap().protocol, "y");
}

#[test]
fn a_member_that_comes_back_while_the_leader_decides_starts_a_rebalance() {
    let (mut kit, generation) = stable();
    let join = |instance, id| again(&static_join(instance, id), id);
    kit.join(changed(join("j", "b")));
    kit.join(join("i", "a"));
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
    let b = kit.sync("b", generation + 1, &[]);
    let b2 = kit.join(static_join("j", "b2"));
    assert_eq!(kit.synced(b), Err(GroupError::FencedInstance));
    assert!(kit.is_parked(b2));
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    kit.join(join("i", "a"));
    assert_eq!(kit.joined(b2).unwrap().generation, generation + 2);
}

#[test]
fn a_member_that_comes_back_during_a_rebalance_takes_its_place() {
    let (mut kit, generation) = stable();
    let b = kit.join(changed(again(&static_join("j", "b"), "b")));
    let b2 = kit.join(static_join("j", "b2"));
    assert_eq!(kit.joined(b), Err(GroupError::FencedInstance));
    assert!(kit.is_parked(b2));
    let a = kit.join(again(&static_join("i", "a"), "a"));
    assert_eq!(kit.joined(a).unwrap().members.len(), 2);
    assert_eq!(kit.joined(b2).unwrap().generation, generation + 1);
}

#[test]
fn a_static_member_is_not_left_behind_by_a_rebalance() {
    let mut kit = Kit::new();
    let long = Join {
        session_timeout_ms: 600_000,
        ..static_join("j", "b")
    };
    kit.stable_of(vec![first_join("a"), long]);
    let a = kit.join(rejoin("a"));
    kit.pass(REBALANCE_MS);
    let joined = kit.joined(a).unwrap();
    assert_eq!(joined.members.len(), 2, "its partitions wait for it");
}

#[test]
fn a_full_group_lets_a_static_member_come_back() {
    let mut kit = Kit::new();
    let joins = ["a", "b", "c", "d", "e"].map(|id| static_join(id, id));
    let generation = kit.stable_of(joins.into());
    let e2 = kit.join(static_join("e", "e2"));
    assert_eq!(kit.joined(e2).unwrap().generation, generation);
    let f = kit.join(static_join("f", "f"));
    assert_eq!(kit.joined(f), Err(GroupError::GroupFull { members_max: 5 }));
}

#[test]
fn a_static_member_is_removed_by_its_instance_alone() {
    let (mut kit, generation) = stable();
    let of = |id: &str, instance: &str| Leaving {
        member_id: id.to_owned(),
        instance_id: Some(instance.to_owned()),
    };
    let outcomes = kit.left(vec![
        of("", "j"),
        of("", "nobody"),
        of("b", "i"),
        of("", ""),
    ]);
    let expected = [
        Ok(()),
        Err(GroupError::UnknownMember),
        Err(GroupError::FencedInstance),
        Err(GroupError::UnknownMember),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(
        kit.heartbeat("b", generation),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(kit.group().members.len(), 1);
}

#[test]
fn a_commit_of_a_former_id_is_fenced() {
    let (mut kit, generation) = stable();
    kit.join(static_join("j", "b2"));
    let ticket = kit.commit(of_instance("j", "b", generation), "t", 1);
    assert_eq!(kit.committed(ticket), Err(GroupError::FencedInstance));
    let ticket = kit.ask(Ask::Commit(commit(
        of_instance("j", "b2", generation),
        "t",
        2,
    )));
    assert_eq!(kit.committed(ticket), Ok(()));
    assert_eq!(kit.offset("t"), 2);
}
