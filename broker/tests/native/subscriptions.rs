//! Batches that come by themselves, as long as there is credit.

use std::time::Duration;

use bytes::Bytes;
use highwater_broker::config::BrokerConfig;
use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::subscribe::Start;

use crate::kit::{Client, Rig, batch, code, fetch, stored, subscribe};

/// The next delivery: of which subscription, where the next one begins, and the batches.
fn delivered(client: &mut Client) -> (u64, i64, Bytes) {
    match client.receive() {
        (name, Answer::Delivered(delivered), body) => (name, delivered.next_offset, body),
        other => panic!("{other:?}"),
    }
}

fn ended(client: &mut Client) -> (u64, Option<i32>) {
    match client.receive() {
        (name, Answer::Ended(ended), _) => (name, ended.failure.map(|failure| failure.code)),
        other => panic!("{other:?}"),
    }
}

fn credit(subscription: u64, bytes: u32) -> Call {
    Call::Credit(v1::Credit {
        subscription,
        bytes,
    })
}

#[test]
fn what_is_there_comes_and_then_what_is_new() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    client.produced("orders", &batch(&["a"]));
    let name = client.send(subscribe("orders", Start::Earliest(true), 1 << 20), b"");
    let first = (name, 1, stored(&batch(&["a"]), 0).into());
    assert_eq!(delivered(&mut client), first);
    rig.client().produced("orders", &batch(&["b", "c"]));
    let second = (name, 3, stored(&batch(&["b", "c"]), 1).into());
    assert_eq!(delivered(&mut client), second);
}

#[test]
fn it_begins_where_it_is_told() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    for value in ["a", "b"] {
        client.produced("orders", &batch(&[value]));
    }
    let at_offset = client.send(subscribe("orders", Start::Offset(1), 1 << 20), b"");
    assert_eq!(delivered(&mut client).0, at_offset);
    client.send(
        Call::Unsubscribe(v1::Unsubscribe {
            subscription: at_offset,
        }),
        b"",
    );
    assert_eq!(ended(&mut client), (at_offset, None));
    let latest = client.send(subscribe("orders", Start::Latest(true), 1 << 20), b"");
    rig.until_parked(1);
    rig.client().produced("orders", &batch(&["c"]));
    let third = (latest, 3, stored(&batch(&["c"]), 2).into());
    assert_eq!(delivered(&mut client), third);
}

/// The end at the time of the request counts, not that of the first credit.
#[test]
fn latest_is_decided_before_there_is_credit() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    client.produced("orders", &batch(&["a"]));
    let name = client.send(subscribe("orders", Start::Latest(true), 0), b"");
    client.produced("orders", &batch(&["b"]));
    client.send(credit(name, 1), b"");
    assert_eq!(delivered(&mut client).2, stored(&batch(&["b"]), 1));
}

#[test]
fn without_credit_nothing_comes() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let size = u32::try_from(batch(&["a"]).len()).unwrap();
    for value in ["a", "b", "c", "d"] {
        client.produced("orders", &batch(&[value]));
    }
    // One byte is enough for a whole batch, which is a debt then.
    let name = client.send(subscribe("orders", Start::Earliest(true), 1), b"");
    assert_eq!(delivered(&mut client).1, 1);
    client.send(credit(name, size - 1), b"");
    // The debt is paid, no more: what comes next is the answer to another request.
    let (answer, _) = client.call(fetch("orders", 4, 0), b"");
    assert!(matches!(answer, Answer::Fetched(_)));
    client.send(credit(name, 2 * size), b"");
    let (_, next, body) = delivered(&mut client);
    assert_eq!((next, body.len()), (3, 2 * batch(&["a"]).len()));
    let (answer, _) = client.call(fetch("orders", 4, 0), b"");
    assert!(matches!(answer, Answer::Fetched(_)));
}

#[test]
fn the_end_of_a_subscription_is_said_once() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let unknown = Some(code(ErrorCode::UnknownTopicOrPartition));
    for start in [Start::Earliest(true), Start::Latest(true), Start::Offset(0)] {
        let name = client.send(subscribe("no", start, 100), b"");
        assert_eq!(ended(&mut client), (name, unknown));
    }
    let name = client.send(subscribe("orders", Start::Offset(5), 100), b"");
    let out_of_range = Some(code(ErrorCode::OffsetOutOfRange));
    assert_eq!(ended(&mut client), (name, out_of_range));
    // It is gone: what is still said of it has no effect and no answer.
    client.send(credit(name, 5), b"");
    client.send(
        Call::Unsubscribe(v1::Unsubscribe { subscription: name }),
        b"",
    );
    let (answer, _) = client.call(fetch("orders", 0, 0), b"");
    assert!(matches!(answer, Answer::Fetched(_)));
}

#[test]
fn a_shutdown_ends_subscriptions_with_a_word() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let name = client.send(subscribe("orders", Start::Earliest(true), 100), b"");
    rig.until_parked(1);
    rig.broker.shutdown_blocking().unwrap();
    let moved = Some(code(ErrorCode::NotLeaderOrFollower));
    assert_eq!(ended(&mut client), (name, moved));
    client.is_closed();
}

#[test]
fn subscriptions_of_a_connection_are_bounded_and_take_no_place_of_a_request() {
    let rig = Rig::with(BrokerConfig {
        connection_requests_max: 2,
        ..BrokerConfig::default()
    });
    rig.topic("orders", 1);
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(subscribe("orders", Start::Earliest(true), 100), b"");
    }
    rig.until_parked(2);
    let failure = client.refused(subscribe("orders", Start::Earliest(true), 100), b"");
    assert_eq!(failure.code, code(ErrorCode::PolicyViolation));
    drop(client);
    rig.until_parked(0);
}

/// With no room to wait, a subscription looks again and again, but not all the time.
#[test]
fn a_subscription_goes_on_where_nobody_can_be_parked() {
    let rig = Rig::with(BrokerConfig {
        fetch_parked_max: 0,
        ..BrokerConfig::default()
    });
    rig.topic("orders", 1);
    let mut client = rig.client();
    let name = client.send(subscribe("orders", Start::Earliest(true), 100), b"");
    client.produced("orders", &batch(&["a"]));
    crate::kit::until(|| rig.clock.sleepers_count() > 0);
    let before = rig.service.metrics().fetches.value();
    client.call(fetch("orders", 0, 0), b"");
    assert!(rig.service.metrics().fetches.value() <= before + 2);
    rig.clock.advance(Duration::from_millis(100));
    assert_eq!(delivered(&mut client).0, name);
}
