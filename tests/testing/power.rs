//! Power cuts and restarts.

use std::time::Duration;

use highwater::testing::{ApiKey, ErrorCode, Fault, TestBroker, TestError};
use highwater::{NewTopic, Record};

use crate::store;
use crate::values;

async fn with_topics() -> TestBroker {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    for (name, durability) in [("kept", "fsync"), ("lost", "page-cache")] {
        let topic = NewTopic::named(name).config("durability", durability);
        broker.client().admin().create_topic(&topic).await.unwrap();
    }
    broker
}

#[tokio::test]
async fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let broker = with_topics().await;
    let client = broker.client();
    for value in ["a", "b"] {
        store(&client, Record::to("kept").value(value)).await;
        store(&client, Record::to("lost").value(value)).await;
    }
    let lost_id = broker.broker().unwrap().service().topic_id("lost");
    broker.power_cut().await.unwrap();
    assert_eq!(values(&broker, "kept").await, ["a", "b"]);
    assert_eq!(values(&broker, "lost").await, [""; 0]);
    let service = broker.broker().unwrap().service().clone();
    assert_eq!(service.topic_id("lost"), lost_id, "the topic was synced");

    // Synced after `flush.ms`, it is kept.
    store(&client, Record::to("lost").value("c")).await;
    broker.advance(Duration::from_secs(1)).await;
    store(&client, Record::to("lost").value("d")).await;
    broker.power_cut().await.unwrap();
    assert_eq!(values(&broker, "lost").await, ["c"]);
}

#[tokio::test]
async fn a_restart_takes_nothing_and_keeps_port_clock_and_faults() {
    let broker = with_topics().await;
    let address = broker.bootstrap().to_owned();
    broker.advance(Duration::from_secs(60)).await;
    let at = broker.now();
    let fault = broker
        .faults()
        .add(Fault::fail(ErrorCode::NotLeaderOrFollower).on(ApiKey::Fetch));
    store(&broker.client(), Record::to("lost").value("a")).await;
    broker.restart().await.unwrap();
    assert_eq!(broker.bootstrap(), address);
    assert_eq!(broker.broker().unwrap().bootstrap_servers(), address);
    assert_eq!(broker.now(), at);
    assert_eq!(broker.faults().all().len(), 1);
    fault.remove();
    assert_eq!(values(&broker, "lost").await, ["a"]);
}

#[tokio::test]
async fn clients_find_the_broker_again_after_a_power_cut() {
    let broker = TestBroker::start().await.unwrap();
    for client in [broker.client(), broker.client_over_tcp()] {
        let before = values(&broker, "orders").await.len();
        let producer = client
            .producer(highwater::ProducerConfig::default())
            .unwrap();
        let record = || Record::to("orders").value("v");
        producer.send(record()).await.unwrap().await.unwrap();
        broker.power_cut().await.unwrap();
        producer.send(record()).await.unwrap().await.unwrap();
        assert_eq!(values(&broker, "orders").await.len(), before + 2);
    }
}

#[tokio::test]
async fn a_real_disk_keeps_its_power_and_survives_a_restart() {
    let broker = TestBroker::builder().on_disk().start().await.unwrap();
    store(&broker.client(), Record::to("orders").value("v")).await;
    let refused = broker.power_cut().await.unwrap_err();
    assert!(matches!(refused, TestError::RealDisk));
    assert!(refused.to_string().contains("use `restart()`"), "{refused}");
    broker.restart().await.unwrap();
    assert_eq!(values(&broker, "orders").await, ["v"]);
}

#[tokio::test]
async fn a_reset_forgets_everything_but_the_port() {
    let broker = TestBroker::start().await.unwrap();
    let address = broker.bootstrap().to_owned();
    broker.faults().add(Fault::drop_connection());
    broker.reset().await.unwrap();
    assert!(broker.faults().all().is_empty());
    let client = broker.client();
    assert!(client.admin().list_topics().await.unwrap().is_empty());
    assert_eq!(broker.broker().unwrap().bootstrap_servers(), address);
}

#[tokio::test]
async fn a_broker_that_was_shut_down_says_so() {
    let broker = TestBroker::start().await.unwrap();
    let client = broker.client();
    broker.shutdown().await.unwrap();
    broker.shutdown().await.unwrap();
    assert!(matches!(broker.broker(), Err(TestError::Down)));
    let refused = client.admin().list_topics().await.unwrap_err();
    assert!(refused.to_string().contains("down"), "{refused}");
    let story = broker
        .expect_event("orders")
        .try_within(Duration::ZERO)
        .await;
    assert!(
        story
            .unwrap_err()
            .to_string()
            .contains("The broker is down.")
    );
}
