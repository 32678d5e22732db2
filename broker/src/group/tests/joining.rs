//! Joins: who is let in, under which id, and what those get who come again.

use super::kit::*;
use crate::error::GroupError;
use crate::group::{GroupState, Join, Leaving};

#[test]
fn the_first_member_leads_a_generation_of_its_own() {
    let mut kit = Kit::new();
    let a = kit.join(first_join("a"));
    let joined = kit.joined(a).unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (1, "a"));
    assert_eq!(
        (joined.member_id.as_str(), joined.protocol.as_str()),
        ("a", "range")
    );
    assert_eq!(joined.protocol_type, "consumer");
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, subscription("t"));
    assert!(!joined.skip_assignment);
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
}

#[test]
fn only_the_leader_sees_the_members() {
    let mut kit = Kit::new();
    kit.join(first_join("a"));
    let b = kit.join(first_join("b"));
    assert!(kit.is_parked(b));
    let a = kit.join(rejoin("a"));
    let (a, b) = (kit.joined(a).unwrap(), kit.joined(b).unwrap());
    assert_eq!((a.generation, b.generation), (2, 2));
    assert_eq!((a.leader.as_str(), b.leader.as_str()), ("a", "a"));
    assert_eq!((a.members.len(), b.members.len()), (2, 0));
}

#[test]
fn a_dynamic_member_is_given_an_id_first() {
    let mut kit = Kit::new();
    let known = Join {
        known_member_only: true,
        ..first_join("a")
    };
    let first = kit.join(known.clone());
    let member_id = "a".to_owned();
    assert_eq!(
        kit.joined(first),
        Err(GroupError::MemberIdRequired { member_id })
    );
    let second = kit.join(again(&known, "a"));
    assert_eq!(kit.joined(second).unwrap().member_id, "a");
}

#[test]
fn an_id_that_nobody_comes_back_with_ends_with_the_session() {
    let mut kit = Kit::new();
    let known = Join {
        known_member_only: true,
        ..first_join("a")
    };
    kit.join(known.clone());
    kit.pass(SESSION_MS);
    assert_eq!(
        kit.state(),
        GroupState::Dead,
        "nothing is left of the group"
    );
    let late = kit.join(again(&known, "a"));
    assert_eq!(kit.joined(late), Err(GroupError::UnknownMember));
}

#[test]
fn a_rebalance_waits_for_ids_that_were_given_out() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    let known = Join {
        known_member_only: true,
        ..first_join("b")
    };
    kit.join(known.clone());
    let a = kit.join(rejoin("a"));
    assert!(kit.is_parked(a), "b is on its way");
    let b = kit.join(again(&known, "b"));
    assert_eq!(kit.joined(a).unwrap().members.len(), 2);
    assert_eq!(kit.joined(b).unwrap().generation, 2);

    // One that does not come back is not waited for longer than its session.
    kit.join(Join {
        known_member_only: true,
        ..first_join("c")
    });
    let a = kit.join(changed(rejoin("a")));
    kit.join(rejoin("b"));
    kit.pass(SESSION_MS - 1);
    assert!(kit.is_parked(a));
    kit.pass(1);
    assert_eq!(kit.joined(a).unwrap().generation, 3);
}

#[test]
fn a_pending_member_that_leaves_is_not_waited_for() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.join(Join {
        known_member_only: true,
        ..first_join("b")
    });
    let a = kit.join(rejoin("a"));
    assert_eq!(kit.left(vec![leaving("b")]), [Ok(())]);
    assert_eq!(kit.joined(a).unwrap().generation, 2);
}

#[test]
fn an_id_of_a_dynamic_member_is_not_for_a_static_one() {
    let mut kit = Kit::new();
    kit.join(Join {
        known_member_only: true,
        ..first_join("a")
    });
    let joined = kit.join(again(&static_join("i", "a"), "a"));
    assert!(matches!(
        kit.joined(joined),
        Err(GroupError::InvalidRequest { .. })
    ));
}

#[test]
fn ids_that_nobody_knows_are_refused() {
    let mut kit = Kit::new();
    let nobody = kit.join(rejoin("x"));
    assert_eq!(
        kit.joined(nobody),
        Err(GroupError::UnknownMember),
        "no such group"
    );
    assert_eq!(kit.state(), GroupState::Dead, "and it does not come to be");
    kit.stable(&["a"]);
    let nobody = kit.join(rejoin("x"));
    assert_eq!(kit.joined(nobody), Err(GroupError::UnknownMember));
    let nobody = kit.join(again(&static_join("i", "a"), "a"));
    assert_eq!(
        kit.joined(nobody),
        Err(GroupError::UnknownMember),
        "no such instance"
    );
    assert_eq!(kit.state(), GroupState::Stable);
}

#[test]
fn a_group_without_a_name_is_refused() {
    let mut kit = Kit::new();
    let ticket = kit.ask_of("", crate::group::Ask::Join(first_join("a")));
    assert_eq!(kit.joined(ticket), Err(GroupError::InvalidGroupId));
}

#[test]
fn a_session_timeout_out_of_range_is_refused() {
    let mut kit = Kit::new();
    for (asked, is_fine) in [
        (5_999, false),
        (6_000, true),
        (1_800_001, false),
        (-1, false),
    ] {
        let ticket = kit.join(Join {
            session_timeout_ms: asked,
            ..static_join("i", "a")
        });
        let refused = GroupError::InvalidSessionTimeout {
            asked,
            min: 6_000,
            max: 1_800_000,
        };
        assert_eq!(kit.joined(ticket).err(), (!is_fine).then_some(refused));
    }
}

#[test]
fn protocols_must_suit_all_members() {
    let mut kit = Kit::new();
    let without = [
        Join {
            protocols: Vec::new(),
            ..first_join("a")
        },
        Join {
            protocol_type: String::new(),
            ..first_join("a")
        },
    ];
    for join in without {
        let ticket = kit.join(join);
        assert!(matches!(
            kit.joined(ticket),
            Err(GroupError::InconsistentProtocol { .. })
        ));
    }
    kit.stable(&["a"]);
    let others = [
        Join {
            protocol_type: "connect".to_owned(),
            ..first_join("b")
        },
        Join {
            protocols: vec![("sticky".to_owned(), subscription("t"))],
            ..first_join("b")
        },
        Join {
            protocols: Vec::new(),
            ..rejoin("a")
        },
    ];
    for join in others {
        let ticket = kit.join(join);
        assert!(matches!(
            kit.joined(ticket),
            Err(GroupError::InconsistentProtocol { .. })
        ));
    }
    assert_eq!(kit.state(), GroupState::Stable);
}

#[test]
fn an_empty_group_may_change_its_type() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.left(vec![leaving("a")]);
    let ticket = kit.join(Join {
        protocol_type: "connect".to_owned(),
        ..first_join("b")
    });
    let joined = kit.joined(ticket).unwrap();
    assert_eq!(
        (joined.generation, joined.protocol_type.as_str()),
        (3, "connect")
    );
}

#[test]
fn a_full_group_lets_only_its_members_in() {
    let mut kit = Kit::new();
    let full = GroupError::GroupFull { members_max: 5 };
    kit.stable(&["a", "b", "c", "d", "e"]);
    let f = kit.join(first_join("f"));
    assert_eq!(kit.joined(f), Err(full.clone()));
    assert_eq!(kit.state(), GroupState::Stable, "the others go on");

    // While all join, the first five are in.
    let tickets: Vec<_> = ["a", "b", "c", "d"].map(|id| kit.join(rejoin(id))).into();
    let f = kit.join(first_join("f"));
    assert!(kit.is_parked(f));
    let e = kit.join(rejoin("e"));
    assert_eq!(kit.joined(e), Err(full));
    let generations = tickets
        .iter()
        .map(|ticket| kit.joined(*ticket).unwrap().generation);
    assert_eq!(
        generations.collect::<Vec<_>>(),
        [3; 4],
        "e was turned away, so all have joined"
    );
    assert_eq!(kit.joined(f).unwrap().generation, 3);
}

#[test]
fn there_are_at_most_so_many_groups() {
    let mut kit = Kit::new();
    for group in ["1", "2", "3"] {
        kit.ask_of(group, crate::group::Ask::Join(first_join("a")));
    }
    let ticket = kit.ask_of("4", crate::group::Ask::Join(first_join("a")));
    assert_eq!(
        kit.joined(ticket),
        Err(GroupError::TooManyGroups { groups_max: 3 })
    );
    let ticket = kit.ask_of("4", crate::group::Ask::Commit(commit(outside(), "t", 1)));
    assert_eq!(
        kit.committed(ticket),
        Err(GroupError::TooManyGroups { groups_max: 3 })
    );
    let ticket = kit.ask_of("4", crate::group::Ask::Join(rejoin("a")));
    assert_eq!(
        kit.joined(ticket),
        Err(GroupError::UnknownMember),
        "it would make no group"
    );
}

#[test]
fn ids_that_are_given_out_have_a_limit() {
    let mut kit = Kit::new();
    for number in 0..=crate::group::join::PENDING_MAX {
        let id = number.to_string();
        let ticket = kit.join(Join {
            known_member_only: true,
            ..first_join(&id)
        });
        let error = kit.joined(ticket).unwrap_err();
        let is_last = number == crate::group::join::PENDING_MAX;
        assert_eq!(
            matches!(error, GroupError::Unavailable { .. }),
            is_last,
            "{number}"
        );
    }
}

#[test]
fn an_unchanged_follower_gets_its_generation_again() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    let b = kit.join(rejoin("b"));
    let joined = kit.joined(b).unwrap();
    assert_eq!(
        (joined.generation, joined.leader.as_str()),
        (generation, "a")
    );
    assert_eq!(joined.members, []);
    assert_eq!(kit.state(), GroupState::Stable);
}

#[test]
fn a_changed_follower_starts_a_rebalance() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b"]);
    let b = kit.join(changed(rejoin("b")));
    assert!(kit.is_parked(b));
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
    let a = kit.join(rejoin("a"));
    let members = kit.joined(a).unwrap().members;
    assert_eq!(members[1].metadata, subscription("other"));
}

#[test]
fn a_leader_that_joins_again_starts_a_rebalance() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b"]);
    let a = kit.join(rejoin("a"));
    assert!(kit.is_parked(a));
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut kit = Kit::new();
    kit.join(first_join("a"));
    kit.join(first_join("b"));
    kit.join(rejoin("a"));
    assert_eq!(kit.state(), GroupState::CompletingRebalance);
    for (id, sees) in [("a", 2), ("b", 0)] {
        let ticket = kit.join(rejoin(id));
        let joined = kit.joined(ticket).unwrap();
        assert_eq!((joined.generation, joined.members.len()), (2, sees));
    }
    // With other metadata the leader's list would be wrong.
    let b = kit.join(changed(rejoin("b")));
    assert!(kit.is_parked(b));
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_join_that_is_asked_twice_is_answered_twice() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b"]);
    let older = kit.join(rejoin("a"));
    let newer = kit.join(rejoin("a"));
    assert_eq!(kit.joined(older), Err(GroupError::RebalanceInProgress));
    kit.join(rejoin("b"));
    assert_eq!(kit.joined(newer).unwrap().generation, 3);
}

#[test]
fn a_new_member_is_given_up_after_five_minutes() {
    let mut kit = Kit::new();
    let slow = Join {
        rebalance_timeout_ms: 1_000_000,
        ..first_join("a")
    };
    kit.stable_of(vec![slow]);
    let b = kit.join(first_join("b"));
    kit.pass_alive(299_000, &["a"], 1);
    assert!(kit.is_parked(b));
    kit.pass_alive(1_000, &["a"], 1);
    assert_eq!(kit.joined(b), Err(GroupError::UnknownMember));
    assert_eq!(kit.group().members.len(), 1);
}

#[test]
fn a_known_member_does_not_expire_while_it_waits() {
    let mut kit = Kit::new();
    let slow = |id| Join {
        rebalance_timeout_ms: 1_000_000,
        ..first_join(id)
    };
    let generation = kit.stable_of(vec![slow("a"), slow("b")]);
    let a = kit.join(again(&slow("a"), "a"));
    kit.pass_alive(600_000, &["b"], generation);
    assert!(kit.is_parked(a));
    kit.join(again(&slow("b"), "b"));
    assert_eq!(kit.joined(a).unwrap().members.len(), 2);
    // From its answer on it has to heartbeat again.
    kit.pass_alive(SESSION_MS, &["b"], generation + 1);
    assert_eq!(kit.group().members.len(), 1);
}

#[test]
fn a_named_instance_that_leaves_is_named_by_both() {
    let mut kit = Kit::new();
    kit.stable_of(vec![static_join("i", "a")]);
    let wrong = Leaving {
        member_id: "x".to_owned(),
        instance_id: Some("i".to_owned()),
    };
    assert_eq!(kit.left(vec![wrong]), [Err(GroupError::FencedInstance)]);
}
