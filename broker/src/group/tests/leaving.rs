//! Members leave: each is answered, and those who stay share the work anew.

use super::kit::*;
use crate::error::GroupError;
use crate::group::{Ask, GroupState, Reply};

#[test]
fn who_leaves_starts_a_rebalance_of_the_others() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    assert_eq!(kit.left(vec![leaving("b")]), [Ok(())]);
    assert_eq!(
        kit.heartbeat("a", generation),
        Err(GroupError::RebalanceInProgress)
    );
    let a = kit.join(rejoin("a"));
    assert_eq!(kit.joined(a).unwrap().members.len(), 1);
}

#[test]
fn each_member_that_leaves_has_its_own_answer() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b", "c"]);
    let outcomes = kit.left(vec![leaving("b"), leaving("x"), leaving("b"), leaving("c")]);
    let unknown = Err(GroupError::UnknownMember);
    assert_eq!(outcomes, [Ok(()), unknown.clone(), unknown, Ok(())]);
    assert_eq!(kit.group().members.len(), 1);
}

#[test]
fn who_was_not_in_it_changes_nothing() {
    let mut kit = Kit::new();
    assert_eq!(
        kit.left(vec![leaving("x")]),
        [Err(GroupError::UnknownMember)],
        "no such group"
    );
    assert_eq!(kit.state(), GroupState::Dead);
    kit.stable(&["a"]);
    assert_eq!(
        kit.left(vec![leaving("x")]),
        [Err(GroupError::UnknownMember)]
    );
    assert_eq!(kit.state(), GroupState::Stable);
    let ticket = kit.ask_of("", Ask::Leave(vec![leaving("a")]));
    assert_eq!(
        kit.answer(ticket),
        Some(Reply::Leave(Err(GroupError::InvalidGroupId)))
    );
}

#[test]
fn the_last_one_leaves_an_empty_group() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    kit.left(vec![leaving("a")]);
    let group = kit.group();
    assert_eq!((group.state, group.members.len()), (GroupState::Empty, 0));
    assert_eq!(
        (group.protocol_type.as_str(), group.protocol.as_str()),
        ("consumer", "")
    );
    let value = kit.logged().unwrap();
    assert_eq!(
        (value.generation, value.protocol, value.leader),
        (generation + 1, None, None)
    );
    assert_eq!(
        (value.members, value.protocol_type.as_str()),
        (vec![], "consumer")
    );
    let a = kit.join(first_join("a"));
    assert_eq!(kit.joined(a).unwrap().generation, generation + 2);
}

#[test]
fn what_a_member_waited_for_is_answered_when_it_leaves() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b"]);
    let b = kit.join(changed(rejoin("b")));
    kit.left(vec![leaving("b")]);
    assert_eq!(kit.joined(b), Err(GroupError::UnknownMember));

    kit.join(first_join("b"));
    kit.join(rejoin("a"));
    let b = kit.sync("b", 3, &[]);
    kit.left(vec![leaving("b")]);
    assert_eq!(kit.synced(b), Err(GroupError::UnknownMember));
}

#[test]
fn who_leaves_is_not_waited_for() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b", "c"]);
    let a = kit.join(rejoin("a"));
    let c = kit.join(rejoin("c"));
    assert!(kit.is_parked(a) && kit.is_parked(c));
    kit.left(vec![leaving("b")]);
    assert_eq!(kit.joined(a).unwrap().members.len(), 2);
    assert_eq!(kit.joined(c).unwrap().generation, 3);
}

#[test]
fn an_id_that_was_only_given_out_does_not_disturb_those_who_work() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.join(crate::group::Join {
        known_member_only: true,
        ..first_join("b")
    });
    assert_eq!(kit.left(vec![leaving("b")]), [Ok(())]);
    assert_eq!(kit.state(), GroupState::Stable);
}
