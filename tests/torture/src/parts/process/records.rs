//! Numbered records: sent until the broker goes away, and looked for afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater_client::{
    Client, ConsumerConfig, NewTopic, OffsetSpec, Producer, ProducerConfig, Record, StartAt,
};

use super::failed;
use crate::part::Finding;

/// Creates a topic with one partition.
pub(super) async fn create(
    client: &Client,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> Result<(), Finding> {
    let configs = configs.iter();
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        configs: configs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Default::default()
    };
    let created = client.admin().create_topic(&topic).await;
    created.map_err(failed("a topic cannot be created"))
}

/// What was acknowledged: offset and value.
pub(super) type Acked = BTreeMap<i64, String>;

/// Sends numbered records to the one partition of a topic until `is_over`, or until the broker
/// takes no more; what it acknowledged.
pub(super) async fn send_until(producer: &Producer, topic: &str, is_over: &AtomicBool) -> Acked {
    let mut acked = Acked::new();
    let mut number = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        let mut sent = Vec::new();
        for _ in 0..ROUND {
            let value = format!("{topic} {number}");
            number += 1;
            match producer
                .send(Record::to(topic).partition(0).value(value.clone()))
                .await
            {
                Ok(delivery) => sent.push((value, delivery)),
                Err(_) => return acked,
            }
        }
        for (value, delivery) in sent {
            match delivery.await {
                Ok(metadata) => {
                    acked.insert(metadata.offset, value);
                }
                // The broker is gone.
                Err(_) => return acked,
            }
        }
    }
    acked
}

const ROUND: usize = 50;

/// A producer that gives up soon after the broker is gone.
pub(super) fn producer(client: &Client, config: ProducerConfig) -> Result<Producer, Finding> {
    let config = ProducerConfig {
        delivery_timeout_ms: 1_500,
        request_timeout_ms: 1_000,
        ..config
    };
    client.producer(config).map_err(failed("no producer"))
}

/// Each acknowledged record stands where it was said to stand.
///
/// # Errors
/// The first that does not.
pub(super) async fn expect(client: &Client, topic: &str, acked: &Acked) -> Result<(), Finding> {
    let end = client.admin().offset(topic, 0, OffsetSpec::Latest).await;
    let end = end.map_err(failed("no end"))?.unwrap_or(0);
    let mut consumer = client.consumer(ConsumerConfig::default());
    let assigned = consumer.assign(topic, 0, StartAt::Earliest).await;
    assigned.map_err(failed("no assignment"))?;
    let mut found = BTreeMap::new();
    while consumer.position(topic, 0).unwrap_or(0) < end {
        let records = consumer.poll(Duration::from_secs(5)).await;
        for record in records.map_err(failed("what is stored cannot be read"))? {
            let value = record.value.unwrap_or_default();
            found.insert(record.offset, String::from_utf8_lossy(&value).into_owned());
        }
    }
    let lost = acked
        .iter()
        .find(|(offset, value)| found.get(offset) != Some(value));
    match lost {
        None => Ok(()),
        Some((offset, value)) => Err(Finding::new(format!(
            "`{value}` was acknowledged at offset {offset} of {topic}; there stands {:?}, and the \
             log ends at {end}",
            found.get(offset)
        ))),
    }
}
