//! After a restart groups go on where the log says they were.

use bytes::Bytes;
use highwater_proto::group_log::{GroupRecord, GroupValue, MemberValue};

use super::kit::*;
use crate::error::GroupError;
use crate::group::{GroupConfig, GroupState};

#[test]
fn members_of_a_stable_group_go_on() {
    let mut kit = Kit::new();
    let generation = kit.stable_of(vec![first_join("a"), static_join("j", "b")]);
    let before = kit.group();
    kit.restart();
    assert_eq!(kit.group(), before);
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    let ticket = kit.sync("b", generation, &[]);
    assert_eq!(kit.synced(ticket).unwrap().assignment, "b");
    let b = kit.join(again(&static_join("j", "b"), "b"));
    assert_eq!(kit.joined(b).unwrap().generation, generation);
    let fenced = of_instance("j", "a", generation);
    assert_eq!(kit.heartbeat_of(fenced), Err(GroupError::FencedInstance));
}

#[test]
fn sessions_start_anew() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a", "b"]);
    kit.pass(SESSION_MS - 1);
    kit.restart();
    kit.pass(SESSION_MS - 1);
    assert_eq!(kit.heartbeat("a", generation), Ok(()));
    kit.pass(1);
    assert_eq!(kit.group().members.len(), 1, "b is silent");
    assert_eq!(kit.state(), GroupState::PreparingRebalance);
}

#[test]
fn the_generation_goes_on() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    kit.left(vec![leaving("a")]);
    kit.restart();
    let group = kit.group();
    assert_eq!(
        (group.state, group.protocol_type.as_str()),
        (GroupState::Empty, "consumer")
    );
    let a = kit.join(first_join("a"));
    assert_eq!(kit.joined(a).unwrap().generation, 3);
}

#[test]
fn a_generation_that_was_not_complete_is_not_in_the_log() {
    let mut kit = Kit::new();
    let generation = kit.stable(&["a"]);
    kit.join(first_join("b"));
    kit.join(rejoin("a"));
    kit.restart();
    assert_eq!(kit.group().members.len(), 1);
    let b = kit.sync("b", generation + 1, &[]);
    assert_eq!(
        kit.synced(b),
        Err(GroupError::UnknownMember),
        "it joins again"
    );
    let a = kit.sync("a", generation + 1, &[]);
    let (asked, current) = (generation + 1, generation);
    assert_eq!(
        kit.synced(a),
        Err(GroupError::IllegalGeneration { asked, current })
    );
}

#[test]
fn groups_of_offsets_alone_come_back() {
    let mut kit = Kit::new();
    kit.commit(outside(), "t", 5);
    kit.restart();
    assert_eq!((kit.state(), kit.offset("t")), (GroupState::Empty, 5));
    let listed = kit.machine.list();
    assert_eq!((listed.len(), listed[0].protocol_type.as_str()), (1, ""));
}

#[test]
fn a_group_with_too_many_members_shares_out_anew() {
    let mut kit = Kit::new();
    kit.stable(&["a", "b", "c"]);
    let mut small = Kit::with(GroupConfig {
        members_max: 2,
        ..config()
    });
    small.log = kit.log;
    small.restart();
    assert_eq!(small.state(), GroupState::PreparingRebalance);
    for id in ["a", "b"] {
        small.join(rejoin(id));
    }
    let c = small.join(rejoin("c"));
    assert_eq!(
        small.joined(c),
        Err(GroupError::GroupFull { members_max: 2 })
    );
    assert_eq!(small.state(), GroupState::CompletingRebalance);
    assert_eq!(small.group().members.len(), 2);
}

#[test]
fn a_strange_record_does_no_harm() {
    let member = MemberValue {
        member_id: "a".to_owned(),
        session_timeout_ms: -5,
        rebalance_timeout_ms: -1,
        ..MemberValue::default()
    };
    let value = GroupValue {
        generation: i32::MAX,
        leader: Some("nobody".to_owned()),
        members: vec![member.clone(), member],
        ..GroupValue::default()
    };
    let mut kit = Kit::new();
    kit.log = vec![GroupRecord::Group {
        group: GROUP.to_owned(),
        value: Some(value),
    }];
    kit.restart();
    kit.pass(1);
    assert_eq!(
        (kit.state(), kit.logged().unwrap().generation),
        (GroupState::Empty, 1)
    );
}

#[test]
fn what_was_read_pins_no_block_of_the_log() {
    let mut kit = Kit::new();
    kit.stable(&["a"]);
    let block = Bytes::from(vec![7; 1_000]);
    for record in &mut kit.log {
        if let GroupRecord::Group {
            value: Some(value), ..
        } = record
        {
            value.members[0].subscription = block.slice(1..2);
            value.members[0].assignment = block.slice(2..3);
        }
    }
    kit.restart();
    kit.log.clear();
    assert_eq!(kit.group().members[0].assignment, block.slice(2..3));
    assert!(block.is_unique());
}
