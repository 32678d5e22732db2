//! Requests and timers that come while a group's write is under way.

use super::kit::*;
use crate::error::GroupError;
use crate::group::{Ask, GroupState, Reply};

/// A stable group whose log does not answer.
fn writing() -> (Kit, i32) {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.holds_writes = true;
    kit.commit(member("a", generation), "t", 1);
    (kit, generation)
}

#[test]
fn requests_wait_in_order_and_heartbeats_do_not() {
    let (mut kit, generation) = writing();
    let join = kit.join(rejoin("a"));
    let late = kit.commit(member("b", generation), "t", 2);
    assert_eq!(
        kit.heartbeat("b", generation),
        Ok(()),
        "nothing has happened yet"
    );
    assert_eq!(kit.state(), GroupState::Stable);
    kit.finish(Ok(()));
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    assert!(kit.is_parked(join) && kit.is_parked(late));
    kit.finish(Ok(()));
    assert_eq!(kit.committed(late), Ok(()));
}

#[test]
fn what_waits_has_a_limit() {
    let (mut kit, generation) = writing();
    for _ in 0..crate::group::state::QUEUE_MAX {
        let ticket = kit.commit(member("a", generation), "t", 1);
        assert!(kit.is_parked(ticket));
    }
    let commit = kit.commit(member("a", generation), "t", 1);
    assert!(matches!(
        kit.committed(commit),
        Err(GroupError::Unavailable { .. })
    ));
    let others = [
        Ask::Join(rejoin("a")),
        Ask::Sync(sync("a", generation, &[])),
        Ask::Leave(vec![leaving("a")]),
        Ask::Delete,
        Ask::DeleteOffsets(Vec::new()),
        Ask::ForgetTopics(Vec::new()),
        Ask::Rewrite,
    ];
    for ask in others {
        let ticket = kit.ask(ask.clone());
        let refused = match kit.answer(ticket).unwrap() {
            Reply::Join(outcome) => outcome.err(),
            Reply::Sync(outcome) => outcome.err(),
            Reply::Leave(outcome) => outcome.err(),
            Reply::DeleteOffsets(outcome) => outcome.err(),
            Reply::Delete(outcome) | Reply::Done(outcome) => outcome.err(),
            other => panic!("{other:?}"),
        };
        assert!(
            matches!(refused, Some(GroupError::Unavailable { .. })),
            "{ask:?}"
        );
    }
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
}

#[test]
fn sessions_end_after_the_write() {
    let (mut kit, generation) = writing();
    kit.pass(SESSION_MS);
    assert_eq!(kit.state(), GroupState::Stable);
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    kit.finish(Ok(()));
    assert_eq!(kit.group().members.len(), 1, "b was silent");
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
}

#[test]
fn what_waited_counts_before_sessions_end() {
    let (mut kit, generation) = writing();
    kit.pass(SESSION_MS - 1);
    let alive = ["a", "b"].map(|id| kit.commit(member(id, generation), "t", 2));
    kit.pass(1);
    kit.finish(Ok(()));
    kit.finish(Ok(()));
    assert_eq!(alive.map(|ticket| kit.committed(ticket)), [Ok(()), Ok(())]);
    assert_eq!(kit.group().members.len(), 2);
}

#[test]
fn timers_go_on_after_a_write() {
    let (mut kit, _) = writing();
    // The index is asked while the write is under way, and nothing happens then.
    kit.pass(2 * SESSION_MS);
    kit.finish(Ok(()));
    assert_eq!(kit.state(), GroupState::Empty, "all were silent");
    assert_eq!(kit.under_way.len(), 1);
}

#[test]
fn a_group_that_is_deleted_is_unknown_to_those_who_waited() {
    let mut kit = Kit::new();
    kit.commit(outside(), "t", 1);
    kit.holds_writes = true;
    kit.ask(Ask::Delete);
    let commit = kit.commit(member("a", 1), "t", 2);
    let delete = kit.ask(Ask::Delete);
    let join = kit.join(first_join("a"));
    kit.finish(Ok(()));
    let unknown = GroupError::GenerationOfUnknownGroup { asked: 1 };
    assert_eq!(kit.committed(commit), Err(unknown));
    assert_eq!(
        kit.answer(delete),
        Some(Reply::Delete(Err(GroupError::UnknownGroup)))
    );
    assert_eq!(kit.joined(join).unwrap().generation, 1);
}

#[test]
fn a_group_that_is_joined_while_it_is_deleted_is_another_one() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.left(vec![leaving("a")]);
    kit.holds_writes = true;
    kit.ask(Ask::Delete);
    let join = kit.join(first_join("b"));
    kit.finish(Ok(()));
    assert_eq!(kit.joined(join).unwrap().generation, 1);
}

#[test]
fn an_empty_group_that_cannot_be_written_goes_on() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    kit.holds_writes = true;
    assert_eq!(
        kit.left(vec![leaving("a")]),
        [Ok(())],
        "nobody waits for the log"
    );
    kit.finish(Err("no".to_owned()));
    assert_eq!(kit.state(), GroupState::Empty);
    let a = kit.join(first_join("a"));
    assert_eq!(kit.joined(a).unwrap().generation, generation + 2);
    // A restart brings the former members back; nobody is there, so they expire.
    kit.restart();
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    kit.pass(SESSION_MS);
    assert_eq!(kit.state(), GroupState::Empty);
}
