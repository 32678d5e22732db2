//! What tools see of groups.

use bytes::Bytes;

use super::kit::*;
use crate::group::{Ask, GroupState};

#[test]
fn metadata_is_shown_while_the_group_is_stable() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    let group = kit.group();
    assert_eq!((group.protocol.as_str(), group.members.len()), ("range", 1));
    let member = &group.members[0];
    assert_eq!(member.metadata, subscription("t"));
    assert_eq!(member.assignment, "a");
    assert_eq!(member.client_id, "client");
    assert_eq!(member.client_host, "/127.0.0.1");
    kit.join(first_join("b"));
    let group = kit.group();
    assert_eq!((group.protocol.as_str(), group.members.len()), ("", 2));
    assert!(group.members.iter().all(|of| of.metadata.is_empty()));
}

#[test]
fn assignments_are_shown_until_the_next_generation() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.join(first_join("b"));
    let shown = |kit: &Kit| kit.group().members.into_iter().map(|of| of.assignment);
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    assert_eq!(
        Vec::from_iter(shown(&kit)),
        [Bytes::from("a"), Bytes::new()]
    );
    kit.join(rejoin("a"));
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
    assert!(shown(&kit).all(|assignment| assignment.is_empty()));
}

#[test]
fn groups_are_listed_by_name_with_their_state() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.ask_of("z", Ask::Commit(commit(outside(), "t", 1)));
    kit.ask_of("b", Ask::Join(first_join("a")));
    let listed = kit.machine.list();
    let of = listed.iter().map(|of| {
        (
            of.group.as_str(),
            of.protocol_type.as_str(),
            of.state.name(),
        )
    });
    let expected = [
        ("b", "consumer", "CompletingRebalance"),
        ("g", "consumer", "Stable"),
        ("z", "", "Empty"),
    ];
    assert_eq!(of.collect::<Vec<_>>(), expected);
}
