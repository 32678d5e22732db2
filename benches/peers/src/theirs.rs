//! The workload through librdkafka: its producer and consumer without futures on top, which are
//! its fastest.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::Failure;
use crate::Peer;
use crate::RECORD_BYTES;
use crate::Settings;

/// librdkafka.
pub(crate) struct Theirs {
    address: String,
}

impl Theirs {
    /// For a broker at this address.
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }
}

impl Peer for Theirs {
    fn produce(&self, topic: &str, settings: &Settings, count: usize) -> Result<(), Failure> {
        // What Highwater's producer does by default, and room for as many bytes.
        let producer: BaseProducer = self
            .config()
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("batch.size", settings.batch_size.to_string())
            .set("linger.ms", settings.linger_ms.to_string())
            .set("queue.buffering.max.kbytes", "32768")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        let value = vec![7_u8; RECORD_BYTES];
        for _ in 0..count {
            let mut record = BaseRecord::<(), [u8]>::to(topic).payload(&value);
            while let Err((error, refused)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                producer.poll(Duration::from_millis(1));
                record = refused;
            }
        }
        Ok(producer.flush(PATIENCE)?)
    }

    fn consume(&self, topic: &str, count: usize) -> Result<(), Failure> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", "peers")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "true")
            // By default it rests for a second whenever 100,000 records wait for their reader.
            .set("queued.min.messages", "1000000")
            .set("fetch.queue.backoff.ms", "1")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&partitions)?;
        for number in 0..count {
            let message = consumer.poll(PATIENCE).ok_or("no record came in time")??;
            if message.payload().is_none_or(|it| it.len() != RECORD_BYTES) {
                return Err(format!("record {number} is wrong").into());
            }
        }
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
