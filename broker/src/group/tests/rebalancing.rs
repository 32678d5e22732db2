//! Rebalances: who is waited for, how long, who leads, and what all follow.

use bytes::Bytes;

use super::kit::*;
use crate::error::GroupError;
use crate::group::{GroupConfig, GroupState, Join};

fn delayed() -> Kit {
    Kit::with(GroupConfig {
        initial_rebalance_delay_ms: 3_000,
        ..config()
    })
}

#[test]
fn an_empty_group_waits_for_more_members() {
    let mut kit = delayed();
    let a = kit.join(first_join("a"));
    kit.pass(2_999);
    assert!(kit.is_parked(a));
    kit.pass(1);
    assert_eq!(kit.joined(a).unwrap().generation, 1);
}

#[test]
fn each_new_member_makes_the_first_wait_longer() {
    let mut kit = delayed();
    let a = kit.join(first_join("a"));
    kit.pass(2_000);
    let b = kit.join(first_join("b"));
    kit.pass(3_999);
    assert!(kit.is_parked(a) && kit.is_parked(b));
    kit.pass(1);
    assert_eq!(kit.joined(a).unwrap().members.len(), 2);
    assert_eq!(kit.joined(b).unwrap().generation, 1);
}

#[test]
fn the_first_wait_ends_with_the_rebalance_timeout() {
    let mut kit = delayed();
    let quick = |id: &str| Join {
        rebalance_timeout_ms: 8_000,
        ..first_join(id)
    };
    let a = kit.join(quick("a"));
    for id in ["b", "c", "d", "e"] {
        kit.pass(1_999);
        kit.join(quick(id));
    }
    kit.pass(8_000 - 4 * 1_999 - 1);
    assert!(kit.is_parked(a));
    kit.pass(1);
    assert_eq!(kit.joined(a).unwrap().members.len(), 5);
}

#[test]
fn an_empty_group_whose_only_member_goes_is_empty_again() {
    let mut kit = delayed();
    let a = kit.join(first_join("a"));
    kit.left(vec![leaving("a")]);
    assert_eq!(kit.joined(a), Err(GroupError::UnknownMember));
    kit.pass(3_000);
    assert_eq!(kit.state(), GroupState::Empty);
    assert_eq!(kit.logged().unwrap().generation, 1);
}

#[test]
fn a_timer_that_comes_first_is_not_hidden_by_later_ones() {
    let mut kit = delayed();
    let a = kit.join(Join {
        session_timeout_ms: 600_000,
        ..first_join("a")
    });
    kit.pass(3_000);
    assert!(!kit.is_parked(a));
    // What was to happen to a is still in the index.
    kit.left(vec![leaving("a")]);
    let b = kit.join(first_join("b"));
    kit.pass(3_000);
    assert!(!kit.is_parked(b));
}

#[test]
fn a_rebalance_is_over_when_all_have_joined() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b", "c"]);
    let tickets = ["a", "b", "c"].map(|id| kit.join(changed(rejoin(id))));
    for ticket in tickets {
        assert_eq!(kit.joined(ticket).unwrap().generation, 3);
    }
}

#[test]
fn members_that_do_not_rejoin_are_left_behind() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    let c = kit.join(first_join("c"));
    kit.join(rejoin("a"));
    // b heartbeats, so its session goes on, but it does not join.
    kit.pass_alive(REBALANCE_MS - 1_000, &["b"], generation);
    assert!(kit.is_parked(c));
    kit.pass_alive(1_000, &["b"], generation);
    assert_eq!(kit.joined(c).unwrap().generation, 3);
    assert_eq!(kit.group().members.len(), 2);
    assert_eq!(
        kit.heartbeat("b", generation),
        Err(GroupError::UnknownMember)
    );
}

#[test]
fn the_slowest_member_says_how_long_is_waited() {
    let mut kit = Kit::new();
    let slow = Join {
        rebalance_timeout_ms: 100_000,
        ..first_join("b")
    };
    let generation = kit.stable_of(vec![first_join("a"), slow]);
    let a = kit.join(rejoin("a"));
    kit.pass_alive(99_000, &["b"], generation);
    assert!(kit.is_parked(a));
    kit.pass_alive(1_000, &["b"], generation);
    assert_eq!(kit.joined(a).unwrap().members.len(), 1);
}

#[test]
fn a_rebalance_that_nobody_joins_is_postponed() {
    let mut kit = Kit::new();
    let long = Join {
        session_timeout_ms: 1_800_000,
        ..static_join("i", "a")
    };
    kit.stable_of(vec![long, first_join("b")]);
    kit.left(vec![leaving("b")]);
    kit.pass(2 * REBALANCE_MS);
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    assert_eq!(
        kit.group().members.len(),
        1,
        "a static member is kept until its session ends"
    );
    kit.pass(1_800_000);
    assert_eq!(kit.state(), GroupState::Empty);
}

#[test]
fn a_member_without_patience_does_not_keep_the_machine_busy() {
    let mut kit = Kit::new();
    let join = Join {
        rebalance_timeout_ms: 0,
        session_timeout_ms: 60_000,
        ..static_join("i", "a")
    };
    let a = kit.join(join);
    let generation = kit.joined(a).unwrap().generation;
    kit.sync("a", generation, &[]);
    // Joins that nobody waits for: `pass` would not end if the machine always had to be woken now.
    let b = Join {
        rebalance_timeout_ms: 0,
        ..first_join("b")
    };
    kit.join(b);
    kit.left(vec![leaving("b")]);
    kit.pass(59_000);
    kit.pass(1_000);
    assert_eq!(kit.state(), GroupState::Empty);
}

#[test]
fn the_leader_stays_if_it_joins_again() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b"]);
    kit.join(changed(rejoin("b")));
    let a = kit.join(rejoin("a"));
    assert_eq!(kit.joined(a).unwrap().leader, "a");
}

#[test]
fn the_first_that_joined_leads_after_a_leader_that_is_gone() {
    let mut kit = Kit::new();
    kit.stable(&["z", "y", "x"]);
    kit.left(vec![leaving("z")]);
    let x = kit.join(rejoin("x"));
    let y = kit.join(rejoin("y"));
    assert_eq!(
        kit.joined(x).unwrap().leader,
        "y",
        "y came to the group before x"
    );
    assert_eq!(kit.joined(y).unwrap().members.len(), 2);
}

fn with_protocols(id: &str, names: &[&str]) -> Join {
    let protocols = names.iter().map(|name| ((*name).to_owned(), Bytes::new()));
    Join {
        protocols: protocols.collect(),
        ..first_join(id)
    }
}

#[test]
fn each_member_votes_for_the_protocol_that_it_likes_best() {
    for (likes, wins) in [
        ([&["x", "y"][..], &["y", "x"], &["y", "x"]], "y"),
        ([&["x", "y"], &["x", "y"], &["y", "x"]], "x"),
        // What one member cannot follow gets no votes.
        ([&["z", "x", "y"], &["z", "y", "x"], &["y", "x"]], "y"),
        ([&["x", "y"], &["y", "x"], &["x", "z"]], "x"),
    ] {
        let mut kit = Kit::new();
        let joins = ["a", "b", "c"].into_iter().zip(likes);
        let generation = kit.stable_of(joins.map(|(id, of)| with_protocols(id, of)).collect());
        assert_eq!(
            (kit.group().protocol.as_str(), generation),
            (wins, 2),
            "{likes:?}"
        );
    }
}

#[test]
fn among_equals_the_first_member_decides() {
    let mut kit = Kit::new();
    kit.stable_of(vec![
        with_protocols("b", &["x", "y"]),
        with_protocols("a", &["y", "x"]),
    ]);
    assert_eq!(kit.group().protocol, "x");
}

#[test]
fn a_heartbeat_tells_of_a_rebalance_and_counts() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.join(rejoin("a"));
    for _ in 0..3 {
        kit.pass(SESSION_MS - 1);
        assert_eq!(
            kit.heartbeat("b", generation),
            Err(GroupError::RebalanceInProgress)
        );
    }
    assert_eq!(kit.group().members.len(), 2);
}

#[test]
fn heartbeats_are_checked() {
    let mut kit = Kit::new();
    assert_eq!(
        kit.heartbeat("a", 1),
        Err(GroupError::UnknownMember),
        "no such group"
    );
    let generation = kit.stable_of(vec![static_join("i", "a"), first_join("b")]);
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    assert_eq!(
        kit.heartbeat("x", generation),
        Err(GroupError::UnknownMember)
    );
    let (asked, current) = (generation - 1, generation);
    assert_eq!(
        kit.heartbeat("b", asked),
        Err(GroupError::IllegalGeneration { asked, current })
    );
    let fenced = of_instance("i", "b", generation);
    assert_eq!(kit.heartbeat_of(fenced), Err(GroupError::FencedInstance));
    let nobody = of_instance("j", "a", generation);
    assert_eq!(kit.heartbeat_of(nobody), Err(GroupError::UnknownMember));
    let ticket = kit.ask_of("", crate::group::Ask::Heartbeat(member("a", 1)));
    let refused = crate::group::Reply::Heartbeat(Err(GroupError::InvalidGroupId));
    assert_eq!(kit.answer(ticket), Some(refused));
}

#[test]
fn a_silent_member_is_given_up_with_its_session() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.pass(SESSION_MS - 1);
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    assert_eq!(kit.group().members.len(), 2);
    kit.pass(1);
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    assert_eq!(kit.group().members.len(), 1);
    assert_eq!(
        kit.heartbeat("a", generation),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn members_heartbeat_while_the_leader_decides() {
    let mut kit = Kit::new();
    let a = kit.join(first_join("a"));
    let generation = kit.joined(a).unwrap().generation;
    kit.pass_alive(20_000, &["a"], generation);
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
}

#[test]
fn a_rebalance_ends_the_wait_for_assignments() {
    let mut kit = Kit::new();
    kit.join(first_join("a"));
    kit.join(first_join("b"));
    kit.join(rejoin("a"));
    let b = kit.sync("b", 2, &[]);
    assert!(kit.is_parked(b));
    kit.join(first_join("c"));
    assert_eq!(kit.synced(b), Err(GroupError::RebalanceInProgress));
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_member_that_does_not_sync_in_time_is_removed() {
    let mut kit = Kit::new();
    kit.join(first_join("a"));
    kit.join(first_join("b"));
    kit.join(rejoin("a"));
    let b = kit.sync("b", 2, &[]);
    // The leader heartbeats and does not bring the assignments.
    kit.pass_alive(REBALANCE_MS, &["a"], 2);
    assert_eq!(kit.synced(b), Err(GroupError::RebalanceInProgress));
    assert_eq!(kit.heartbeat("a", 2), Err(GroupError::UnknownMember));
    let b = kit.join(rejoin("b"));
    let joined = kit.joined(b).unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (3, "b"));
}

#[test]
fn a_follower_that_does_not_sync_in_time_is_removed_from_a_stable_group() {
    let mut kit = Kit::new();
    kit.join(first_join("a"));
    kit.join(first_join("b"));
    kit.join(rejoin("a"));
    kit.sync("a", 2, &[]);
    assert_eq!(kit.state(), GroupState::Stable);
    kit.pass_alive(REBALANCE_MS, &["a", "b"], 2);
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    assert_eq!(kit.heartbeat("b", 2), Err(GroupError::UnknownMember));
    assert_eq!(kit.heartbeat("a", 2), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_group_where_all_have_synced_stays() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.pass_alive(5 * REBALANCE_MS, &["a", "b"], generation);
    assert_eq!(
        (kit.state(), kit.group().members.len()),
        (GroupState::Stable, 2)
    );
}

#[test]
fn groups_do_not_disturb_each_other() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.ask_of("other", crate::group::Ask::Join(first_join("c")));
    kit.pass_alive(3 * SESSION_MS, &["a", "b"], generation);
    assert_eq!(
        kit.machine.describe("other").state,
        GroupState::Empty,
        "c was silent"
    );
    assert_eq!(
        (kit.state(), kit.group().members.len()),
        (GroupState::Stable, 2)
    );
}
