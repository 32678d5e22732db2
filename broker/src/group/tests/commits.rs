//! Commits: who may, what is kept, and when it counts.

use super::kit::*;
use crate::error::GroupError;
use crate::group::{Ask, Commit, FetchedOffset, GroupState, OffsetToCommit};

#[test]
fn a_commit_of_a_member_is_kept_whole() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    let ticket = kit.commit(member("a", generation), "t", 42);
    assert_eq!(kit.committed(ticket), Ok(()));
    let expected = FetchedOffset {
        topic: "t".to_owned(),
        partition: 0,
        offset: 42,
        leader_epoch: 3,
        metadata: "note".to_owned(),
    };
    assert_eq!(kit.machine.offsets(GROUP, None), [expected]);
    assert_eq!(kit.offset("other"), -1);
    assert_eq!(kit.machine.offsets("nobody", None), []);
}

#[test]
fn an_offset_is_seen_once_it_is_durable() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    kit.holds_writes = true;
    let ticket = kit.commit(member("a", generation), "t", 42);
    assert!(kit.is_parked(ticket));
    assert_eq!(kit.offset("t"), -1);
    kit.finish(Ok(()));
    assert_eq!((kit.committed(ticket), kit.offset("t")), (Ok(()), 42));

    let ticket = kit.commit(member("a", generation), "t", 43);
    kit.finish(Err("no".to_owned()));
    assert_eq!(
        kit.committed(ticket),
        Err(GroupError::Unavailable {
            why: "no".to_owned()
        })
    );
    assert_eq!(kit.offset("t"), 42);
}

#[test]
fn a_commit_from_outside_makes_a_simple_group() {
    let mut kit = Kit::new();
    let ticket = kit.commit(outside(), "t", 1);
    assert_eq!((kit.committed(ticket), kit.offset("t")), (Ok(()), 1));
    let group = kit.group();
    assert_eq!(
        (group.state, group.protocol_type.as_str()),
        (GroupState::Empty, "")
    );
    assert_eq!(kit.logged(), None, "only offsets are kept");
    // The legacy group without a name may keep offsets, too.
    let ticket = kit.ask_of("", Ask::Commit(commit(outside(), "t", 1)));
    assert_eq!(kit.committed(ticket), Ok(()));
}

#[test]
fn a_commit_from_outside_is_for_empty_groups() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    let ticket = kit.commit(outside(), "t", 1);
    assert_eq!(kit.committed(ticket), Err(GroupError::UnknownMember));
    kit.left(vec![leaving("a")]);
    let ticket = kit.commit(outside(), "t", 1);
    assert_eq!(kit.committed(ticket), Ok(()));
}

#[test]
fn a_generation_of_an_unknown_group_is_refused() {
    let mut kit = Kit::new();
    let ticket = kit.commit(member("a", 4), "t", 1);
    let unknown = GroupError::GenerationOfUnknownGroup { asked: 4 };
    assert_eq!(kit.committed(ticket), Err(unknown));
    assert_eq!(kit.state(), GroupState::Dead);
}

#[test]
fn commits_are_checked() {
    let mut kit = Kit::new();
    let generation = kit.stable_of(vec![static_join("i", "a"), first_join("b")]);
    let illegal = |asked| GroupError::IllegalGeneration {
        asked,
        current: generation,
    };
    for (member, expected) in [
        (member("x", generation), GroupError::UnknownMember),
        (member("b", generation - 1), illegal(generation - 1)),
        (member("b", generation + 1), illegal(generation + 1)),
        (member("b", -1), illegal(-1)),
        (
            of_instance("i", "b", generation),
            GroupError::FencedInstance,
        ),
        (of_instance("j", "b", generation), GroupError::UnknownMember),
    ] {
        let ticket = kit.commit(member, "t", 1);
        assert_eq!(kit.committed(ticket), Err(expected));
    }
    assert_eq!(kit.offset("t"), -1);
    // A member of an empty group is nobody.
    kit.left(vec![leaving("a"), leaving("b")]);
    let ticket = kit.commit(member("b", generation), "t", 1);
    assert_eq!(kit.committed(ticket), Err(GroupError::UnknownMember));
}

#[test]
fn members_commit_during_a_rebalance_until_they_know_of_the_next_generation() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.join(rejoin("a"));
    let ticket = kit.commit(member("b", generation), "t", 1);
    assert_eq!(kit.committed(ticket), Ok(()));
    kit.join(rejoin("b"));
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
    let ticket = kit.commit(member("b", generation + 1), "t", 2);
    assert_eq!(kit.committed(ticket), Err(GroupError::RebalanceInProgress));
    let ticket = kit.commit(member("b", generation), "t", 2);
    let (asked, current) = (generation, generation + 1);
    assert_eq!(
        kit.committed(ticket),
        Err(GroupError::IllegalGeneration { asked, current })
    );
}

#[test]
fn a_commit_counts_as_a_heartbeat() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    for offset in 0..5 {
        kit.pass(SESSION_MS - 1);
        let ticket = kit.commit(member("a", generation), "t", offset);
        assert_eq!(kit.committed(ticket), Ok(()));
    }
}

#[test]
fn commits_that_wait_are_written_together() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.holds_writes = true;
    let first = kit.commit(member("a", generation), "t", 1);
    let second = kit.commit(member("b", generation), "t", 2);
    let wrong = kit.commit(member("x", generation), "t", 3);
    let fourth = kit.commit(member("a", generation), "u", 4);
    kit.finish(Ok(()));
    assert_eq!((kit.committed(first), kit.offset("t")), (Ok(()), 1));
    assert_eq!(kit.committed(wrong), Err(GroupError::UnknownMember));
    assert_eq!(kit.under_way.len(), 1);
    assert_eq!(kit.under_way[0].records.len(), 2);
    kit.finish(Ok(()));
    assert_eq!(
        (kit.committed(second), kit.committed(fourth)),
        (Ok(()), Ok(()))
    );
    assert_eq!((kit.offset("t"), kit.offset("u")), (2, 4));
}

#[test]
fn commits_are_written_together_up_to_a_limit_and_in_order() {
    let mut kit = Kit::new();
    kit.holds_writes = true;
    let of = |offset| Commit {
        offsets: (0..600)
            .map(|partition| OffsetToCommit {
                topic: "t".to_owned(),
                partition,
                offset,
                ..OffsetToCommit::default()
            })
            .collect(),
        ..commit(outside(), "t", offset)
    };
    kit.commit(outside(), "t", 0);
    for offset in 1..=3 {
        kit.ask(Ask::Commit(of(offset)));
    }
    kit.finish(Ok(()));
    assert_eq!(kit.under_way[0].records.len(), 1_200);
    kit.finish(Ok(()));
    assert_eq!((kit.under_way[0].records.len(), kit.offset("t")), (600, 2));
    kit.finish(Ok(()));
    assert_eq!(kit.offset("t"), 3);
}

#[test]
fn a_commit_of_nothing_is_fine() {
    let mut kit = Kit::new();
    let nothing = Commit {
        offsets: Vec::new(),
        ..commit(outside(), "t", 0)
    };
    let ticket = kit.ask(Ask::Commit(nothing));
    assert_eq!(kit.committed(ticket), Ok(()));
    assert_eq!((kit.state(), kit.log.len()), (GroupState::Dead, 0));
}
