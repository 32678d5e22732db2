//! The session of an embedded client: as a connection, without one.

use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError, call};
use highwater_proto::kafka::messages::metadata::MetadataRequest;
use highwater_proto::kafka::messages::produce::ProduceRequest;
use highwater_proto::kafka::{APIS, ApiKey, Request, Response};
use proptest::prelude::*;

use crate::disk::FaultyFs;
use crate::kit::{FETCH, PRODUCE, Rig, batch, fetch, produce};
use crate::requests::{Choices, Mask, request};

/// Waits for an answer on a thread without a runtime.
pub(crate) fn wait<T: Send + 'static>(
    broker: &Broker,
    future: impl Future<Output = T> + Send + 'static,
) -> T {
    broker.block_on(future).unwrap()
}

fn send(
    exchange: &Arc<dyn Exchange>,
    version: i16,
    request: impl Into<Request>,
) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
    exchange.send(version, request.into())
}

fn base_offset(response: Option<Response>) -> i64 {
    match response {
        Some(Response::Produce(response)) => response.topics[0].partitions[0].base_offset,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_answers_as_a_connection_does(
        steps in proptest::collection::vec((0..APIS.len(), any::<u16>(), any::<u64>()), 1..60)
    ) {
        let (there, here) = (Rig::new(), Rig::new());
        let mut client = there.client();
        let exchange = here.broker.exchange();
        let (mut mask_there, mut mask_here) = (Mask::default(), Mask::default());
        for (api, version, choices) in steps {
            let api = &APIS[api];
            let versions = api.implemented;
            let count = versions.max - versions.min + 1;
            let version = versions.min + i16::try_from(version % count.unsigned_abs()).unwrap();
            let to_there = request(api.key, version, &mut Choices(choices), &there.service);
            let to_here = request(api.key, version, &mut Choices(choices), &here.service);
            mask_there.learn(&there.service);
            mask_here.learn(&here.service);
            let from_there = client.call_any(version, &to_there).unwrap();
            let from_here = wait(&here.broker, exchange.send(version, to_here)).unwrap().unwrap();
            mask_there.learn(&there.service);
            mask_here.learn(&here.service);
            prop_assert_eq!(
                mask_here.response(version, &from_here, &here),
                mask_there.response(version, &from_there, &there),
                "{:?} v{}: {:?}", api.key, version, to_there
            );
        }
    }
}

#[test]
fn requests_take_effect_in_the_order_of_sending_whoever_waits_first() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let exchange = rig.broker.exchange();
    let sent: Vec<_> = (0..10)
        .map(|_| send(&exchange, PRODUCE, produce("t", -1, batch(&["v"]))))
        .collect();
    for (offset, answer) in sent.into_iter().enumerate().rev() {
        let offset = i64::try_from(offset).unwrap();
        assert_eq!(base_offset(wait(&rig.broker, answer).unwrap()), offset);
    }
}

#[test]
fn a_dropped_future_undoes_nothing() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let exchange = rig.broker.exchange();
    drop(send(&exchange, PRODUCE, produce("t", -1, batch(&["v"]))));
    let next = send(&exchange, PRODUCE, produce("t", -1, batch(&["v"])));
    assert_eq!(base_offset(wait(&rig.broker, next).unwrap()), 1);
}

#[test]
fn acks_0_has_no_answer_and_its_failure_is_told() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let exchange = rig.broker.exchange();
    let answer = send(&exchange, PRODUCE, produce("t", 0, batch(&["v"])));
    assert_eq!(wait(&rig.broker, answer), Ok(None));
    let answer = send(&exchange, PRODUCE, produce("missing", 0, batch(&["v"])));
    let error = wait(&rig.broker, answer).unwrap_err();
    assert!(matches!(error, ExchangeError::Unknown { .. }), "{error}");
    let answer = send(&exchange, PRODUCE, produce("t", 1, batch(&["v"])));
    assert_eq!(
        base_offset(wait(&rig.broker, answer).unwrap()),
        1,
        "the session goes on"
    );
}

#[test]
fn a_session_has_as_many_requests_under_way_as_a_connection_may_have() {
    let fs = FaultyFs::new(MemFs::new());
    let config = BrokerConfig {
        connection_requests_max: 3,
        ..BrokerConfig::default()
    };
    let rig = Rig::over(Arc::new(fs.clone()), config);
    rig.topic("t", 1);
    let exchange = rig.broker.exchange();
    let held = fs.faults.hold_syncs();
    let one = || send(&exchange, PRODUCE, produce("t", -1, batch(&["v"])));
    let sent = [one(), one(), one()];
    let error = wait(&rig.broker, one()).unwrap_err();
    assert!(
        error.is_not_sent() && error.to_string().contains("connection.requests.max"),
        "{error}"
    );
    drop(held);
    for (offset, answer) in (0..3).zip(sent) {
        assert_eq!(base_offset(wait(&rig.broker, answer).unwrap()), offset);
    }
    assert_eq!(base_offset(wait(&rig.broker, one()).unwrap()), 3);
}

#[test]
fn sessions_do_not_wait_for_each_other_and_versions_are_those_of_the_table() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let (one, two) = (rig.broker.exchange(), rig.broker.exchange());
    let fetched = send(&one, FETCH, fetch("t", 0, 60_000));
    rig.until_parked(1);
    let produced = call(&*two, PRODUCE, produce("t", -1, batch(&["v"])));
    assert_eq!(
        wait(&rig.broker, produced).unwrap().topics[0].partitions[0].error_code,
        0
    );
    let Some(Response::Fetch(fetched)) = wait(&rig.broker, fetched).unwrap() else {
        panic!()
    };
    assert_eq!(fetched.topics[0].partitions[0].high_watermark, 1);
    assert_eq!(two.versions(ApiKey::Produce), Some((3, 11)));
    let error = wait(&rig.broker, send(&two, 2, ProduceRequest::default())).unwrap_err();
    assert!(error.is_not_sent());
}

#[test]
fn after_a_shutdown_nothing_is_sent() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let exchange = rig.broker.exchange();
    let waiting = send(&exchange, FETCH, fetch("t", 0, 60_000));
    rig.until_parked(1);
    rig.broker.shutdown_blocking().unwrap();
    assert!(matches!(
        wait(&rig.broker, waiting),
        Ok(Some(Response::Fetch(_)))
    ));
    for exchange in [exchange, rig.broker.exchange()] {
        crate::kit::until(|| {
            let answer = send(&exchange, 1, MetadataRequest::default());
            wait(&rig.broker, answer).is_err_and(|error| error.is_not_sent())
        });
    }
}
