//! The work through librdkafka: its producer and consumer without futures on top, which are its
//! fastest.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::Failure;
use crate::load::Load;
use crate::load::Peer;
use crate::load::Ready;

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

    /// With what Highwater's producer does by default, and room for as many bytes; it has stored a
    /// record in each partition.
    fn producer(&self, topic: &str, load: &Load, value: &[u8]) -> Result<BaseProducer, Failure> {
        let producer: BaseProducer = self
            .config()
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("batch.size", load.batch_size.to_string())
            .set("linger.ms", load.linger_ms.to_string())
            .set("queue.buffering.max.kbytes", "32768")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        for partition in 0..load.partitions {
            send(&producer, (topic, partition), value)?;
        }
        flush(&producer)?;
        Ok(producer)
    }
}

/// Sends one record, waiting for room.
fn send(
    producer: &BaseProducer,
    (topic, partition): (&str, i32),
    value: &[u8],
) -> Result<(), Failure> {
    let record = BaseRecord::<(), [u8]>::to(topic).partition(partition);
    let mut record = record.payload(value);
    while let Err((error, refused)) = producer.send(record) {
        if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        producer.poll(Duration::from_millis(1));
        record = refused;
    }
    Ok(())
}

impl Peer for Theirs {
    fn name(&self) -> &'static str {
        "librdkafka"
    }

    fn produce<'a>(&'a self, topic: &'a str, load: &'a Load) -> Result<Ready<'a>, Failure> {
        let value = vec![7_u8; load.record_bytes];
        let producer = self.producer(topic, load, &value)?;
        Ok(Ready::new(move || {
            for number in 0..load.records {
                send(&producer, (topic, load.partition(number)), &value)?;
            }
            flush(&producer)
        }))
    }

    fn await_each<'a>(
        &'a self,
        topic: &'a str,
        load: &'a Load,
        callers: usize,
    ) -> Result<Ready<'a>, Failure> {
        let value = vec![7_u8; load.record_bytes];
        let producer = self.producer(topic, load, &value)?;
        let callers = i32::try_from(callers)?;
        Ok(Ready::new(move || {
            for number in 0..load.records {
                // Each answer lets one caller go on.
                while producer.in_flight_count() >= callers {
                    producer.poll(Duration::from_millis(1));
                }
                send(&producer, (topic, load.partition(number)), &value)?;
            }
            flush(&producer)
        }))
    }

    fn consume<'a>(&'a self, topic: &'a str, load: &'a Load) -> Result<Ready<'a>, Failure> {
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
        for partition in 0..load.partitions {
            partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&partitions)?;
        take(&consumer, load)?;
        Ok(Ready::new(move || {
            (1..load.records).try_for_each(|_| take(&consumer, load))
        }))
    }
}

/// Waits until all is answered. Left alone, `flush` looks for answers ten times a second only.
fn flush(producer: &BaseProducer) -> Result<(), Failure> {
    // A step takes that long at least: nobody waits for ever.
    let step = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        producer.poll(Duration::ZERO);
        match producer.flush(step) {
            Ok(()) => return Ok(()),
            Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("what was sent is not answered in time".into())
}

/// Takes a record and checks it.
fn take(consumer: &BaseConsumer, load: &Load) -> Result<(), Failure> {
    let message = consumer.poll(PATIENCE).ok_or("no record came in time")??;
    match message.payload() {
        Some(value) if value.len() == load.record_bytes => Ok(()),
        _ => Err("a record is wrong".into()),
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
