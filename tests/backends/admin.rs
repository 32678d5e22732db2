//! Administration: topics, settings, the start of a log, the cluster.

use highwater::{
    ConfigChange, ConfigEntry, ConsumerConfig, ErrorCode, NewTopic, OffsetReset, OffsetSpec,
    StartAt,
};

use crate::PATIENCE;
use crate::Stage;
use crate::eventually;
use crate::records::take;
use crate::text;

/// From the creation of a topic to its end.
pub(crate) async fn topics(stage: Stage) {
    let admin = stage.client.admin();
    let topic = stage.topic("t", 2).await;
    let described = admin.describe_topic(&topic).await.unwrap();
    assert_eq!((&described.name, described.partitions), (&topic, 2));
    assert!(!described.is_internal);
    let listed = admin.list_topics().await.unwrap();
    assert!(listed.contains(&described), "{listed:?}");

    let twice = admin
        .create_topic(&NewTopic::named(&topic))
        .await
        .unwrap_err();
    assert_eq!(twice.code(), Some(ErrorCode::TopicAlreadyExists));
    let illegal = admin
        .create_topic(&NewTopic::named("no/slash"))
        .await
        .unwrap_err();
    assert_eq!(illegal.code(), Some(ErrorCode::InvalidTopicException));
    let none = NewTopic::named(stage.name("none")).partitions(0);
    let none = admin.create_topic(&none).await.unwrap_err();
    assert_eq!(none.code(), Some(ErrorCode::InvalidPartitions));
    copies(&stage).await;

    admin.create_partitions(&topic, 5).await.unwrap();
    eventually(async || {
        let partitions = admin.describe_partitions(&topic).await.unwrap();
        partitions.len() == 5 && partitions.iter().all(|it| it.leader.is_some())
    })
    .await;
    let partitions = admin.describe_partitions(&topic).await.unwrap();
    for (partition, number) in partitions.iter().zip(0..) {
        let leader = partition.leader.unwrap();
        assert_eq!(
            (partition.partition, &*partition.replicas),
            (number, &[leader][..])
        );
        assert_eq!(partition.in_sync, [leader]);
    }
    let fewer = admin.create_partitions(&topic, 4).await.unwrap_err();
    assert_eq!(fewer.code(), Some(ErrorCode::InvalidPartitions));

    stage.fill(&topic, 5, 2).await;
    let latest = admin.offset(&topic, 4, OffsetSpec::Latest).await.unwrap();
    assert_eq!(latest, Some(2));
    let sizes = admin.partition_sizes(&topic).await.unwrap();
    assert_eq!(sizes.len(), 5);
    assert!(sizes.values().all(|bytes| *bytes > 0), "{sizes:?}");

    admin.delete_topic(&topic).await.unwrap();
    eventually(async || {
        let listed = admin.list_topics().await.unwrap();
        listed.iter().all(|it| it.name != topic)
    })
    .await;
    let gone = admin.delete_topic(&topic).await.unwrap_err();
    assert_eq!(gone.code(), Some(ErrorCode::UnknownTopicOrPartition));
}

/// Three copies on one broker: taken as one, or refused.
async fn copies(stage: &Stage) {
    let admin = stage.client.admin();
    let topic = NewTopic::named(stage.name("three"))
        .partitions(1)
        .replication_factor(3);
    match (
        admin.create_topic(&topic).await,
        stage.kind.copies_of_three(),
    ) {
        (Ok(()), Some(count)) => {
            let partitions = admin.describe_partitions(&topic.name).await.unwrap();
            assert_eq!(partitions[0].replicas.len(), count);
        }
        (Err(refused), None) => {
            assert_eq!(refused.code(), Some(ErrorCode::InvalidReplicationFactor));
        }
        (answer, expected) => panic!("{answer:?}, and not {expected:?} copies"),
    }
}

/// Settings of a topic: defaults, changes, and what is refused as a whole.
pub(crate) async fn configs(stage: Stage) {
    let admin = stage.client.admin();
    let topic = NewTopic::named(stage.name("t"))
        .partitions(1)
        .config("retention.ms", "3600000");
    stage.create(&topic).await;
    let configs = async || admin.topic_configs(&topic.name).await.unwrap();
    let before = configs().await;
    assert_eq!(value(&before, "retention.ms"), (Some("3600000"), false));
    assert_eq!(value(&before, "cleanup.policy"), (Some("delete"), true));
    let (interval, is_default) = value(&before, "index.interval.bytes");
    assert_eq!(
        (interval, is_default),
        (Some(stage.kind.index_interval_bytes()), true)
    );

    let set = |name: &str, value: &str| ConfigChange::Set(name.to_owned(), value.to_owned());
    let changes = [
        set("cleanup.policy", "compact"),
        ConfigChange::Delete("retention.ms".into()),
    ];
    admin.alter_topic(&topic.name, &changes).await.unwrap();
    eventually(async || value(&configs().await, "cleanup.policy") == (Some("compact"), false))
        .await;
    let (retention, is_default) = (configs().await, true);
    assert_eq!(
        value(&retention, "retention.ms"),
        (Some("604800000"), is_default)
    );

    let partly_wrong = [
        set("max.message.bytes", "5000"),
        set("retention.ms", "a week"),
    ];
    let refused = admin
        .alter_topic(&topic.name, &partly_wrong)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::InvalidConfig));
    let unheard_of = [set("no.such.setting", "1")];
    let refused = admin
        .alter_topic(&topic.name, &unheard_of)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::InvalidConfig));
    let (_, is_default) = value(&configs().await, "max.message.bytes");
    assert!(is_default, "nothing of what was refused was done");
}

/// The oldest records go; who stands before the start is told, or set to the start.
pub(crate) async fn delete_records(stage: Stage) {
    let admin = stage.client.admin();
    let topic = stage.topic("t", 1).await;
    stage.fill(&topic, 1, 50).await;
    assert_eq!(admin.delete_records(&topic, 0, 30).await.unwrap(), 30);
    let asked = [
        (topic.as_str(), 0, OffsetSpec::Earliest),
        (topic.as_str(), 0, OffsetSpec::Latest),
    ];
    let found = admin.offsets(&asked).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| it.offset).collect();
    assert_eq!(found, [Some(30), Some(50)]);
    let beyond = admin.delete_records(&topic, 0, 51).await.unwrap_err();
    assert_eq!(beyond.code(), Some(ErrorCode::OffsetOutOfRange));

    let config = ConsumerConfig::new().auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = stage.client.consumer(config);
    consumer
        .assign(&topic, 0, StartAt::Offset(10))
        .await
        .unwrap();
    let read = take(&mut consumer, 20).await;
    assert_eq!((read[0].offset, text(&read[19])), (30, "49"));

    let config = ConsumerConfig::new().auto_offset_reset(OffsetReset::None);
    let mut consumer = stage.client.consumer(config);
    consumer
        .assign(&topic, 0, StartAt::Offset(10))
        .await
        .unwrap();
    let told = consumer.poll(PATIENCE).await.unwrap_err();
    assert_eq!(told.code(), Some(ErrorCode::OffsetOutOfRange));
    consumer.seek(&topic, 0, StartAt::Offset(31)).await.unwrap();
    assert_eq!(take(&mut consumer, 1).await[0].offset, 31);
}

/// Who there is.
pub(crate) async fn cluster(stage: Stage) {
    let admin = stage.client.admin();
    let cluster = admin.describe_cluster().await.unwrap();
    assert!(cluster.cluster_id.is_some_and(|id| !id.is_empty()));
    assert_eq!(cluster.brokers.len(), 1);
    let id = cluster.brokers[0].id;
    let configs = admin.broker_configs(id).await.unwrap();
    assert_eq!(
        value(&configs, "auto.create.topics.enable").0,
        Some("false")
    );
    let nobody = admin.broker_configs(id + 1).await.unwrap_err();
    assert_eq!(nobody.code(), None, "the client knows it: {nobody}");
}

fn value<'a>(configs: &'a [ConfigEntry], name: &str) -> (Option<&'a str>, bool) {
    let entry = configs.iter().find(|it| it.name == name).expect(name);
    (entry.value.as_deref(), entry.is_default)
}
