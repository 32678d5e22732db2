//! What administration can ask and change, against a real broker: handed over typed, and over TCP.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::sync::Arc;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_client::{
    Admin, Client, ClientError, ConfigChange, ConsumerConfig, ErrorCode, NewTopic, OffsetSpec,
    Outcome, ProducerConfig, Record,
};

/// Runs a test on both ways, each with a broker of its own.
fn both<F: Future<Output = ()>>(test: impl Fn(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let broker = || {
        let broker = Arc::new(Broker::in_memory().unwrap());
        broker.listen_kafka("127.0.0.1:0").unwrap();
        broker
    };
    let one = broker();
    let client = Client::in_process(move || one.exchange());
    runtime.block_on(test(client));
    let two = broker();
    let servers = two.bootstrap_servers();
    runtime.block_on(async { test(Client::connect(&servers).await.unwrap()).await });
}

async fn value_of(admin: &Admin, topic: &str, name: &str) -> Option<String> {
    let entries = admin.topic_configs(topic).await.unwrap();
    let entry = entries.into_iter().find(|entry| entry.name == name);
    entry.unwrap().value
}

/// Sends `v` at these times into partition 0.
async fn fill(client: &Client, topic: &str, times: &[i64]) {
    let producer = client.producer(ProducerConfig::new()).unwrap();
    for time in times {
        let record = Record::to(topic).partition(0).value("v").timestamp(*time);
        producer.send(record).await.unwrap();
    }
    producer.flush().await;
}

#[test]
fn a_cluster_tells_its_brokers_and_their_settings() {
    both(|client| async move {
        let admin = client.admin();
        let cluster = admin.describe_cluster().await.unwrap();
        assert!(cluster.cluster_id.is_some());
        let [broker] = &cluster.brokers[..] else {
            panic!("{cluster:?}");
        };
        assert_eq!(cluster.controller, Some(broker.id));
        let settings = admin.broker_configs(broker.id).await.unwrap();
        let retention = settings.iter().find(|it| it.name == "log.retention.ms");
        assert!(retention.is_some(), "{settings:?}");

        let missing = broker.id + 7;
        let error = admin.broker_configs(missing).await.unwrap_err();
        let sentence = format!("the cluster has no broker {missing}, but {}", broker.id);
        assert_eq!(error, ClientError::Invalid(sentence));
        let change = ConfigChange::Set("no.such.setting".to_owned(), "1".to_owned());
        let error = admin.alter_broker(broker.id, &[change]).await.unwrap_err();
        assert!(matches!(error, ClientError::Broker { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::NotWritten);
    });
}

#[test]
fn a_topic_tells_where_its_partitions_are() {
    both(|client| async move {
        let admin = client.admin();
        let topic = NewTopic::named("t").partitions(3).replication_factor(1);
        admin.create_topic(&topic).await.unwrap();
        let partitions = admin.describe_partitions("t").await.unwrap();
        let broker = admin.describe_cluster().await.unwrap().brokers[0].id;
        assert_eq!(partitions.len(), 3);
        for (number, partition) in (0..).zip(&partitions) {
            assert_eq!(partition.partition, number);
            assert_eq!(partition.leader, Some(broker));
            assert_eq!(partition.replicas, [broker]);
            assert_eq!(partition.in_sync, [broker]);
        }
        let error = admin.describe_partitions("missing").await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    });
}

#[test]
fn a_list_gets_a_value_more_and_loses_one() {
    both(|client| async move {
        let admin = client.admin();
        admin.create_topic(&NewTopic::named("t")).await.unwrap();
        let name = || "cleanup.policy".to_owned();
        let policy = async || value_of(&admin, "t", "cleanup.policy").await.unwrap();
        assert_eq!(policy().await, "delete");
        let more = ConfigChange::Append(name(), "delete".to_owned());
        admin.alter_topic("t", &[more]).await.unwrap();
        assert_eq!(policy().await, "delete", "it was in the list");
        let less = ConfigChange::Subtract(name(), "delete".to_owned());
        let refused = admin.alter_topic("t", &[less]).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Some(ErrorCode::InvalidConfig),
            "the list needs one"
        );
        assert_eq!(policy().await, "delete");
    });
}

#[test]
fn offsets_are_found_by_time_and_by_the_latest_time() {
    both(|client| async move {
        let admin = client.admin();
        admin.create_topic(&NewTopic::named("t")).await.unwrap();
        fill(&client, "t", &[100, 300, 200]).await;
        let asked = [
            ("t", 0, OffsetSpec::Timestamp(150)),
            ("t", 0, OffsetSpec::Timestamp(-5)),
            ("t", 0, OffsetSpec::Timestamp(301)),
            ("t", 0, OffsetSpec::MaxTimestamp),
            ("t", 0, OffsetSpec::Latest),
        ];
        let found = admin.offsets(&asked).await.unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.offset, it.timestamp)).collect();
        let expected = [
            (Some(1), Some(300)),
            (Some(0), Some(100)),
            (None, None),
            (Some(1), Some(300)),
            (Some(3), None),
        ];
        assert_eq!(found, expected);
        assert_eq!(admin.delete_records("t", 0, 2).await.unwrap(), 2);
        let start = admin.offset("t", 0, OffsetSpec::Earliest).await.unwrap();
        assert_eq!(start, Some(2));
        let error = admin.delete_records("t", 0, 99).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
    });
}

#[test]
fn a_static_member_is_removed_from_its_group() {
    both(|client| async move {
        let admin = client.admin();
        admin.create_topic(&NewTopic::named("t")).await.unwrap();
        fill(&client, "t", &[1]).await;
        let config = ConsumerConfig::new()
            .group_id("g")
            .group_instance_id("worker-7")
            .auto_offset_reset(highwater_client::OffsetReset::Earliest);
        let mut consumer = client.consumer(config);
        consumer.subscribe(["t"]).unwrap();
        let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
        assert_eq!(records.len(), 1);
        let members = admin.describe_group("g").await.unwrap().members;
        assert_eq!(members[0].instance_id.as_deref(), Some("worker-7"));

        let error = admin.remove_group_members("g", &["worker-8"]).await;
        assert_eq!(error.unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
        let removed = admin.remove_group_members("g", &["worker-7"]).await;
        removed.unwrap();
        assert!(admin.describe_group("g").await.unwrap().members.is_empty());
    });
}
