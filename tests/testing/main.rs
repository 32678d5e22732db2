//! `highwater::testing`: the clock, the faults, the power cut and the story, as a user's test has
//! them.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[cfg(feature = "sqlite-bundled")]
mod crash;
mod expect;
mod faults;
mod many;
mod power;
mod time;

use highwater::testing::TestBroker;
use highwater::{Client, ProducerConfig, Record};

/// Stores a record and answers its offset.
async fn store(client: &Client, record: Record) -> i64 {
    let config = ProducerConfig {
        linger_ms: 0,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).unwrap();
    let sent = producer.send(record).await.unwrap();
    sent.await.unwrap().offset
}

/// The values that a topic holds.
async fn values(broker: &TestBroker, topic: &str) -> Vec<String> {
    let records = broker.records(topic).await.unwrap().into_iter();
    let values = records.map(|record| record.value.unwrap_or_default().to_vec());
    values
        .map(|value| String::from_utf8(value).unwrap())
        .collect()
}
