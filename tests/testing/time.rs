//! The clock of a test broker: weeks in milliseconds, in order.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use highwater::testing::{ApiKey, ErrorCode, Fault, START_MS, TestBroker, TestError};
use highwater::{Client, ProducerConfig, Record};
use highwater_proto::clock::Mono;
use highwater_proto::exchange::call;
use highwater_proto::kafka::messages::join_group::{JoinGroupProtocol, JoinGroupRequest};

use crate::store;
use crate::values;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Printed, and asserted loosely: the machine may be busy.
fn report(what: &str, begun: Instant) {
    let took = begun.elapsed();
    println!("{what}: {took:?}");
    assert!(took < Duration::from_secs(5), "{what} took {took:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the wall time is what is measured"
)]
fn begin() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn records_of_seven_days_ago_are_gone_and_those_of_yesterday_are_not() {
    let begun = begin();
    let broker = TestBroker::start().await.unwrap();
    report("ready", begun);
    let client = broker.client();
    store(&client, Record::to("orders").value("old")).await;
    let begun = begin();
    broker.advance(6 * DAY).await;
    report("six days", begun);
    store(&client, Record::to("orders").value("young")).await;
    broker.advance(DAY + Duration::from_secs(1)).await;
    // The last segment is never deleted: a third record begins another one.
    store(&client, Record::to("orders").value("new")).await;
    broker.advance(Duration::from_secs(1)).await;
    let begun = begin();
    broker.advance(6 * DAY).await;
    report("six more days", begun);
    let left = values(&broker, "orders").await;
    assert!(!left.contains(&"old".to_owned()), "{left:?}");
    assert_eq!(left.last().map(String::as_str), Some("new"));
}

#[tokio::test]
async fn three_retries_take_their_pauses_and_no_wall_time() {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    let client = broker.client();
    store(&client, Record::to("orders").value("first")).await;
    let fault = Fault::fail(ErrorCode::NotLeaderOrFollower).on(ApiKey::Produce);
    let refused = broker.faults().add(fault.topic("orders").times(3));
    let config = ProducerConfig {
        linger_ms: 0,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).unwrap();
    let begun = begin();
    let sent = producer.send(Record::to("orders").value("second")).await;
    let sent = tokio::spawn(sent.unwrap());
    refused.until_hits(1).await;
    assert!(!sent.is_finished(), "it pauses, and nobody moves the clock");
    broker.advance(Duration::from_secs(5)).await;
    assert!(sent.is_finished(), "all pauses are over");
    assert_eq!(sent.await.unwrap().unwrap().offset, 1);
    report("three retries", begun);
    assert_eq!(refused.hits(), 3);
}

#[tokio::test]
async fn a_clock_that_is_frozen_shows_every_moment_exactly() {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    let start = UNIX_EPOCH + Duration::from_millis(START_MS.unsigned_abs());
    assert_eq!(broker.now(), start);
    broker.advance(7 * DAY).await;
    assert_eq!(broker.now(), start + 7 * DAY);
    let at_ms = broker.now_ms();
    store(&broker.client(), Record::to("orders").value("v")).await;
    let record = broker.expect_event("orders").within(Duration::ZERO).await;
    assert_eq!(record.timestamp, at_ms);
}

/// Sleepers at a second each send a record over TCP when they wake: each is stored before the next
/// one wakes.
async fn every_moment_is_over_before_the_next_one(client: impl Fn(&TestBroker) -> Client) {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    let client = client(&broker);
    let config = ProducerConfig {
        linger_ms: 0,
        ..ProducerConfig::default()
    };
    let producer = Arc::new(client.producer(config).unwrap());
    let clock = Arc::clone(broker.broker().unwrap().service().clock());
    let begun = clock.now();
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut sleepers = Vec::new();
    // The last one is the first to sleep.
    for second in (1..=50_u64).rev() {
        let (clock, producer, woken) = (clock.clone(), producer.clone(), woken.clone());
        sleepers.push(tokio::spawn(async move {
            let at = begun.mono.plus(Duration::from_secs(second));
            clock.sleep_until(at).await;
            woken.lock().unwrap().push(second);
            let record = Record::to("moments").value(second.to_string());
            let stored = producer.send(record).await.unwrap().await.unwrap();
            assert_eq!(stored.offset + 1, i64::try_from(second).unwrap());
            assert_eq!(clock.now().mono, at, "time has stood until it was stored");
        }));
    }
    broker.advance(Duration::from_secs(60)).await;
    for sleeper in sleepers {
        assert!(sleeper.is_finished());
        sleeper.await.unwrap();
    }
    assert_eq!(*woken.lock().unwrap(), (1..=50).collect::<Vec<_>>());
    let last = broker.expect_event("moments").value("50");
    let last = last.within(Duration::ZERO).await;
    assert_eq!(last.timestamp, begun.wall.0 + 50_000);
    assert_eq!(clock.now().mono, Mono(begun.mono.0 + 60_000_000_000));
}

#[tokio::test]
async fn every_moment_is_over_before_the_next_one_in_process() {
    every_moment_is_over_before_the_next_one(TestBroker::client).await;
}

#[tokio::test]
async fn every_moment_is_over_before_the_next_one_over_tcp() {
    every_moment_is_over_before_the_next_one(TestBroker::client_over_tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_moment_is_over_before_the_next_one_on_many_threads() {
    every_moment_is_over_before_the_next_one(TestBroker::client).await;
    every_moment_is_over_before_the_next_one(TestBroker::client_over_tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_is_moved_from_a_task_of_the_runtime_too() {
    let moved = tokio::spawn(every_moment_is_over_before_the_next_one(
        TestBroker::client_over_tcp,
    ));
    moved.await.unwrap();
}

#[tokio::test]
async fn a_member_that_says_nothing_is_gone_after_its_session() {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    let session = broker.broker().unwrap().exchange();
    let join = |member_id| JoinGroupRequest {
        group_id: "billing".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupProtocol {
            name: "range".into(),
            ..JoinGroupProtocol::default()
        }],
        ..JoinGroupRequest::default()
    };
    let told = call(&*session, 9, join("".into())).await.unwrap();
    let joined = call(&*session, 9, join(told.member_id)).await.unwrap();
    assert_eq!(joined.error_code, 0);
    let members = || async {
        let group = broker.client().admin().describe_group("billing").await;
        group.unwrap().members.len()
    };
    broker.advance(Duration::from_secs(9)).await;
    assert_eq!(members().await, 1);
    broker.advance(Duration::from_secs(2)).await;
    assert_eq!(members().await, 0);
}

#[tokio::test]
async fn the_machines_clock_cannot_be_moved() {
    let broker = TestBroker::builder().system_clock().start().await.unwrap();
    let refused = broker.try_advance(DAY).await.unwrap_err();
    assert!(matches!(refused, TestError::SystemClock));
    assert!(refused.to_string().contains("without `system_clock()`"));
    assert!(broker.now_ms() > START_MS, "the machine's clock is set");
}

#[tokio::test]
async fn a_clock_that_runs_lets_nobody_wait_for_ever() {
    let broker = TestBroker::start().await.unwrap();
    // The linger of the producer, and the wait of the poll, are over by themselves.
    let producer = broker.client().producer(ProducerConfig::default()).unwrap();
    let sent = producer
        .send(Record::to("orders").value("v"))
        .await
        .unwrap();
    assert_eq!(sent.await.unwrap().offset, 0);
    assert_eq!(values(&broker, "orders").await, ["v"]);
}
