//! What happens in a golden directory while it is written: a little of everything that is stored.

use std::path::Path;

use highwater::{
    Acks, Admin, Broker, Client, Codec, CommittedOffset, EmbeddedClient, NewTopic, OffsetSpec,
    ProducerConfig, Record,
};

use crate::copy;
use crate::open;

/// Writes the folder of a format change; refuses to touch one that is there.
pub(crate) async fn write(folder: &Path) {
    assert!(!folder.exists(), "{} is golden already", folder.display());
    let scratch = tempfile::tempdir().unwrap();
    let (first, second) = (scratch.path().join("1"), scratch.path().join("2"));

    let broker = open(&first);
    create_topics(&broker).await;
    send(&broker, 0).await;
    broker.shutdown().await.unwrap();

    let broker = open(&first);
    send(&broker, 1).await;
    commit(&broker, 4).await;
    // The process dies here.
    copy(&first, &second);
    drop(broker);

    let broker = open(&second);
    send(&broker, 2).await;
    commit(&broker, 7).await;
    let admin = Client::embedded(&broker).admin();
    admin.delete_topic("gone").await.unwrap();
    admin.delete_records("rolled", 0, 5).await.unwrap();
    let contents = crate::contents::read(&broker).await;
    copy(&second, &folder.join("killed"));
    broker.shutdown().await.unwrap();
    copy(&second, &folder.join("clean"));
    std::fs::write(folder.join("contents.txt"), contents).unwrap();
}

async fn create_topics(broker: &Broker) {
    let admin = Client::embedded(broker).admin();
    let topics = [
        ("codecs", 1, None),
        ("two", 2, Some(("max.message.bytes", "65536"))),
        ("cached", 1, Some(("durability", "page-cache"))),
        ("rolled", 1, Some(("segment.bytes", "1024"))),
        ("gone", 1, None),
    ];
    for (name, partitions, config) in topics {
        let configs = config.into_iter().chain([("retention.ms", "-1")]);
        let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            configs: configs.collect(),
            ..Default::default()
        };
        admin.create_topic(&topic).await.unwrap();
    }
}

/// A chapter: records of every form to every topic.
async fn send(broker: &Broker, chapter: i64) {
    let client = Client::embedded(broker);
    let codecs = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    for (number, codec) in (0..).zip(codecs) {
        let config = ProducerConfig {
            compression_type: codec,
            enable_idempotence: Some(number % 2 == 0),
            acks: if number % 2 == 0 {
                Acks::All
            } else {
                Acks::Leader
            },
            ..ProducerConfig::default()
        };
        let producer = client.producer(config).unwrap();
        let timestamp = 1_357_000_000_000 + chapter * 1000 + number;
        let record = |topic: &str, partition| {
            let record = Record::to(topic).partition(partition).timestamp(timestamp);
            record.value(format!("{topic} {chapter} {number} {}", "x".repeat(300)))
        };
        let records = [
            record("codecs", 0)
                .header("twice", "a")
                .header("twice", "b"),
            Record::to("codecs")
                .partition(0)
                .timestamp(timestamp)
                .key("only a key"),
            record("two", 0).key("zero"),
            record("two", 1).key("one"),
            record("cached", 0),
            record("rolled", 0),
        ];
        let mut sent = Vec::new();
        for record in records {
            sent.push(producer.send(record).await.unwrap());
        }
        producer.flush().await;
        for delivery in sent {
            delivery.await.unwrap();
        }
    }
}

async fn commit(broker: &Broker, offset: i64) {
    let admin = Client::embedded(broker).admin();
    let at = |topic: &str, partition| CommittedOffset {
        topic: topic.to_owned(),
        partition,
        offset,
        leader_epoch: Some(0),
        metadata: format!("as of {offset}"),
    };
    let offsets = [at("two", 0), at("two", 1), at("rolled", 0)];
    admin
        .alter_group_offsets("readers", &offsets)
        .await
        .unwrap();
    admin
        .alter_group_offsets("others", &offsets[..1])
        .await
        .unwrap();
}

/// The directory is in use again: a record and a commit come behind those that are there.
pub(crate) async fn go_on(broker: &Broker) {
    let client = Client::embedded(broker);
    let end = |admin: Admin| async move { admin.offset("two", 0, OffsetSpec::Latest).await };
    let before = end(client.admin()).await.unwrap().unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let record = Record::to("two")
        .partition(0)
        .value("more")
        .timestamp(crate::WRITTEN.0);
    let sent = producer.send(record).await;
    assert_eq!(sent.unwrap().await.unwrap().offset, before);
    commit(broker, before).await;
    let committed = client.admin().group_offsets("others", None).await.unwrap();
    assert_eq!(committed[0].offset, before);
}
