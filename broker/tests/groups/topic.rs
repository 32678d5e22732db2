//! The topic `__consumer_offsets`: made at its first use, read by everyone, changed by nobody.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{DeleteRecordsError, ProduceError, TopicError};
use highwater_broker::ids::TopicRef;
use highwater_broker::service::configs::{ConfigResource, DescribeConfigs};
use highwater_broker::service::offsets::DeleteRecordsPartition;
use highwater_broker::service::topics::{
    CreatePartitionsCall, CreateTopicsCall, MetadataCall, MetadataTopics, NewPartitions, NewTopic,
    TopicDescription,
};
use highwater_log::types::Offset;
use highwater_proto::group_log::GroupRecord;

use crate::kit::{Rig, batch, until};
use crate::member::{commit, two};

pub(crate) const TOPIC: &str = "__consumer_offsets";

async fn metadata(
    rig: &Rig,
    topics: MetadataTopics,
    allow_auto_create: bool,
) -> Vec<Result<TopicDescription, TopicError>> {
    let call = MetadataCall {
        topics,
        allow_auto_create,
    };
    let all = rig.service.metadata(call).await;
    all.into_iter().map(|topic| topic.result).collect()
}

fn this() -> MetadataTopics {
    MetadataTopics::These(vec![TopicRef::from(TOPIC)])
}

#[tokio::test]
async fn it_is_made_at_its_first_use_and_listed_as_internal() {
    let config = BrokerConfig {
        offsets_topic_num_partitions: 3,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    rig.topic("t", 1, &[]).await;
    assert_eq!(
        metadata(&rig, this(), false).await,
        [Err(TopicError::Unknown)]
    );
    assert_eq!(rig.fs_topics(), 0);
    commit(&rig, "g", "t", 1).await.unwrap();
    let all = metadata(&rig, MetadataTopics::All, false).await;
    let names: Vec<_> = all
        .iter()
        .map(|topic| topic.as_ref().unwrap())
        .map(|topic| (topic.name.as_str(), topic.internal, topic.partition_count))
        .collect();
    assert_eq!(names, [(TOPIC, true, 3), ("t", false, 1)]);
    assert_eq!(rig.fs_topics(), 1, "one log of three, and none of t");
    let fewer = BrokerConfig {
        offsets_topic_num_partitions: 1,
        ..rig.config.clone()
    };
    rig.broker.shutdown().await.unwrap();
    let rig = Rig::over(rig.fs.clone(), rig.clock.clone(), fewer);
    let found = metadata(&rig, this(), false).await.remove(0).unwrap();
    assert_eq!(found.partition_count, 3, "the count is that of its making");
    assert_eq!(crate::member::committed(&rig, "g", "t"), 1);
}

#[tokio::test]
async fn a_client_that_looks_for_it_finds_it() {
    let rig = Rig::new();
    let found = metadata(&rig, this(), true).await.remove(0).unwrap();
    assert!(found.internal);
    let ask = || DescribeConfigs {
        resource: ConfigResource::Topic(TOPIC.to_owned()),
        names: None,
    };
    let described = rig.service.describe_configs(vec![ask()]).remove(0);
    let values: BTreeMap<_, _> = described
        .result
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.value))
        .collect();
    assert_eq!(values["cleanup.policy"], "compact");
    assert_eq!(values["durability"], "fsync");
    assert_eq!(values["segment.bytes"], (16 << 20).to_string());
}

#[tokio::test]
async fn nobody_but_the_broker_changes_it() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let create = || CreateTopicsCall {
        topics: vec![NewTopic {
            name: TOPIC.to_owned(),
            ..NewTopic::default()
        }],
        validate_only: false,
    };
    let created = rig.service.create_topics(create()).await.remove(0).result;
    assert!(matches!(created, Err(TopicError::InvalidName { .. })));
    let produced = rig.produce(TOPIC, batch(&["x"])).await;
    assert_eq!(produced, Err(ProduceError::InternalTopic));
    commit(&rig, "g", "t", 1).await.unwrap();
    let created = rig.service.create_topics(create()).await.remove(0).result;
    assert_eq!(created, Err(TopicError::Exists { deleting: false }));
    let produced = rig.produce(TOPIC, batch(&["x"])).await;
    assert_eq!(produced, Err(ProduceError::InternalTopic));
    let deleted = rig.service.delete_topics(vec![TopicRef::from(TOPIC)]).await;
    assert!(matches!(
        deleted[0].result,
        Err(TopicError::InvalidName { .. })
    ));
    let call = CreatePartitionsCall {
        topics: vec![NewPartitions {
            name: TOPIC.to_owned(),
            total: 7,
            assignments: None,
        }],
        validate_only: false,
    };
    let grown = rig.service.create_partitions(call).await.remove(0).result;
    assert!(matches!(grown, Err(TopicError::InvalidName { .. })));
    let below = DeleteRecordsPartition {
        topic: TOPIC.to_owned(),
        partition: 0,
        before: Offset(1),
    };
    let deleted = rig.service.delete_records(vec![below]).await.remove(0);
    assert_eq!(deleted.result, Err(DeleteRecordsError::InternalTopic));
    assert_eq!(rig.end(TOPIC).await, 1);
}

#[tokio::test]
async fn neither_age_nor_settings_take_anything_of_it() {
    let mut config = BrokerConfig::default();
    config.set("log.durability", "page-cache").unwrap();
    config.set("log.retention.ms", "1").unwrap();
    config.set("log.cleanup.policy", "delete").unwrap();
    let rig = Rig::with(config);
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 1).await.unwrap();
    rig.advance_ms(6 * 24 * 3_600_000);
    rig.service.apply_retention().await.unwrap();
    assert_eq!((rig.start(TOPIC).await, rig.end(TOPIC).await), (0, 1));
}

/// Every key with its last value, as a reader of the topic finds them.
pub(crate) async fn table(rig: &Rig, partition: i32) -> BTreeMap<Vec<u8>, Bytes> {
    let mut table = BTreeMap::new();
    let mut next = 0;
    loop {
        let mut call = crate::kit::fetch_call(TOPIC, next);
        call.partitions[0].partition = partition;
        let fetched = match rig.service.fetch(call).await.remove(0).result {
            Ok(fetched) => fetched,
            Err(highwater_broker::error::FetchError::OffsetOutOfRange { start, .. })
                if start.0 > next =>
            {
                next = start.0;
                table.clear();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        if fetched.records.is_empty() {
            return table;
        }
        let bytes = Bytes::from(fetched.records.concat());
        for scanned in highwater_proto::batch::Batches::new(&bytes) {
            let batch = bytes.slice_ref(scanned.unwrap().bytes);
            for record in highwater_proto::record::RecordIter::new(batch, usize::MAX).unwrap() {
                let record = record.unwrap();
                next = record.offset + 1;
                let key = record.key.unwrap().to_vec();
                match record.value {
                    Some(value) => drop(table.insert(key, value)),
                    None => drop(table.remove(&key)),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_foreign_reader_finds_kafkas_records() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (leader, _other) = two(&rig, "g").await;
    leader.commit(41).await.unwrap();
    leader.commit(42).await.unwrap();
    until(|| crate::member::committed(&rig, "g", "t") == 42).await;
    let table = table(&rig, 0).await;
    let records: Vec<GroupRecord> = table
        .iter()
        .map(|(key, value)| GroupRecord::decode(key, Some(value)).unwrap())
        .collect();
    let offset = records.iter().find_map(|record| match record {
        GroupRecord::Offset {
            group,
            topic,
            partition,
            value,
        } => Some((
            group.as_str(),
            topic.as_str(),
            *partition,
            value.clone().unwrap().offset,
        )),
        GroupRecord::Group { .. } => None,
    });
    assert_eq!(offset, Some(("g", "t", 0, 42)));
    let members = records.iter().find_map(|record| match record {
        GroupRecord::Group { value, .. } => Some(value.clone().unwrap().members.len()),
        GroupRecord::Offset { .. } => None,
    });
    assert_eq!(members, Some(2));
}
