//! Records: what was sent is read, byte for byte and in order, and from where one wants.

use std::collections::HashMap;

use highwater::client::producer::partition_of;
use highwater::{Codec, Consumer, ConsumerConfig, ConsumerRecord, ProducerConfig, Record, StartAt};

use crate::PATIENCE;
use crate::Stage;
use crate::text;

/// With each codec: keys, tombstones, empty values and headers, by way of an idempotent producer.
pub(crate) async fn produce_and_read(stage: Stage) {
    let topic = stage.topic("t", PARTITIONS).await;
    let mut sent = HashMap::new();
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        let config = ProducerConfig::new().compression_type(codec).linger_ms(2);
        assert!(config.is_idempotent(), "without being asked for");
        let producer = stage.client.producer(config).unwrap();
        let mut deliveries = Vec::new();
        for number in 0..PER_CODEC {
            let record = sample(&topic, number);
            deliveries.push((record.clone(), producer.send(record).await.unwrap()));
        }
        for (record, delivery) in deliveries {
            let stored = delivery.await.unwrap();
            let key = record.key.as_ref().unwrap();
            assert_eq!(
                stored.partition,
                partition_of(key, PARTITIONS),
                "as Java has it"
            );
            assert!(stored.timestamp > 0);
            let place = (stored.partition, stored.offset);
            let is_new = sent.insert(place, (record, stored.timestamp)).is_none();
            assert!(is_new, "two records at {place:?}");
        }
        let report = producer.close(PATIENCE).await;
        assert_eq!(
            (report.stored, report.failed, report.abandoned),
            (PER_CODEC, 0, 0)
        );
    }

    let mut consumer = stage.client.consumer(ConsumerConfig::default());
    let partitions = consumer
        .assign_topic(&topic, StartAt::Earliest)
        .await
        .unwrap();
    assert_eq!(partitions, PARTITIONS);
    let read = take(&mut consumer, sent.len()).await;
    let mut next = HashMap::<i32, i64>::new();
    for record in &read {
        let offset = next.entry(record.partition).or_default();
        assert_eq!(record.offset, *offset, "without a hole, in order");
        *offset += 1;
        let (was, timestamp) = &sent[&(record.partition, record.offset)];
        assert_eq!(*record.topic, *was.topic);
        assert_eq!(record.timestamp, *timestamp);
        assert_eq!((&record.key, &record.value), (&was.key, &was.value));
        assert_eq!(record.headers, was.headers);
    }
    assert_eq!(read.len(), sent.len());
    assert!(
        consumer.poll(SHORT).await.unwrap().is_empty(),
        "and nothing more"
    );
}

/// Places: offsets, times, both ends; and a partition that is paused.
pub(crate) async fn seek(stage: Stage) {
    let topic = stage.topic("t", 1).await;
    let base = fill_by_time(&stage, &topic).await;
    let mut consumer = stage
        .client
        .consumer(ConsumerConfig::new().max_poll_records(1));
    consumer
        .assign(&topic, 0, StartAt::Offset(42))
        .await
        .unwrap();
    assert_eq!(text(&one(&mut consumer).await), "42");
    assert_eq!(consumer.position(&topic, 0), Some(43));
    assert_eq!(consumer.lag(&topic, 0), Some(57));
    for (place, first) in [
        (StartAt::Earliest, "0"),
        (StartAt::Timestamp(base + 505), "51"),
        (StartAt::Timestamp(base + 510), "51"),
        (StartAt::Offset(99), "99"),
    ] {
        consumer.seek(&topic, 0, place).await.unwrap();
        assert_eq!(text(&one(&mut consumer).await), first, "{place:?}");
    }

    assert_eq!(consumer.beginning_offsets(&topic).await.unwrap(), [0]);
    assert_eq!(consumer.end_offsets(&topic).await.unwrap(), [100]);
    let times = [
        (topic.as_str(), 0, base + 505),
        (topic.as_str(), 0, base + 100_000),
    ];
    let found = consumer.offsets_for_times(&times).await.unwrap();
    let offsets: Vec<_> = found.iter().map(|it| (it.offset, it.timestamp)).collect();
    assert_eq!(offsets, [(Some(51), Some(base + 510)), (None, None)]);

    consumer.seek(&topic, 0, StartAt::Latest).await.unwrap();
    assert!(consumer.poll(SHORT).await.unwrap().is_empty());
    consumer.pause(&topic, 0).unwrap();
    let producer = stage.client.producer(ProducerConfig::default()).unwrap();
    producer
        .send(Record::to(&topic).value("new"))
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(
        consumer.poll(SHORT).await.unwrap().is_empty(),
        "it is paused"
    );
    consumer.resume(&topic, 0).unwrap();
    assert_eq!(text(&one(&mut consumer).await), "new");
}

/// A hundred records, ten milliseconds apart; gives the time of the first one.
async fn fill_by_time(stage: &Stage, topic: &str) -> i64 {
    let producer = stage.client.producer(ProducerConfig::default()).unwrap();
    let first = producer.send(Record::to(topic).value("0")).await.unwrap();
    let base = first.await.unwrap().timestamp;
    for number in 1..100 {
        let record = Record::to(topic).value(number.to_string());
        let record = record.timestamp(base + i64::from(number) * 10);
        producer.send(record).await.unwrap();
    }
    assert_eq!(producer.close(PATIENCE).await.stored, 100);
    base
}

/// So many records, or a failure if they do not come.
pub(crate) async fn take(consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let got = consumer.poll(PATIENCE).await.unwrap();
        assert!(
            !got.is_empty(),
            "only {} of {count} records came",
            records.len()
        );
        records.extend(got);
    }
    records
}

/// The next record of a consumer that takes one at a time.
async fn one(consumer: &mut Consumer) -> ConsumerRecord {
    take(consumer, 1).await.remove(0)
}

fn sample(topic: &str, number: u64) -> Record {
    let record = Record::to(topic).key(format!("key-{}", number % 17));
    let record = match number % 5 {
        0 => record,
        1 => record.value(""),
        _ => record.value(format!("value {number} ").repeat(20)),
    };
    match number % 3 {
        0 => record,
        _ => record
            .header("n", number.to_string())
            .header("n", "the same name again")
            .header("bytes", vec![0, 255, 128]),
    }
}

const PARTITIONS: i32 = 3;

const PER_CODEC: u64 = 60;

/// So long nothing is waited for.
pub(crate) const SHORT: std::time::Duration = std::time::Duration::from_millis(150);
