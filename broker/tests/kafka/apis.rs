//! What single APIs mean, where the bytes of a conversation do not tell.

use highwater_broker::config::BrokerConfig;
use highwater_proto::batch::Batches;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::APIS;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicAssignment, CreateTopicConfig, CreateTopicsRequest,
};
use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use highwater_proto::kafka::messages::init_producer_id::InitProducerIdRequest;
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};

use crate::kit::{FETCH, PRODUCE, Rig, START, batch, fetch, produce};

fn named(name: &'static str, allow_auto_topic_creation: bool) -> MetadataRequest {
    let topics = Some(vec![MetadataTopic {
        name: Some(name.into()),
        ..Default::default()
    }]);
    MetadataRequest {
        topics,
        allow_auto_topic_creation,
        ..MetadataRequest::default()
    }
}

#[test]
fn the_advertised_versions_are_those_of_the_table_and_contain_what_old_clients_test_for() {
    let rig = Rig::new();
    let answer = rig.client().call(0, ApiVersionsRequest::default());
    assert_eq!(answer.api_keys.len(), APIS.len());
    assert!(answer.api_keys.is_sorted_by_key(|range| range.api_key));
    // librdkafka up to 2.11 switches features on by these.
    for (key, low, high) in [
        (0, 0, 7),
        (1, 4, 10),
        (2, 1, 1),
        (10, 0, 0),
        (18, 0, 0),
        (22, 0, 0),
        (23, 2, 2),
    ] {
        let range = answer
            .api_keys
            .iter()
            .find(|range| range.api_key == key)
            .unwrap();
        assert!(
            range.min_version <= low && high <= range.max_version,
            "{range:?}"
        );
    }
}

#[test]
fn a_missing_topic_is_created_only_where_both_sides_allow_it() {
    let rig = Rig::with(BrokerConfig {
        num_partitions: 3,
        ..BrokerConfig::default()
    });
    let mut client = rig.client();
    assert_eq!(client.call(9, named("t", false)).topics[0].error_code, 3);
    let created = client.call(9, named("t", true));
    assert_eq!(
        (
            created.topics[0].error_code,
            created.topics[0].partitions.len()
        ),
        (0, 3)
    );
    // v3 cannot say that it does not want to.
    assert_eq!(client.call(3, named("old", true)).topics[0].error_code, 0);
    assert_eq!(
        client.call(9, named("not allowed!", true)).topics[0].error_code,
        17
    );
    assert_eq!(
        client.call(9, named("__meta", true)).topics[0].error_code,
        17
    );
    let none = MetadataRequest {
        topics: Some(Vec::new()),
        ..MetadataRequest::default()
    };
    assert_eq!(client.call(1, none.clone()).topics, []);
    assert_eq!(
        client.call(0, none).topics.len(),
        2,
        "an empty list is all in v0"
    );
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    assert_eq!(client.call(1, all).topics.len(), 2);

    let strict = Rig::with(BrokerConfig {
        auto_create_topics_enable: false,
        ..Default::default()
    });
    assert_eq!(
        strict.client().call(9, named("t", true)).topics[0].error_code,
        3
    );
}

#[test]
fn a_topic_with_a_manual_assignment() {
    let rig = Rig::new();
    let create = |name, broker: i32| {
        let assignments = vec![
            CreateTopicAssignment {
                partition_index: 0,
                broker_ids: vec![broker],
            },
            CreateTopicAssignment {
                partition_index: 1,
                broker_ids: vec![broker],
            },
        ];
        let topic = CreateTopic {
            name: Str::from_static(name),
            num_partitions: -1,
            replication_factor: -1,
            assignments,
            configs: vec![CreateTopicConfig {
                name: "cleanup.policy".into(),
                value: Some("compact".into()),
            }],
        };
        CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        }
    };
    let mut client = rig.client();
    // Version 2 has no defaults, yet -1 stands beside an assignment.
    assert_eq!(client.call(2, create("old", 1)).topics[0].error_code, 0);
    let answer = client.call(7, create("new", 1)).topics.remove(0);
    assert_eq!(
        (
            answer.error_code,
            answer.num_partitions,
            answer.replication_factor
        ),
        (0, 2, 1)
    );
    let configs = answer.configs.unwrap();
    let policy = configs
        .iter()
        .find(|config| config.name == "cleanup.policy")
        .unwrap();
    assert_eq!(
        (policy.value.as_deref(), policy.config_source),
        (Some("compact"), 1)
    );
    assert_eq!(
        client.call(7, create("elsewhere", 9)).topics[0].error_code,
        39
    );
}

#[test]
fn records_come_back_as_they_were_sent_but_for_their_prefix() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let sent = [batch(&["a", "b"]), batch(&["c"])];
    for batch in &sent {
        client.call(PRODUCE, produce("t", -1, batch.clone()));
    }
    // An offset within a batch gives the whole batch.
    for (offset, expected) in [(0, &sent[..]), (1, &sent[..]), (2, &sent[1..]), (3, &[])] {
        let fetched = client.call(FETCH, fetch("t", offset, 0));
        let records = fetched.topics[0].partitions[0].records.clone().into_bytes();
        let batches: Vec<_> = Batches::new(&records)
            .map(|batch| batch.unwrap().bytes)
            .collect();
        assert_eq!(batches.len(), expected.len());
        for (ours, theirs) in batches.iter().zip(expected) {
            assert_eq!(ours[16..], theirs[16..]);
        }
    }
}

#[test]
fn one_request_can_succeed_in_part() {
    let rig = Rig::new();
    rig.topic("t", 2);
    let partition = |index, records| ProducePartition { index, records };
    let topics = vec![
        ProduceTopic {
            name: "t".into(),
            partitions: vec![
                partition(1, Some(batch(&["a"]))),
                partition(7, Some(batch(&["a"]))),
                partition(0, None),
            ],
        },
        ProduceTopic {
            name: "none".into(),
            partitions: vec![partition(0, Some(batch(&["a"])))],
        },
    ];
    let request = ProduceRequest {
        acks: -1,
        topics,
        ..ProduceRequest::default()
    };
    let answer = rig.client().call(PRODUCE, request);
    let errors = |topic: usize| {
        let partitions = answer.topics[topic].partitions.iter();
        partitions
            .map(|p| (p.index, p.error_code, p.base_offset))
            .collect::<Vec<_>>()
    };
    assert_eq!(errors(0), [(1, 0, 0), (7, 3, -1), (0, 87, -1)]);
    assert_eq!(errors(1), [(0, 3, -1)]);
    assert!(answer.topics[0].partitions[2].error_message.is_some());
}

#[test]
fn a_null_key_in_a_compacted_topic_is_named() {
    let rig = Rig::new();
    let config = CreateTopicConfig {
        name: "cleanup.policy".into(),
        value: Some("compact".into()),
    };
    let topic = CreateTopic {
        name: "t".into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config],
        ..CreateTopic::default()
    };
    let mut client = rig.client();
    client.call(
        5,
        CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        },
    );
    let mut builder =
        highwater_proto::batch_builder::BatchBuilder::new(highwater_proto::compress::Codec::None);
    builder
        .append(START.0, Some(b"key"), Some(b"v"), &[])
        .unwrap();
    builder.append(START.0, None, Some(b"v"), &[]).unwrap();
    let answer = client.call(8, produce("t", -1, builder.build().unwrap()));
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(partition.error_code, 87);
    assert_eq!(partition.record_errors.len(), 1);
    assert_eq!(partition.record_errors[0].batch_index, 1);
}

#[test]
fn offsets_by_time_are_those_of_records() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    client.call(PRODUCE, produce("t", -1, batch(&["a", "b", "c"])));
    let mut at = |version, timestamp| {
        let partitions = vec![ListOffsetsPartition {
            timestamp,
            ..Default::default()
        }];
        let topics = vec![ListOffsetsTopic {
            name: "t".into(),
            partitions,
        }];
        let listed = client.call(
            version,
            ListOffsetsRequest {
                topics,
                ..Default::default()
            },
        );
        let found = &listed.topics[0].partitions[0];
        (found.error_code, found.offset, found.timestamp)
    };
    assert_eq!(at(1, START.0 + 1), (0, 1, START.0 + 1));
    assert_eq!(at(1, START.0 + 9), (0, -1, -1));
    assert_eq!(at(7, -3), (0, 2, START.0 + 2));
    assert_eq!(at(6, -3), (35, -1, -1));
    assert_eq!(at(8, -4), (0, 0, -1));
    assert_eq!(at(7, -4), (35, -1, -1));
    assert_eq!(at(9, -5), (0, -1, -1));
    assert_eq!(at(9, -6), (35, -1, -1));
}

#[test]
fn the_old_layout_of_list_offsets_is_descending() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    client.call(PRODUCE, produce("t", -1, batch(&["a", "b", "c"])));
    let mut at = |timestamp, max_num_offsets| {
        let partition = ListOffsetsPartition {
            timestamp,
            max_num_offsets,
            ..Default::default()
        };
        let topics = vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![partition],
        }];
        let listed = client.call(
            0,
            ListOffsetsRequest {
                topics,
                ..Default::default()
            },
        );
        listed.topics[0].partitions[0].old_style_offsets.clone()
    };
    assert_eq!(at(-1, 1), [3]);
    assert_eq!(at(-1, 2), [3, 0]);
    assert_eq!(at(-2, 5), [0]);
    assert_eq!(at(START.0 + 9, 5), []);
}

#[test]
fn producer_ids_are_given_once() {
    let rig = Rig::new();
    let mut client = rig.client();
    let one = client.call(0, InitProducerIdRequest::default());
    let two = client.call(5, InitProducerIdRequest::default());
    assert_eq!(
        (one.error_code, two.error_code, one.producer_epoch),
        (0, 0, 0)
    );
    assert_ne!(one.producer_id, two.producer_id);
    let half = InitProducerIdRequest {
        producer_id: 5,
        ..Default::default()
    };
    assert_eq!(client.call(3, half).error_code, 42);
}

#[test]
fn configs_are_described_whole_and_as_asked() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let mut described = |kind, name: &'static str, keys: Option<Vec<Str>>, more| {
        let resource = DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: keys,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: more,
            include_documentation: more,
        };
        client.call(4, request).results.remove(0)
    };
    let all = described(2, "t", None, false);
    let policy = all
        .configs
        .iter()
        .find(|config| config.name == "cleanup.policy")
        .unwrap();
    assert_eq!(
        (policy.value.as_deref(), policy.config_type),
        (Some("delete"), 7)
    );
    assert_eq!((policy.config_source, policy.synonyms.len()), (5, 0));
    assert_eq!(policy.documentation, None);
    assert_eq!(
        described(2, "t", Some(Vec::new()), false).configs,
        all.configs
    );
    let one = described(2, "t", Some(vec!["retention.bytes".into()]), true);
    assert_eq!(one.configs.len(), 1);
    assert_eq!(one.configs[0].synonyms[0].name, "log.retention.bytes");
    assert!(one.configs[0].documentation.is_some());
    assert_eq!(described(2, "none", None, false).error_code, 3);
    assert_eq!(described(4, "7", None, false).error_code, 42);
    assert_eq!(described(3, "1", None, false).error_code, 42);
    let broker = described(4, "1", Some(vec!["delete.topic.enable".into()]), false);
    assert_eq!(broker.configs[0].value.as_deref(), Some("true"));
}
