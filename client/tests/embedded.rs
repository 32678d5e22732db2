//! Producer, consumer and administration against a real broker in this process: handed over
//! typed, and over TCP.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_client::{
    Acks, Client, ClientError, Codec, ConfigChange, Consumer, ConsumerConfig, ConsumerRecord,
    ErrorCode, NewTopic, OffsetReset, ProducerConfig, Record, StartAt,
};

/// A broker and both ways to it.
struct Setup {
    broker: Arc<Broker>,
    runtime: tokio::runtime::Runtime,
}

impl Setup {
    fn new() -> Self {
        let broker = Arc::new(Broker::in_memory().unwrap());
        broker.listen_kafka("127.0.0.1:0").unwrap();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        Self {
            broker,
            runtime: runtime.worker_threads(2).enable_all().build().unwrap(),
        }
    }

    /// Runs a test on both ways, each with a broker of its own.
    fn both<F: Future<Output = ()>>(test: impl Fn(Client) -> F) {
        let it = Self::new();
        let broker = Arc::clone(&it.broker);
        it.runtime
            .block_on(test(Client::in_process(move || broker.exchange())));
        let it = Self::new();
        let servers = it.broker.bootstrap_servers();
        it.runtime
            .block_on(async { test(Client::connect(&servers).await.unwrap()).await });
    }
}

async fn topic(client: &Client, name: &str, partitions: i32) {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        ..Default::default()
    };
    client.admin().create_topic(&topic).await.unwrap();
}

/// Produces values `0, 1, ..` into partition 0.
async fn fill(client: &Client, topic: &str, count: i64) {
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for number in 0..count {
        let record = Record::to(topic)
            .partition(0)
            .value(number.to_string())
            .timestamp(number);
        producer.send(record).await.unwrap();
    }
    producer.flush().await;
}

/// Polls until so many records came; a minute without one is a failure.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let more = consumer.poll(Duration::from_secs(60)).await.unwrap();
        assert!(
            !more.is_empty(),
            "only {} of {count} records came",
            records.len()
        );
        records.extend(more);
    }
    records
}

fn offsets(records: &[ConsumerRecord]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

#[test]
fn records_come_back_as_they_were_sent_with_every_codec() {
    Setup::both(|client| async move {
        topic(&client, "t", 1).await;
        for (batch, codec) in (0..).zip(Codec::ALL) {
            let config = ProducerConfig {
                compression_type: codec,
                ..ProducerConfig::default()
            };
            let producer = client.producer(config).unwrap();
            let full = Record::to("t")
                .partition(0)
                .key("k")
                .value("v".repeat(2_000))
                .timestamp(77)
                .header("a", "1")
                .header("a", Bytes::new());
            let bare = Record::to("t").partition(0);
            let first = producer.send(full.clone()).await.unwrap();
            let second = producer.send(bare).await.unwrap();
            assert_eq!(first.await.unwrap().offset, 2 * batch);
            assert_eq!(second.await.unwrap().offset, 2 * batch + 1);

            let mut consumer = client.consumer(ConsumerConfig::default());
            consumer
                .assign("t", 0, StartAt::Offset(2 * batch))
                .await
                .unwrap();
            let records = read(&mut consumer, 2).await;
            let [one, two] = &records[..] else {
                panic!("{codec}: {} records", records.len())
            };
            assert_eq!(
                (&*one.topic, one.partition, one.offset),
                ("t", 0, 2 * batch)
            );
            assert_eq!((&one.key, &one.value), (&full.key, &full.value));
            assert_eq!((one.timestamp, &one.headers), (77, &full.headers));
            assert_eq!((&two.key, &two.value, two.headers.len()), (&None, &None, 0));
            assert!(
                two.timestamp > 1_700_000_000_000,
                "the time of `send` is used"
            );
        }
    });
}

#[test]
fn a_consumer_starts_where_it_is_told() {
    Setup::both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 100).await;
        let mut consumer = client.consumer(ConsumerConfig::default());
        for (from, first) in [
            (StartAt::Earliest, 0),
            (StartAt::Offset(42), 42),
            (StartAt::Timestamp(60), 60),
            (StartAt::Timestamp(1_000), 100),
            (StartAt::Latest, 100),
        ] {
            consumer.assign("t", 0, from).await.unwrap();
            assert_eq!(consumer.position("t", 0), Some(first), "{from:?}");
            if first < 100 {
                let records = read(&mut consumer, 1).await;
                assert_eq!(records[0].offset, first, "{from:?}");
                let next = records.last().map(|record| record.offset + 1);
                assert_eq!(consumer.position("t", 0), next);
            }
        }
        // Stored after `Latest` was looked up, before the first poll.
        fill(&client, "t", 1).await;
        assert_eq!(offsets(&read(&mut consumer, 1).await), [100]);
        assert_eq!(consumer.end_offsets("t").await.unwrap(), [101]);
        consumer.seek("t", 0, StartAt::Offset(99)).await.unwrap();
        assert_eq!(offsets(&read(&mut consumer, 2).await), [99, 100]);
        assert!(
            consumer
                .poll(Duration::from_millis(1))
                .await
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn polls_are_small_and_every_partition_has_its_turn() {
    Setup::both(|client| async move {
        topic(&client, "t", 3).await;
        let small = ProducerConfig {
            batch_size: 1_024,
            ..ProducerConfig::default()
        };
        let producer = client.producer(small).unwrap();
        for number in 0..3_000 {
            let record = Record::to("t")
                .partition(number % 3)
                .value(number.to_string());
            producer.send(record).await.unwrap();
        }
        producer.flush().await;
        let config = ConsumerConfig {
            max_poll_records: 30,
            max_partition_fetch_bytes: 4_096,
            ..ConsumerConfig::default()
        };
        let mut consumer = client.consumer(config);
        assert_eq!(
            consumer.assign_topic("t", StartAt::Earliest).await.unwrap(),
            3
        );
        let mut numbers: HashMap<i32, Vec<i32>> = HashMap::new();
        let mut count = 0;
        while count < 3_000 {
            let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
            assert!((1..=30).contains(&records.len()));
            count += records.len();
            for record in records {
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                numbers
                    .entry(record.partition)
                    .or_default()
                    .push(value.parse().unwrap());
            }
            let lens: Vec<usize> = numbers.values().map(Vec::len).collect();
            let ahead = lens.iter().max().unwrap() - lens.iter().min().unwrap();
            assert!(numbers.len() < 3 || ahead <= 400, "{lens:?}");
        }
        for (partition, numbers) in numbers {
            assert!(
                numbers
                    .iter()
                    .copied()
                    .eq((0..1_000).map(|it| it * 3 + partition))
            );
        }
    });
}

#[test]
fn an_offset_that_is_gone_follows_the_policy() {
    Setup::both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 100).await;
        assert_eq!(client.admin().delete_records("t", 0, 60).await.unwrap(), 60);
        let consumer = |auto_offset_reset| {
            client.consumer(ConsumerConfig {
                auto_offset_reset,
                ..ConsumerConfig::default()
            })
        };
        let mut earliest = consumer(OffsetReset::Earliest);
        earliest.assign("t", 0, StartAt::Offset(5)).await.unwrap();
        assert_eq!(
            offsets(&read(&mut earliest, 40).await),
            (60..100).collect::<Vec<_>>()
        );

        let mut latest = consumer(OffsetReset::Latest);
        latest.assign("t", 0, StartAt::Offset(5)).await.unwrap();
        while latest.position("t", 0) != Some(100) {
            assert!(
                latest
                    .poll(Duration::from_millis(20))
                    .await
                    .unwrap()
                    .is_empty()
            );
        }

        let mut none = consumer(OffsetReset::None);
        none.assign("t", 0, StartAt::Offset(500)).await.unwrap();
        let error = none.poll(Duration::from_secs(60)).await.unwrap_err();
        let out_of_range = ErrorCode::OffsetOutOfRange;
        assert!(matches!(error, ClientError::Broker { code, .. } if code == out_of_range));
        assert!(
            none.poll(Duration::from_millis(1))
                .await
                .unwrap()
                .is_empty()
        );
        none.seek("t", 0, StartAt::Offset(99)).await.unwrap();
        assert_eq!(offsets(&read(&mut none, 1).await), [99]);
    });
}

#[test]
fn a_poll_that_is_dropped_loses_nothing() {
    Setup::both(|client| async move {
        topic(&client, "t", 1).await;
        let mut consumer = client.consumer(ConsumerConfig::default());
        consumer.assign("t", 0, StartAt::Earliest).await.unwrap();
        let turns = async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            polled = consumer.poll(Duration::from_secs(60)) => unreachable!("{polled:?}"),
            () = turns => {}
        }
        fill(&client, "t", 10).await;
        assert_eq!(
            offsets(&read(&mut consumer, 10).await),
            (0..10).collect::<Vec<_>>()
        );
    });
}

#[test]
fn topics_are_made_changed_and_deleted() {
    Setup::both(|client| async move {
        let admin = client.admin();
        let configs = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
        let new = NewTopic {
            name: "orders".to_owned(),
            partitions: Some(2),
            configs,
            ..NewTopic::default()
        };
        admin.create_topic(&new).await.unwrap();
        let error = admin.create_topic(&new).await.unwrap_err();
        let exists = ErrorCode::TopicAlreadyExists;
        assert!(
            matches!(error, ClientError::Broker { code, .. } if code == exists),
            "{error}"
        );
        assert_eq!(admin.describe_topic("orders").await.unwrap().partitions, 2);

        let value = async |name: &str| {
            let entries = admin.topic_configs("orders").await.unwrap();
            let entry = entries
                .into_iter()
                .find(|entry| entry.name == name)
                .unwrap();
            (entry.value.unwrap(), entry.is_default)
        };
        assert_eq!(value("retention.ms").await, ("1000".to_owned(), false));
        let set = ConfigChange::Set("retention.ms".to_owned(), "2000".to_owned());
        admin.alter_topic("orders", &[set]).await.unwrap();
        assert_eq!(value("retention.ms").await.0, "2000");
        let delete = ConfigChange::Delete("retention.ms".to_owned());
        admin.alter_topic("orders", &[delete]).await.unwrap();
        assert!(value("retention.ms").await.1);

        admin.create_partitions("orders", 5).await.unwrap();
        let names: Vec<String> = admin
            .list_topics()
            .await
            .unwrap()
            .into_iter()
            .map(|topic| topic.name)
            .collect();
        assert!(names.contains(&"orders".to_owned()), "{names:?}");
        // The producer and the consumer see the new partitions.
        let producer = client.producer(ProducerConfig::default()).unwrap();
        producer
            .send(Record::to("orders").partition(4).value("v"))
            .await
            .unwrap()
            .await
            .unwrap();
        admin.delete_topic("orders").await.unwrap();
        let error = admin.describe_topic("orders").await.unwrap_err();
        let unknown = ErrorCode::UnknownTopicOrPartition;
        assert!(
            matches!(error, ClientError::Broker { code, .. } if code == unknown),
            "{error}"
        );
    });
}

#[test]
fn partitions_that_were_added_are_found_by_a_running_producer() {
    Setup::both(|client| async move {
        topic(&client, "t", 1).await;
        let producer = client.producer(ProducerConfig::default()).unwrap();
        producer
            .send(Record::to("t").value("v"))
            .await
            .unwrap()
            .await
            .unwrap();
        client.admin().create_partitions("t", 3).await.unwrap();
        let delivery = producer
            .send(Record::to("t").partition(2).value("v"))
            .await
            .unwrap();
        assert_eq!(delivery.await.unwrap().partition, 2);
    });
}

#[test]
fn nobody_at_the_address_is_an_error_that_says_so() {
    let it = Setup::new();
    let servers = it.broker.bootstrap_servers();
    it.broker.shutdown_blocking().unwrap();
    let error = it.runtime.block_on(Client::connect(&servers)).unwrap_err();
    assert!(
        matches!(&error, ClientError::NotSent(why) if why.contains(&servers)),
        "{error}"
    );
    assert!(matches!(
        it.runtime.block_on(Client::connect(" , ")),
        Err(ClientError::Invalid(_))
    ));
}

#[test]
fn settings_that_cannot_be_right_are_refused_before_anything_is_asked() {
    let it = Setup::new();
    let broker = Arc::clone(&it.broker);
    let client = Client::in_process(move || broker.exchange());
    it.runtime.block_on(async {
        let config = ProducerConfig::new()
            .acks(Acks::None)
            .enable_idempotence(true);
        let refused = client.producer(config).unwrap_err();
        assert!(matches!(refused, ClientError::Invalid(_)), "{refused}");
        let config = ConsumerConfig::new().fetch_min_bytes(2).fetch_max_bytes(1);
        let mut consumer = client.consumer(config);
        let refused = consumer
            .assign("t", 0, StartAt::Earliest)
            .await
            .unwrap_err();
        assert!(matches!(refused, ClientError::Invalid(_)), "{refused}");
        let topics = client.admin().list_topics().await.unwrap();
        assert_eq!(topics, [], "the question alone would have made one");
    });
}

#[test]
fn a_broker_that_comes_back_is_found_again_and_nothing_is_lost_or_doubled() {
    use highwater_log::fs::mem::MemFs;
    let fs = Arc::new(MemFs::new());
    let start = || {
        Broker::builder()
            .fs(Arc::clone(&fs) as _, "/data")
            .start()
            .unwrap()
    };
    let broker = Arc::new(Mutex::new(Some(start())));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let current = Arc::clone(&broker);
    let closed = Arc::new(Mutex::new(None));
    let client = Client::in_process(move || match &*current.lock().unwrap() {
        Some(broker) => {
            let session = broker.exchange();
            *closed.lock().unwrap() = Some(Arc::clone(&session));
            session
        }
        // Between the two brokers: a session of the one that is gone.
        None => closed
            .lock()
            .unwrap()
            .clone()
            .expect("a session was opened before"),
    });
    runtime.block_on(async {
        topic(&client, "t", 2).await;
        let config = ProducerConfig {
            retry_backoff_ms: 1,
            linger_ms: 0,
            ..Default::default()
        };
        let producer = client.producer(config).unwrap();
        let mut consumer = client.consumer(ConsumerConfig::default());
        consumer.assign_topic("t", StartAt::Earliest).await.unwrap();
        let mut deliveries = Vec::new();
        for number in 0..600 {
            if number % 200 == 199 {
                let old = broker.lock().unwrap().take().unwrap();
                old.shutdown().await.unwrap();
                drop(old);
                *broker.lock().unwrap() = Some(start());
            }
            let record = Record::to("t")
                .partition(number % 2)
                .value(number.to_string());
            deliveries.push(producer.send(record).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        let records = read(&mut consumer, 600).await;
        for partition in 0..2 {
            let values = records
                .iter()
                .filter(|record| record.partition == partition);
            let values = values.map(|record| record.value.clone().unwrap());
            let expected = (0..300).map(|number| Bytes::from((number * 2 + partition).to_string()));
            assert!(values.eq(expected), "partition {partition}");
        }
    });
}
