//! Joins and syncs that wait for other members: whom they delay, and what ends them.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_broker::service::groups::GroupState;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::join_group::JoinGroupRequest;
use highwater_proto::kafka::messages::leave_group::LeaveGroupRequest;
use highwater_proto::kafka::messages::sync_group::SyncGroupRequest;
use highwater_proto::kafka::{ApiRequest as _, Request};

use crate::group_kit::{Consumer, JOIN, LEAVE, SYNC, join, leave, subscription, sync, until_state};
use crate::kit::{Rig, until};

/// Whether nothing comes on a connection that has something to say if it is not held back.
fn is_silent(consumer: &mut Consumer) -> bool {
    consumer.client.stream.set_nonblocking(true).unwrap();
    let error = std::io::Read::read(&mut consumer.client.stream, &mut [0; 1]).err();
    consumer.client.stream.set_nonblocking(false).unwrap();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn a_join_that_waits_delays_its_own_connection_and_no_other() {
    let rig = Rig::new();
    let mut old = Consumer::stable(&rig, "g");
    let mut new = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    let behind = new.client.send(0, ApiVersionsRequest::default());
    // Others are served meanwhile: the same group, another one, and no group at all.
    assert_eq!(old.heartbeat(), 27);
    assert_eq!(Consumer::stable(&rig, "h").heartbeat(), 0);
    rig.client().call(0, ApiVersionsRequest::default());
    assert!(is_silent(&mut new));
    old.send_join();
    old.receive_join();
    new.receive_join();
    assert_eq!(new.client.receive::<ApiVersionsRequest>(0).0, behind);
}

#[test]
fn a_member_that_does_not_come_back_is_waited_for_until_the_rebalance_timeout() {
    let rig = Rig::new();
    let mut old = Consumer::stable(&rig, "g");
    let mut new = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    let start = rig.clock_since_start();
    // It says that it is alive, and does not join.
    while rig.clock_since_start() - start < Duration::from_secs(59) {
        assert_eq!(old.heartbeat(), 27);
        rig.advance(Duration::from_secs(1));
    }
    assert!(is_silent(&mut new));
    rig.advance(Duration::from_secs(1));
    new.receive_join();
    assert_eq!(new.joined.members.len(), 1);
    assert_eq!(old.heartbeat(), 25);
}

#[test]
fn a_client_that_is_gone_while_its_join_waits_frees_its_connection() {
    let rig = Rig::with(BrokerConfig {
        max_connections: 2,
        ..BrokerConfig::default()
    });
    let mut old = Consumer::stable(&rig, "g");
    let new = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    // The clock stands still: only the end of the connection can make room for another one.
    drop(new);
    until(|| {
        let mut client = rig.client();
        let frame = client.frame(0, ApiVersionsRequest::default());
        client.try_call(&frame).is_some()
    });
    // Nobody knows yet that the member is gone, until its session ends.
    old.send_join();
    old.receive_join();
    assert_eq!((old.joined.generation_id, old.joined.members.len()), (2, 2));
    let id = old.id();
    assert_eq!(old.sync(&[(&id, "work")]).error_code, 0);
    let start = rig.clock_since_start();
    while old.heartbeat() == 0 {
        rig.advance(Duration::from_secs(1));
    }
    assert!(rig.clock_since_start() - start <= Duration::from_secs(11));
    old.send_join();
    old.receive_join();
    assert_eq!((old.joined.generation_id, old.joined.members.len()), (3, 1));
}

#[test]
fn a_client_that_is_gone_while_its_sync_waits_harms_no_other() {
    let rig = Rig::new();
    let mut leader = Consumer::stable(&rig, "g");
    let mut follower = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    leader.send_join();
    leader.receive_join();
    follower.receive_join();
    let id = follower.id();
    follower.client.send(SYNC, sync("g", &follower.joined, &[]));
    drop(follower);
    assert_eq!(leader.sync(&[(&id, "work")]).error_code, 0);
    assert_eq!(leader.heartbeat(), 0);
    let described = rig.service.describe_group("g");
    assert_eq!(
        (described.state, described.members.len()),
        (GroupState::Stable, 2)
    );
}

#[test]
fn a_shutdown_answers_joins_and_syncs_that_wait_with_error_16() {
    let rig = Rig::new();
    let mut joining = Consumer::stable(&rig, "joining");
    let mut new = Consumer::begin(&rig, "joining");
    until_state(&rig, "joining", GroupState::PreparingRebalance);
    let mut leader = Consumer::stable(&rig, "syncing");
    let mut follower = Consumer::begin(&rig, "syncing");
    until_state(&rig, "syncing", GroupState::PreparingRebalance);
    leader.send_join();
    leader.receive_join();
    follower.receive_join();
    let request = sync("syncing", &follower.joined, &[]);
    let frame = follower.client.frame(SYNC, request);
    let received = &rig.service.metrics().received_bytes;
    let all = received.value() + frame.len() as u64;
    follower.client.write(&frame);
    until(|| received.value() == all);
    rig.broker.shutdown_blocking().unwrap();
    let (_, joined) = new.client.receive::<JoinGroupRequest>(JOIN);
    assert_eq!((joined.error_code, joined.generation_id), (16, -1));
    let (_, synced) = follower.client.receive::<SyncGroupRequest>(SYNC);
    assert_eq!(synced.error_code, 16);
    assert!(new.client.is_closed() && follower.client.is_closed());
    assert!(joining.client.is_closed() && leader.client.is_closed());
}

#[test]
fn an_embedded_member_that_gives_up_its_join_can_leave_at_once() {
    let rig = Rig::new();
    let old = Consumer::stable(&rig, "g");
    let exchange = rig.broker.exchange();
    let send = |version, request: Request| exchange.send(version, request);
    // v3 joins at once, without an id of its own before.
    let mut joining = send(3, join("g", &Str::default()).into());
    let waker = Waker::noop();
    assert!(matches!(
        joining.as_mut().poll(&mut Context::from_waker(waker)),
        Poll::Pending
    ));
    until_state(&rig, "g", GroupState::PreparingRebalance);
    drop(joining);
    let left = send(LEAVE, leave("g", &old.id()).into());
    let left = crate::local::wait(&rig.broker, left).unwrap().unwrap();
    let left = LeaveGroupRequest::response(left).unwrap();
    assert_eq!(left.members[0].error_code, 0);
}

#[test]
fn an_embedded_member_is_served_as_one_on_a_connection() {
    let rig = Rig::new();
    let exchange = rig.broker.exchange();
    let joined = crate::local::wait(
        &rig.broker,
        exchange.send(3, join("g", &Str::default()).into()),
    );
    let joined = JoinGroupRequest::response(joined.unwrap().unwrap()).unwrap();
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(joined.members[0].metadata, subscription("t"));
    let request = sync("g", &joined, &[(&joined.member_id, "work")]);
    let synced = crate::local::wait(&rig.broker, exchange.send(SYNC, request.into()));
    let synced = SyncGroupRequest::response(synced.unwrap().unwrap()).unwrap();
    assert_eq!(&synced.assignment[..], b"work");
    let described = rig.service.describe_group("g");
    assert_eq!(described.members[0].client_host, "/in-process");
}

#[test]
fn a_join_of_a_full_connection_is_answered_when_its_turn_comes() {
    let rig = Rig::with(BrokerConfig {
        connection_requests_max: 2,
        ..BrokerConfig::default()
    });
    let mut old = Consumer::stable(&rig, "g");
    let mut new = Consumer::begin(&rig, "g");
    until_state(&rig, "g", GroupState::PreparingRebalance);
    let sent: Vec<i32> = (0..4)
        .map(|_| new.client.send(0, ApiVersionsRequest::default()))
        .collect();
    old.send_join();
    old.receive_join();
    new.receive_join();
    for id in sent {
        assert_eq!(new.client.receive::<ApiVersionsRequest>(0).0, id);
    }
}

#[test]
fn many_members_join_side_by_side_and_each_has_its_own_answer() {
    let rig = Arc::new(Rig::new());
    let first = Consumer::stable(&rig, "g");
    let mut others: Vec<Consumer> = (0..20).map(|_| Consumer::begin(&rig, "g")).collect();
    until(|| rig.service.describe_group("g").members.len() == 21);
    let mut first = first;
    first.send_join();
    first.receive_join();
    let leader = first.id();
    for other in &mut others {
        other.receive_join();
        assert_eq!(
            (&other.joined.leader, other.joined.generation_id),
            (&leader, 2)
        );
    }
    assert_eq!(first.joined.members.len(), 21);
}
