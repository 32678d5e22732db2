//! Many test brokers side by side.

use std::collections::BTreeSet;

use highwater::Record;
use highwater::testing::TestBroker;

use crate::store;
use crate::values;

#[tokio::test]
async fn two_hundred_brokers_stand_side_by_side_in_one_process() {
    let mut brokers = Vec::new();
    for _ in 0..200 {
        brokers.push(TestBroker::start().await.unwrap());
    }
    let addresses: BTreeSet<String> = brokers
        .iter()
        .map(|broker| broker.bootstrap().to_owned())
        .collect();
    assert_eq!(addresses.len(), 200, "each has a port of its own");
    for (number, broker) in brokers.iter().enumerate() {
        let record = Record::to("numbers").value(number.to_string());
        assert_eq!(store(&broker.client_over_tcp(), record).await, 0);
    }
    for (number, broker) in brokers.iter().enumerate().step_by(37) {
        assert_eq!(values(broker, "numbers").await, [number.to_string()]);
    }
}

#[tokio::test]
async fn ids_follow_from_the_seed() {
    let topic_of = |seed| async move {
        let broker = TestBroker::builder().seed(seed).start().await.unwrap();
        store(&broker.client(), Record::to("orders").value("v")).await;
        broker.broker().unwrap().service().topic_id("orders")
    };
    assert_eq!(topic_of(1).await, topic_of(1).await);
    assert_ne!(topic_of(1).await, topic_of(2).await);
}
