//! The session of a client in this process.

use bytes::Bytes;
use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::ExchangeError;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use crate::kit::{Rig, batch, code, fetch, produce, stored};

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
        let late = session.call(fetch("orders", 0, 0), Bytes::new());
        let error = runtime.block_on(late).unwrap_err();
        assert!(error.is_not_sent(), "{error}");
    }
}
