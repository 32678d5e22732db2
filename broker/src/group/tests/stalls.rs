//! The broker stands still: what time alone brings about comes so much later, and not earlier.

use std::time::Duration;

use super::kit::*;
use crate::error::GroupError;
use crate::group::GroupState;

#[test]
fn a_stall_counts_for_no_member() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.pass(SESSION_MS - 1);
    kit.stall(10 * SESSION_MS);
    assert_eq!(kit.group().members.len(), 2);
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    // What was left of the session before the stall is left of it now.
    kit.pass(1);
    assert_eq!(kit.group().members.len(), 1, "b was silent");
}

#[test]
fn a_session_that_was_over_before_the_stall_is_over() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b"]);
    kit.pass(SESSION_MS);
    kit.stall(1);
    assert_eq!(kit.state(), GroupState::Empty);
}

#[test]
fn a_stall_gives_time_to_join_and_to_sync() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    let a = kit.join(changed(rejoin("a")));
    kit.pass_alive(SESSION_MS - 1_000, &["b"], generation);
    kit.stall(2 * REBALANCE_MS);
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    let b = kit.join(rejoin("b"));
    let generation = kit.joined(a).unwrap().generation;
    assert_eq!(kit.joined(b).unwrap().generation, generation);
    kit.pass_alive(1_000, &["a", "b"], generation);
    kit.stall(2 * REBALANCE_MS);
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
    for id in ["b", "a"] {
        kit.sync(id, generation, &[("a", "1"), ("b", "2")]);
    }
    assert_eq!(kit.state(), GroupState::Stable);
    assert_eq!(kit.group().members.len(), 2);
}

#[test]
fn an_id_that_was_given_out_outlives_a_stall() {
    let mut kit = Kit::new();
    let ask = crate::group::Join {
        known_member_only: true,
        ..first_join("a")
    };
    let asked = kit.join(ask);
    let member_id = "a".to_owned();
    let required = GroupError::MemberIdRequired { member_id };
    assert_eq!(kit.joined(asked), Err(required));
    kit.pass(SESSION_MS - 1);
    kit.stall(10 * SESSION_MS);
    let join = kit.join(rejoin("a"));
    assert_eq!(kit.joined(join).unwrap().generation, 1);
}

#[test]
fn what_never_comes_does_not_come_after_a_stall() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.machine.stood_still(Duration::MAX);
    assert_eq!(kit.machine.wake(kit.now).replies, []);
    kit.pass(1_000 * SESSION_MS);
    assert_eq!(kit.state(), GroupState::Stable);
}
