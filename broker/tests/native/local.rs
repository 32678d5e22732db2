//! The session of a client in this process.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use highwater_broker::config::BrokerConfig;
use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::ExchangeError;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{Subscribed, v1};

use crate::kit::{Rig, batch, code, fetch, produce, stored, until};

#[test]
fn it_has_the_order_and_the_answers_of_a_connection() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let native = rig.broker.native();
    let answers = rig.broker.block_on(async move {
        let waiting = native.call(fetch("orders", 0, 1_000_000), Bytes::new());
        let first = native.call(produce("orders"), batch(&["a"]));
        let second = native.call(produce("orders"), batch(&["b"]));
        // Whichever is polled first.
        (second.await, first.await, waiting.await)
    });
    let (second, first, waited) = answers.unwrap();
    let offset = |answer: Result<(Answer, Bytes), ExchangeError>| match answer.unwrap() {
        (Answer::Produced(produced), _) => produced.base_offset,
        other => panic!("{other:?}"),
    };
    assert_eq!((offset(first), offset(second)), (0, 1));
    let (answer, body) = waited.unwrap();
    assert!(matches!(answer, Answer::Fetched(_)));
    assert!(body.starts_with(&stored(&batch(&["a"]), 0)));
}

#[test]
fn a_request_whose_future_is_dropped_takes_effect_and_waits_for_nothing() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let native = rig.broker.native();
    let waiting = native.call(fetch("orders", 0, 1_000_000), Bytes::new());
    rig.until_parked(1);
    drop(waiting);
    rig.until_parked(0);
    drop(native.call(produce("orders"), batch(&["a"])));
    let (answer, _) = rig
        .broker
        .block_on(native.call(produce("orders"), batch(&["b"])))
        .unwrap()
        .unwrap();
    assert!(matches!(answer, Answer::Produced(produced) if produced.base_offset == 1));
}

#[test]
fn what_needs_a_connection_is_refused() {
    let rig = Rig::new();
    let native = rig.broker.native();
    for call in [
        Call::Hello(v1::Hello::default()),
        Call::Subscribe(v1::Subscribe::default()),
        Call::Credit(v1::Credit::default()),
    ] {
        let answer = rig.broker.block_on(native.call(call, Bytes::new()));
        let (answer, _) = answer.unwrap().unwrap();
        let invalid = code(ErrorCode::InvalidRequest);
        assert!(matches!(answer, Answer::Failure(failure) if failure.code == invalid));
    }
}

#[test]
fn after_the_end_nothing_is_sent() {
    let rig = Rig::new();
    let native = rig.broker.native();
    rig.broker.shutdown_blocking().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for session in [native, rig.broker.native()] {
        assert!(!session.is_open());
        for call in [fetch("orders", 0, 0), read_stream("orders")] {
            let late = session.call(call, Bytes::new());
            let error = runtime.block_on(late).unwrap_err();
            assert!(error.is_not_sent(), "{error}");
        }
    }
}

#[test]
fn a_read_that_nobody_waits_for_does_not_keep_the_broker() {
    let rig = Rig::new();
    let read = rig
        .broker
        .native()
        .call(read_stream("orders"), Bytes::new());
    rig.broker.shutdown_blocking().unwrap();
    drop(rig);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = runtime.block_on(read).unwrap_err();
    assert!(error.is_not_sent(), "{error}");
}

#[test]
fn a_read_takes_the_place_of_a_request() {
    let config = BrokerConfig {
        connection_requests_max: 1,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    let configs = [("append.conditional", "true"), ("retention.ms", "-1")];
    rig.topic_with("orders", 1, &configs);
    let native = rig.broker.native();
    let read = || native.call(read_stream("orders"), Bytes::new());
    let (first, second) = (read(), read());
    let answers = rig
        .broker
        .block_on(async move { (second.await, first.await) });
    let (second, first) = answers.unwrap();
    assert!(second.unwrap_err().is_not_sent());
    assert!(matches!(first.unwrap().0, Answer::StreamEvents(_)));
    let third = rig.broker.block_on(read()).unwrap();
    assert!(matches!(third.unwrap().0, Answer::StreamEvents(_)));
}

#[test]
fn a_subscriber_that_takes_nothing_does_not_keep_the_broker_from_being_shut_down() {
    let rig = Rig::new();
    let _subscribed = stuck(&rig);
    comes(rig.broker.shutdown()).unwrap();
}

#[test]
fn nor_does_it_keep_the_broker_from_being_cut_off() {
    let rig = Rig::new();
    let _subscribed = stuck(&rig);
    comes(rig.broker.crash());
}

/// A subscription that is full: as many deliveries as may wait, and one more that does not get in.
fn stuck(rig: &Rig) -> Box<dyn Subscribed> {
    rig.topic("orders", 1);
    let native = rig.broker.native();
    let all = v1::Subscribe {
        topic: "orders".to_owned(),
        partition: 0,
        start: Some(v1::subscribe::Start::Earliest(true)),
        credit_bytes: u32::MAX,
    };
    let subscribed = rig.broker.block_on(native.subscribe(all));
    let event = batch(&["a"]);
    for count in 1..=65 {
        let produced = native.call(produce("orders"), event.clone());
        rig.broker.block_on(produced).unwrap().unwrap();
        // Read alone, it is a delivery of its own.
        let bytes = count * event.len() as u64;
        until(|| rig.service.metrics().fetched_bytes.value() == bytes);
    }
    subscribed.unwrap().unwrap()
}

/// What a future comes to, if it does by itself: the broker's clock stands still.
fn comes<T>(future: impl Future<Output = T>) -> T {
    let future = RefCell::new(Box::pin(future));
    let result = RefCell::new(None);
    until(|| {
        let mut context = Context::from_waker(Waker::noop());
        let polled = future.borrow_mut().as_mut().poll(&mut context);
        let is_there = polled.is_ready();
        if let Poll::Ready(it) = polled {
            result.replace(Some(it));
        }
        is_there
    });
    result.into_inner().unwrap()
}

fn read_stream(topic: &str) -> Call {
    Call::ReadStream(v1::ReadStream {
        topic: topic.to_owned(),
        key: Bytes::from_static(b"order-1"),
        ..v1::ReadStream::default()
    })
}
