//! Every kind of fault, over TCP and in process.

use std::sync::Arc;
use std::time::Duration;

use highwater::client::{Dial, Tcp};
use highwater::testing::{ApiKey, ErrorCode, Fault, TestBroker};
use highwater::{ClientError, ConsumerConfig, Record, StartAt};
use highwater_proto::exchange::{Exchange, ExchangeError, call};
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::kafka::messages::produce::{
    ProducePartition, ProduceRequest, ProduceResponse, ProduceTopic,
};
use highwater_proto::{batch_builder::BatchBuilder, compress::Codec};

use crate::store;
use crate::values;

/// A session with a broker, without a client that would try again.
struct Raw(Arc<dyn Exchange>);

impl Raw {
    async fn over_tcp(broker: &TestBroker) -> Self {
        Self(Tcp::new("raw").dial(broker.bootstrap()).await.unwrap())
    }

    fn in_process(broker: &TestBroker) -> Self {
        Self(broker.broker().unwrap().exchange())
    }

    fn produce(
        &self,
        topic: &str,
        value: &str,
    ) -> impl Future<Output = Result<ProduceResponse, ExchangeError>> + Send + use<> {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.append(0, None, Some(value.as_bytes()), &[]).unwrap();
        let partition = ProducePartition {
            index: 0,
            records: Some(batch.build().unwrap()),
        };
        let topic = ProduceTopic {
            name: topic.to_owned().into(),
            partitions: vec![partition],
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 1_000,
            topics: vec![topic],
            ..ProduceRequest::default()
        };
        call(&*self.0, 9, request)
    }
}

/// A frozen broker with two topics, and both ways to it.
async fn rig() -> (TestBroker, [Raw; 2]) {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    for topic in ["orders", "payments"] {
        store(&broker.client(), Record::to(topic).value("first")).await;
    }
    let ways = [Raw::over_tcp(&broker).await, Raw::in_process(&broker)];
    (broker, ways)
}

fn code(answer: Result<ProduceResponse, ExchangeError>) -> i16 {
    answer.unwrap().topics[0].partitions[0].error_code
}

#[tokio::test]
async fn a_failed_request_has_no_effect_and_names_the_code_for_everything() {
    let (broker, ways) = rig().await;
    let failing = Fault::fail(ErrorCode::NotLeaderOrFollower).on(ApiKey::Produce);
    for raw in ways {
        let fault = broker.faults().add(failing.clone().times(2));
        assert_eq!(code(raw.produce("orders", "no").await), 6);
        assert_eq!(code(raw.produce("payments", "no").await), 6);
        let stored = raw.produce("payments", "yes").await.unwrap();
        assert_eq!(stored.topics[0].partitions[0].error_code, 0);
        assert_eq!(fault.hits(), 2);
    }
    assert_eq!(values(&broker, "orders").await, ["first"]);
    assert_eq!(values(&broker, "payments").await, ["first", "yes", "yes"]);
}

#[tokio::test]
async fn a_fault_is_for_one_topic_or_group_alone_and_lets_some_pass() {
    let (broker, ways) = rig().await;
    let failing = || Fault::fail(ErrorCode::UnknownServerError);
    for raw in ways {
        let of_topic = broker
            .faults()
            .add(failing().topic("orders").skip(1).times(1));
        assert_eq!(code(raw.produce("payments", "a").await), 0);
        assert_eq!(
            code(raw.produce("orders", "a").await),
            0,
            "the first one passes"
        );
        assert_eq!(code(raw.produce("payments", "b").await), 0);
        assert_eq!(code(raw.produce("orders", "b").await), -1);
        assert_eq!(code(raw.produce("orders", "c").await), 0, "it is over");
        assert_eq!(of_topic.hits(), 1);

        let of_group = broker.faults().add(failing().group("billing"));
        let beat = |group: &'static str| {
            let request = HeartbeatRequest {
                group_id: group.into(),
                ..HeartbeatRequest::default()
            };
            call(&*raw.0, 3, request)
        };
        assert_eq!(beat("billing").await.unwrap().error_code, -1);
        let unknown_member = ErrorCode::UnknownMemberId.code();
        assert_eq!(beat("shipping").await.unwrap().error_code, unknown_member);
        of_group.remove();
        assert_eq!(beat("billing").await.unwrap().error_code, unknown_member);
        assert_eq!(of_group.hits(), 1);
    }
}

#[tokio::test]
async fn a_failed_metadata_request_still_says_where_the_broker_is() {
    let (broker, ways) = rig().await;
    let failing = Fault::fail(ErrorCode::LeaderNotAvailable).on(ApiKey::Metadata);
    broker.faults().add(failing);
    for raw in ways {
        let request = MetadataRequest {
            topics: Some(["orders", "missing"].map(named).to_vec()),
            ..MetadataRequest::default()
        };
        let answer = call(&*raw.0, 12, request).await.unwrap();
        assert_eq!(answer.brokers.len(), 1);
        let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [5, 5]);
    }
    assert_eq!(broker.broker().unwrap().service().topic_id("missing"), None);
}

fn named(name: &'static str) -> MetadataTopic {
    MetadataTopic {
        name: Some(name.into()),
        ..MetadataTopic::default()
    }
}

#[tokio::test]
async fn a_failed_answer_comes_after_the_effect_if_asked_for() {
    let (broker, ways) = rig().await;
    let failing = Fault::fail(ErrorCode::RequestTimedOut).on(ApiKey::Produce);
    broker.faults().add(failing.after_effect());
    for raw in ways {
        assert_eq!(code(raw.produce("orders", "stored").await), 7);
    }
    assert_eq!(
        values(&broker, "orders").await,
        ["first", "stored", "stored"]
    );
}

#[tokio::test]
async fn a_delay_is_one_by_the_brokers_clock() {
    let (broker, ways) = rig().await;
    for (count, raw) in ways.iter().enumerate() {
        let slow = Fault::delay(Duration::from_secs(10)).on(ApiKey::Produce);
        let fault = broker.faults().add(slow.clone().times(1));
        let late = tokio::spawn(raw.produce("orders", "late"));
        fault.until_hits(1).await;
        broker.advance(Duration::from_secs(9)).await;
        assert!(!late.is_finished());
        assert_eq!(
            values(&broker, "orders").await.len(),
            1 + 2 * count,
            "no effect yet"
        );
        broker.advance(Duration::from_secs(1)).await;
        assert_eq!(code(late.await.unwrap()), 0);

        broker.faults().add(slow.after_effect().times(1));
        let late = tokio::spawn(raw.produce("orders", "late"));
        broker.advance(Duration::from_secs(9)).await;
        assert!(!late.is_finished());
        assert_eq!(
            values(&broker, "orders").await.len(),
            3 + 2 * count,
            "it is stored"
        );
        broker.advance(Duration::from_secs(1)).await;
        assert_eq!(code(late.await.unwrap()), 0);
    }
}

#[tokio::test]
async fn the_end_of_the_broker_waits_for_no_delay() {
    let (broker, [tcp, _]) = rig().await;
    let fault = broker
        .faults()
        .add(Fault::delay(Duration::from_secs(1)).on(ApiKey::Produce));
    let late = tokio::spawn(tcp.produce("orders", "late"));
    fault.until_hits(1).await;
    broker.restart().await.unwrap();
    assert_eq!(code(late.await.unwrap()), 0);
    assert_eq!(values(&broker, "orders").await, ["first", "late"]);
}

#[tokio::test]
async fn a_dropped_connection_tells_nothing_of_the_effect() {
    let (broker, ways) = rig().await;
    let dropping = Fault::drop_connection().on(ApiKey::Produce).times(1);
    for (raw, open) in ways.into_iter().zip([true, false]) {
        broker.faults().add(dropping.clone());
        let unknown = raw.produce("orders", "lost").await.unwrap_err();
        assert!(
            matches!(unknown, ExchangeError::Unknown { .. }),
            "{unknown}"
        );
        let dead = raw.produce("orders", "lost").await.unwrap_err();
        assert!(dead.is_not_sent(), "{dead}");

        broker.faults().add(dropping.clone().after_effect());
        let again = if open {
            Raw::over_tcp(&broker).await
        } else {
            Raw::in_process(&broker)
        };
        let unknown = again.produce("orders", "stored").await.unwrap_err();
        assert!(
            matches!(unknown, ExchangeError::Unknown { .. }),
            "{unknown}"
        );
    }
    assert_eq!(
        values(&broker, "orders").await,
        ["first", "stored", "stored"]
    );
}

#[tokio::test]
async fn a_corrupt_answer_is_noticed_and_its_request_had_its_effect() {
    let (broker, ways) = rig().await;
    let fault = broker
        .faults()
        .add(Fault::corrupt_reply().on(ApiKey::Produce));
    for raw in ways {
        let unknown = raw.produce("orders", "stored").await.unwrap_err();
        assert!(
            matches!(unknown, ExchangeError::Unknown { .. }),
            "{unknown}"
        );
    }
    assert_eq!(fault.hits(), 2);
    assert_eq!(
        values(&broker, "orders").await,
        ["first", "stored", "stored"]
    );
}

#[tokio::test]
async fn corrupt_records_do_not_pass_a_consumer() {
    let broker = TestBroker::start().await.unwrap();
    store(&broker.client(), Record::to("orders").value("v")).await;
    for client in [broker.client(), broker.client_over_tcp()] {
        let fault = Fault::corrupt_reply().on(ApiKey::Fetch).topic("orders");
        let fault = broker.faults().add(fault.times(1));
        let mut consumer = client.consumer(ConsumerConfig::default());
        let assigned = consumer.assign_topic("orders", StartAt::Latest).await;
        assigned.unwrap();
        // Without records there is nothing to damage.
        assert!(
            consumer
                .poll(Duration::from_millis(1))
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(fault.hits(), 0);
        let assigned = consumer.assign_topic("orders", StartAt::Earliest).await;
        assigned.unwrap();
        let damaged = consumer.poll(Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(damaged, ClientError::Corrupt { .. }), "{damaged}");
        assert_eq!(fault.hits(), 1);
        // The partition has stopped; whoever reads it again gets what is stored.
        let assigned = consumer.assign_topic("orders", StartAt::Earliest).await;
        assigned.unwrap();
        let read = consumer.poll(Duration::from_secs(60)).await.unwrap();
        assert_eq!(read[0].value.as_deref(), Some(&b"v"[..]));
    }
}

#[tokio::test]
async fn a_fetch_fails_for_every_partition_of_its_session() {
    let broker = TestBroker::start().await.unwrap();
    store(&broker.client(), Record::to("orders").value("v")).await;
    let raw = Raw::in_process(&broker);
    let id = broker
        .broker()
        .unwrap()
        .service()
        .topic_id("orders")
        .unwrap();
    use highwater_proto::kafka::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
    let begin = FetchRequest {
        session_epoch: 0,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic_id: highwater_proto::cursor::Uuid(id.0),
            partitions: vec![FetchPartition {
                max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let begun = call(&*raw.0, 15, begin).await.unwrap();
    assert_ne!(begun.session_id, 0);
    let fault = Fault::fail(ErrorCode::NotLeaderOrFollower).on(ApiKey::Fetch);
    let fault = broker.faults().add(fault.topic("orders"));
    let go_on = FetchRequest {
        session_id: begun.session_id,
        session_epoch: 1,
        ..FetchRequest::default()
    };
    let failed = call(&*raw.0, 15, go_on).await.unwrap();
    assert_eq!(failed.topics[0].topic_id.0, id.0);
    assert_eq!(failed.topics[0].partitions[0].error_code, 6);
    assert_eq!(fault.hits(), 1);
}
