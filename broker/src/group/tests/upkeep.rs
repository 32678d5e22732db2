//! Groups and offsets end, and logs are written anew.

use super::kit::*;
use crate::error::GroupError;
use crate::group::{Ask, GroupState, Join, Reply};

fn deleted(kit: &mut Kit, topics: &[&str]) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    let of = topics
        .iter()
        .map(|topic| ((*topic).to_owned(), 0))
        .collect();
    let ticket = kit.ask(Ask::DeleteOffsets(of));
    match kit.answer(ticket) {
        Some(Reply::DeleteOffsets(outcome)) => outcome,
        other => panic!("no answer: {other:?}"),
    }
}

/// A group without members that has an offset.
fn empty() -> Kit {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    kit.commit(member("a", generation), "t", 1);
    kit.left(vec![leaving("a")]);
    kit
}

#[test]
fn a_group_with_members_is_not_deleted() {
    let mut kit = Kit::new();
    assert_eq!(kit.done(Ask::Delete), Err(GroupError::UnknownGroup));
    kit.stable(&["a"]);
    assert_eq!(kit.done(Ask::Delete), Err(GroupError::NonEmpty));
    assert_eq!(kit.state(), GroupState::Stable);
}

#[test]
fn a_deleted_group_leaves_nothing() {
    let mut kit = empty();
    assert_eq!(kit.done(Ask::Delete), Ok(()));
    assert_eq!((kit.state(), kit.offset("t")), (GroupState::Dead, -1));
    assert_eq!(kit.machine.list(), []);
    kit.restart();
    assert_eq!((kit.state(), kit.offset("t")), (GroupState::Dead, -1));
    let a = kit.join(first_join("a"));
    assert_eq!(kit.joined(a).unwrap().generation, 1, "it is another group");
}

#[test]
fn a_deletion_that_cannot_be_written_changes_nothing() {
    let mut kit = empty();
    kit.holds_writes = true;
    let ticket = kit.ask(Ask::Delete);
    assert_eq!(kit.state(), GroupState::Empty);
    kit.finish(Err("no".to_owned()));
    let refused = GroupError::Unavailable {
        why: "no".to_owned(),
    };
    assert_eq!(kit.answer(ticket), Some(Reply::Delete(Err(refused))));
    assert_eq!(kit.offset("t"), 1);
}

#[test]
fn an_id_that_was_given_out_goes_with_the_group() {
    let known = Join {
        known_member_only: true,
        ..first_join("a")
    };
    for with_offsets in [false, true] {
        let mut kit = Kit::new();
        if with_offsets {
            kit.commit(outside(), "t", 1);
        }
        kit.join(known.clone());
        assert_eq!(kit.state(), GroupState::Empty);
        assert_eq!(kit.done(Ask::Delete), Ok(()));
        assert_eq!(kit.state(), GroupState::Dead);
        let a = kit.join(again(&known, "a"));
        assert_eq!(kit.joined(a), Err(GroupError::UnknownMember));
    }
}

#[test]
fn offsets_of_an_empty_group_are_deleted() {
    let mut kit = Kit::new();
    assert_eq!(deleted(&mut kit, &["t"]), Err(GroupError::UnknownGroup));
    let mut kit = empty();
    assert_eq!(deleted(&mut kit, &["none", "t"]), Ok(vec![Ok(()), Ok(())]));
    assert_eq!(kit.offset("t"), -1);
    assert_eq!(kit.state(), GroupState::Empty);
}

#[test]
fn offsets_of_topics_that_members_read_are_not_deleted() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    for topic in ["t", "old"] {
        kit.commit(member("a", generation), topic, 1);
    }
    let outcomes = deleted(&mut kit, &["t", "old"]).unwrap();
    assert_eq!(outcomes, [Err(GroupError::SubscribedToTopic), Ok(())]);
    assert_eq!((kit.offset("t"), kit.offset("old")), (1, -1));
}

#[test]
fn what_members_read_must_be_known_before_offsets_are_deleted() {
    let mut kit = Kit::new();
    let mut strange = first_join("a");
    strange.protocols[0].1 = "?".into();
    kit.stable_of(vec![strange]);
    assert_eq!(
        deleted(&mut kit, &["t"]),
        Ok(vec![Err(GroupError::SubscribedToTopic)])
    );
    let mut kit = Kit::new();
    kit.stable_of(vec![Join {
        protocol_type: "connect".to_owned(),
        ..first_join("a")
    }]);
    assert_eq!(deleted(&mut kit, &["t"]), Err(GroupError::NonEmpty));
}

#[test]
fn offsets_of_deleted_topics_are_forgotten() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    kit.commit(member("a", generation), "t", 1);
    kit.commit(member("a", generation), "u", 2);
    assert_eq!(
        kit.done(Ask::ForgetTopics(vec!["t".to_owned(), "x".to_owned()])),
        Ok(())
    );
    assert_eq!((kit.offset("t"), kit.offset("u")), (-1, 2));
}

#[test]
fn a_simple_group_goes_with_its_last_offset() {
    let mut kit = Kit::new();
    kit.commit(outside(), "t", 1);
    assert_eq!(kit.done(Ask::ForgetTopics(vec!["t".to_owned()])), Ok(()));
    assert_eq!(
        (kit.state(), kit.machine.list()),
        (GroupState::Dead, vec![])
    );
}

#[test]
fn offsets_expire_when_their_group_has_been_empty_so_long() {
    let mut kit = empty();
    kit.pass(999_999);
    assert_eq!(kit.done(Ask::Expire), Ok(()));
    assert_eq!((kit.offset("t"), kit.state()), (1, GroupState::Empty));
    kit.pass(1);
    assert_eq!(kit.done(Ask::Expire), Ok(()));
    assert_eq!(
        (kit.offset("t"), kit.state()),
        (-1, GroupState::Dead),
        "the group goes, too"
    );
    assert_eq!(kit.logged(), None);
}

#[test]
fn how_long_a_group_has_been_empty_outlives_a_restart() {
    let mut kit = empty();
    kit.pass(500_000);
    kit.restart();
    kit.pass(499_999);
    kit.done(Ask::Expire).unwrap();
    assert_eq!(kit.offset("t"), 1);
    kit.pass(1);
    kit.done(Ask::Expire).unwrap();
    assert_eq!(kit.offset("t"), -1);
}

#[test]
fn an_empty_group_is_kept_for_a_member_on_its_way() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.left(vec![leaving("a")]);
    let known = Join {
        known_member_only: true,
        ..first_join("b")
    };
    kit.join(known.clone());
    kit.done(Ask::Expire).unwrap();
    let b = kit.join(again(&known, "b"));
    assert_eq!(kit.joined(b).unwrap().generation, 3);
}

#[test]
fn offsets_of_a_simple_group_expire_one_by_one() {
    let mut kit = Kit::new();
    kit.commit(outside(), "t", 1);
    kit.pass(500_000);
    kit.commit(outside(), "u", 2);
    kit.pass(500_000);
    kit.done(Ask::Expire).unwrap();
    assert_eq!((kit.offset("t"), kit.offset("u")), (-1, 2));
    kit.pass(500_000);
    kit.done(Ask::Expire).unwrap();
    assert_eq!((kit.offset("u"), kit.state()), (-1, GroupState::Dead));
}

#[test]
fn members_lose_only_what_they_no_longer_read() {
    let mut kit = Kit::new();
    let long = |join| Join {
        session_timeout_ms: 1_800_000,
        ..join
    };
    let generation = kit.stable_of(vec![long(first_join("a"))]);
    for topic in ["t", "old"] {
        kit.commit(member("a", generation), topic, 1);
    }
    kit.pass(1_000_000);
    // Not while it is unclear who reads what.
    kit.join(long(rejoin("a")));
    kit.done(Ask::Expire).unwrap();
    assert_eq!((kit.offset("t"), kit.offset("old")), (1, 1));
    kit.sync("a", generation + 1, &[]);
    kit.done(Ask::Expire).unwrap();
    assert_eq!((kit.offset("t"), kit.offset("old")), (1, -1));
}

#[test]
fn nothing_expires_while_the_wall_clock_jumps() {
    let mut kit = empty();
    kit.done(Ask::Expire).unwrap();
    kit.now.wall.0 += 50_000_000_000;
    kit.done(Ask::Expire).unwrap();
    assert_eq!(kit.offset("t"), 1);
}

#[test]
fn a_log_that_is_written_anew_says_the_same() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.commit(member("a", generation), "t", 1);
    kit.commit(member("a", generation), "t", 2);
    let before = kit.log.len();
    assert_eq!(kit.done(Ask::Rewrite), Ok(()));
    kit.log.drain(..before);
    assert_eq!(kit.log.len(), 2);
    let (group, offsets) = (kit.group(), kit.machine.offsets(GROUP, None));
    kit.restart();
    assert_eq!(
        (kit.group(), kit.machine.offsets(GROUP, None)),
        (group, offsets)
    );
    assert_eq!(kit.heartbeat("b", generation), Ok(()));
}

#[test]
fn a_group_without_a_generation_has_nothing_to_write_anew() {
    let mut kit = Kit::new();
    assert_eq!(kit.done(Ask::Rewrite), Ok(()));
    kit.join(first_join("a"));
    assert_eq!(kit.done(Ask::Rewrite), Ok(()));
    assert_eq!(kit.log, []);
}
