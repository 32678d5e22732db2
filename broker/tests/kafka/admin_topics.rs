//! Topics and offsets: each error of each API, and what one bad item costs the others.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{Fs, OpenMode};
use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicAssignment, CreateTopicConfig, CreateTopicsRequest,
};
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::delete_topics::{DeleteTopic, DeleteTopicsRequest};
use highwater_proto::kafka::messages::describe_topic_partitions::{
    DescribeTopicPartitionsAsked, DescribeTopicPartitionsCursor, DescribeTopicPartitionsRequest,
};
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use highwater_proto::kafka::messages::offset_for_leader_epoch::{
    EpochPartition, EpochTopic, OffsetForLeaderEpochRequest,
};

use crate::kit::{Client, PRODUCE, Rig, batch, fetch, produce};

/// A broker over what another one has written until now, as if that one had been killed.
fn after_a_kill(fs: &MemFs) -> Rig {
    fn copy(from: &MemFs, to: &MemFs, dir: &Path) {
        to.create_dir(dir).unwrap();
        for name in from.list(dir).unwrap() {
            let path = dir.join(name);
            if from.list(&path).is_ok() {
                copy(from, to, &path);
                continue;
            }
            let file = from.open(&path, OpenMode::Read).unwrap();
            let len = usize::try_from(file.len().unwrap()).unwrap();
            let bytes = file.read_at(0, len).unwrap();
            let file = to.create(&path).unwrap();
            file.write_at(0, &[IoSlice::new(&bytes)]).unwrap();
        }
    }
    let image = MemFs::new();
    copy(fs, &image, Path::new("/data"));
    Rig::over(Arc::new(image), BrokerConfig::default())
}

fn topic(name: &str) -> CreateTopic {
    CreateTopic {
        name: Str::from(name.to_owned()),
        num_partitions: 2,
        replication_factor: 1,
        ..CreateTopic::default()
    }
}

fn configured(name: &str, config: &'static str, value: Option<&'static str>) -> CreateTopic {
    let config = CreateTopicConfig {
        name: config.into(),
        value: value.map(Str::from_static),
    };
    CreateTopic {
        configs: vec![config],
        ..topic(name)
    }
}

/// A manual assignment of these partitions to these brokers.
fn assigned(name: &str, partitions: &[(i32, &[i32])], count: i32) -> CreateTopic {
    let assignment = |&(partition_index, brokers): &(i32, &[i32])| CreateTopicAssignment {
        partition_index,
        broker_ids: brokers.to_vec(),
    };
    CreateTopic {
        num_partitions: count,
        replication_factor: -1,
        assignments: partitions.iter().map(assignment).collect(),
        ..topic(name)
    }
}

fn create(client: &mut Client, topics: Vec<CreateTopic>, validate_only: bool) -> Vec<i16> {
    let request = CreateTopicsRequest {
        topics,
        validate_only,
        ..CreateTopicsRequest::default()
    };
    let answer = client.call(7, request);
    for topic in &answer.topics {
        assert_eq!(topic.error_message.is_some(), topic.error_code != 0);
        assert_eq!(topic.num_partitions < 0, topic.error_code != 0);
    }
    answer.topics.iter().map(|topic| topic.error_code).collect()
}

#[test]
fn each_error_of_create_topics() {
    let rig = Rig::with(BrokerConfig {
        broker_partitions_max: 20,
        replication_factor_clamp: false,
        ..BrokerConfig::default()
    });
    rig.topic("there", 1);
    let count = |num_partitions| CreateTopic {
        num_partitions,
        ..topic("t")
    };
    let copies = |replication_factor| CreateTopic {
        replication_factor,
        ..topic("t")
    };
    let counted = CreateTopic {
        replication_factor: 1,
        ..assigned("t", &[(0, &[1])], -1)
    };
    for (asked, error) in [
        (topic("a b"), 17),
        (topic(""), 17),
        (topic(".."), 17),
        (topic(&"x".repeat(250)), 17),
        (topic("__meta"), 17),
        (topic("__consumer_offsets"), 17),
        (topic("THERE"), 17),
        (topic("there"), 36),
        (count(0), 37),
        (count(-2), 37),
        (copies(0), 38),
        (copies(2), 38),
        (assigned("t", &[(0, &[2])], -1), 39),
        (assigned("t", &[(0, &[1, 1])], -1), 39),
        (assigned("t", &[(0, &[])], -1), 39),
        (assigned("t", &[(1, &[1])], -1), 39),
        (assigned("t", &[(0, &[1]), (0, &[1])], -1), 39),
        (assigned("t", &[(0, &[1])], 1), 42),
        (counted, 42),
        (configured("t", "no.such.config", Some("1")), 40),
        (configured("t", "retention.ms", Some("soon")), 40),
        (configured("t", "retention.ms", None), 40),
        (count(20), 44),
    ] {
        for validate_only in [true, false] {
            let answer = create(&mut rig.client(), vec![asked.clone()], validate_only);
            assert_eq!(answer, [error], "{asked:?}");
        }
    }
    assert_eq!(rig.service.topic_id("t"), None);
}

#[test]
fn a_request_with_good_and_bad_topics_creates_the_good_ones() {
    let rig = Rig::new();
    let mut client = rig.client();
    let asked = || {
        let twice = topic("twice");
        let bad = configured("bad", "retention.ms", Some("x"));
        vec![topic("a"), twice.clone(), bad, topic("b"), twice]
    };
    let once_each = [0, 42, 40, 0];
    assert_eq!(create(&mut client, asked(), true), once_each);
    assert_eq!(rig.service.topic_id("a"), None, "it was a dry run");
    assert_eq!(create(&mut client, asked(), false), once_each);
    for (name, is_there) in [("a", true), ("b", true), ("bad", false), ("twice", false)] {
        assert_eq!(rig.service.topic_id(name).is_some(), is_there, "{name}");
    }
}

fn more(name: &'static str, count: i32, brokers: Option<Vec<i32>>) -> CreatePartitionsTopic {
    let assignment = |broker_ids| CreatePartitionsAssignment { broker_ids };
    CreatePartitionsTopic {
        name: name.into(),
        count,
        assignments: brokers.map(|brokers| vec![assignment(brokers)]),
    }
}

#[test]
fn each_error_of_create_partitions_and_one_result_for_each_topic() {
    let rig = Rig::with(BrokerConfig {
        broker_partitions_max: 10,
        ..BrokerConfig::default()
    });
    for name in ["t", "u", "twice"] {
        rig.topic(name, 2);
    }
    let asked = vec![
        more("t", 3, Some(vec![1])),
        more("none", 3, None),
        more("twice", 3, None),
        more("u", 2, None),
        more("twice", 4, None),
    ];
    let expected = [("t", 0), ("none", 3), ("twice", 42), ("u", 37)];
    let mut client = rig.client();
    let mut call = |topics, validate_only| {
        let request = CreatePartitionsRequest {
            topics,
            validate_only,
            ..CreatePartitionsRequest::default()
        };
        client.call(3, request).results
    };
    for validate_only in [true, false] {
        let results = call(asked.clone(), validate_only);
        let found: Vec<_> = results
            .iter()
            .map(|one| (one.name.as_str(), one.error_code))
            .collect();
        assert_eq!(found, expected);
    }
    for (one, error) in [
        (more("u", 1, None), 37),
        (more("u", -1, None), 37),
        (more("u", 3, Some(vec![2])), 39),
        (more("u", 3, Some(vec![])), 39),
        (more("u", 4, Some(vec![1])), 39),
        (more("u", 9, None), 44),
    ] {
        assert_eq!(
            call(vec![one.clone()], false)[0].error_code,
            error,
            "{one:?}"
        );
    }
    assert_eq!(call(vec![more("t", 3, None)], false)[0].error_code, 37);
}

#[test]
fn each_error_of_delete_topics() {
    let rig = Rig::new();
    for name in ["t", "u", "twice"] {
        rig.topic(name, 1);
    }
    let id = Uuid(rig.service.topic_id("u").unwrap().0);
    let by = |name: Option<&'static str>, topic_id| DeleteTopic {
        name: name.map(Str::from_static),
        topic_id,
    };
    let request = |topics| DeleteTopicsRequest {
        topics,
        ..DeleteTopicsRequest::default()
    };
    let mut client = rig.client();
    let answer = client.call(
        6,
        request(vec![
            by(Some("none"), Uuid::NIL),
            by(None, Uuid([9; 16])),
            by(Some("t"), id),
            by(None, Uuid::NIL),
            by(Some("twice"), Uuid::NIL),
            by(Some("twice"), Uuid::NIL),
            by(None, id),
        ]),
    );
    let mut errors: Vec<i16> = answer.topics.iter().map(|one| one.error_code).collect();
    errors.sort_unstable();
    assert_eq!(errors, [0, 3, 42, 42, 42, 100], "one answer for twice");
    assert_eq!(rig.service.topic_id("u"), None);
    let strict = Rig::with(BrokerConfig {
        delete_topic_enable: false,
        ..BrokerConfig::default()
    });
    strict.topic("t", 1);
    for (version, error) in [(1, 42), (2, 42), (3, 73), (5, 73)] {
        let request = DeleteTopicsRequest {
            topic_names: vec!["t".into()],
            ..DeleteTopicsRequest::default()
        };
        let answer = strict.client().call(version, request);
        assert_eq!(answer.topics[0].error_code, error, "v{version}");
    }
}

#[test]
fn each_error_of_delete_records() {
    let rig = Rig::new();
    rig.topic("t", 2);
    let mut client = rig.client();
    let compacted = configured("c", "cleanup.policy", Some("compact"));
    assert_eq!(create(&mut client, vec![compacted], false), [0]);
    client.call(PRODUCE, produce("t", -1, batch(&["a", "b", "c"])));
    let mut delete = |topic: &'static str, index, offset| {
        let topic = DeleteRecordsTopic {
            name: topic.into(),
            partitions: vec![DeleteRecordsPartition { index, offset }],
        };
        let request = DeleteRecordsRequest {
            topics: vec![topic],
            ..DeleteRecordsRequest::default()
        };
        let answer = client.call(2, request);
        let one = &answer.topics[0].partitions[0];
        (one.error_code, one.low_watermark)
    };
    assert_eq!(delete("t", 0, 4), (1, -1), "beyond the high watermark");
    assert_eq!(delete("t", 0, -2), (1, -1));
    assert_eq!(delete("t", 7, 0), (3, -1));
    assert_eq!(delete("none", 0, 0), (3, -1));
    assert_eq!(delete("__meta", 0, 0), (17, -1));
    assert_eq!(delete("__consumer_offsets", 0, 0), (17, -1));
    assert_eq!(delete("c", 0, 0), (44, -1));
    // In the middle of the batch, and not back again.
    assert_eq!(delete("t", 0, 1), (0, 1));
    assert_eq!(delete("t", 0, 0), (0, 1));
    assert_eq!(delete("t", 0, -1), (0, 3));
    let below = |offset| {
        let fetched = rig.client().call(12, fetch("t", offset, 0));
        fetched.topics[0].partitions[0].error_code
    };
    assert_eq!((below(2), below(3)), (1, 0));
}

#[test]
fn each_error_of_list_offsets() {
    let fs = MemFs::new();
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    rig.topic("t", 2);
    let at = |index, current_leader_epoch, timestamp| ListOffsetsPartition {
        index,
        current_leader_epoch,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let partitions = vec![
        at(0, -1, -1),
        at(1, -1, -1),
        at(7, -1, -1),
        at(0, -1, -2),
        at(2, -1, -6),
    ];
    let name = |name, partitions| ListOffsetsTopic { name, partitions };
    let request = ListOffsetsRequest {
        topics: vec![
            name("t".into(), partitions),
            name("none".into(), vec![at(0, -1, -1)]),
        ],
        ..ListOffsetsRequest::default()
    };
    let answer = rig.client().call(9, request);
    let errors: Vec<(i32, i16, i64)> = answer.topics[0]
        .partitions
        .iter()
        .map(|one| (one.index, one.error_code, one.offset))
        .collect();
    assert_eq!(
        errors,
        [(0, 42, -1), (1, 0, 0), (7, 3, -1), (0, 42, -1), (2, 35, -1)]
    );
    assert_eq!(answer.topics[1].partitions[0].error_code, 3);
    // An empty log has a first offset, and the epoch in which it will be written.
    let request = |timestamp| ListOffsetsRequest {
        topics: vec![name("t".into(), vec![at(0, -1, timestamp)])],
        ..ListOffsetsRequest::default()
    };
    for timestamp in [-1, -2, -4] {
        let answer = rig.client().call(9, request(timestamp));
        let found = &answer.topics[0].partitions[0];
        assert_eq!((found.offset, found.leader_epoch), (0, 0), "{timestamp}");
    }
    // The epoch of a broker that never stopped uncleanly is 0.
    let one = |epoch| ListOffsetsRequest {
        topics: vec![name("t".into(), vec![at(0, epoch, -1)])],
        ..ListOffsetsRequest::default()
    };
    let error = |rig: &Rig, epoch| {
        let answer = rig.client().call(9, one(epoch));
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!([0, 1].map(|epoch| error(&rig, epoch)), [0, 75]);
    let rig = after_a_kill(&fs);
    assert_eq!([0, 1, 2].map(|epoch| error(&rig, epoch)), [74, 0, 75]);
}

#[test]
fn each_error_of_offset_for_leader_epoch() {
    let fs = MemFs::new();
    let before = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    before.topic("t", 1);
    let rig = after_a_kill(&fs);
    let ask = |name: &'static str, index, current_leader_epoch, leader_epoch| {
        let partition = EpochPartition {
            index,
            current_leader_epoch,
            leader_epoch,
        };
        let topic = EpochTopic {
            name: name.into(),
            partitions: vec![partition],
        };
        let request = OffsetForLeaderEpochRequest {
            topics: vec![topic],
            ..OffsetForLeaderEpochRequest::default()
        };
        let answer = rig.client().call(4, request);
        let end = &answer.topics[0].partitions[0];
        (end.error_code, end.leader_epoch, end.end_offset)
    };
    assert_eq!(ask("none", 0, -1, 0), (3, -1, -1));
    assert_eq!(ask("t", 1, -1, 0), (3, -1, -1));
    assert_eq!(ask("t", 0, 0, 0), (74, -1, -1));
    assert_eq!(ask("t", 0, 2, 0), (75, -1, -1));
    assert_eq!(ask("t", 0, 1, 1), (0, 1, 0));
    assert_eq!(ask("t", 0, -1, 2), (0, -1, -1));
    assert_eq!(ask("t", 0, -1, -1), (0, -1, -1));
}

fn page(
    topics: &[&'static str],
    limit: i32,
    cursor: Option<(&str, i32)>,
) -> DescribeTopicPartitionsRequest {
    let asked = |name: &&'static str| DescribeTopicPartitionsAsked {
        name: Str::from_static(name),
    };
    DescribeTopicPartitionsRequest {
        topics: topics.iter().map(asked).collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(name, partition_index)| DescribeTopicPartitionsCursor {
            topic_name: Str::from(name.to_owned()),
            partition_index,
        }),
    }
}

#[test]
fn partitions_come_page_by_page() {
    let rig = Rig::with(BrokerConfig {
        max_request_partition_size_limit: 3,
        ..BrokerConfig::default()
    });
    for (name, count) in [("b", 4), ("a", 2), ("c", 1)] {
        rig.topic(name, count);
    }
    let mut client = rig.client();
    let mut cursor: Option<(String, i32)> = None;
    let mut pages = Vec::new();
    loop {
        let from = cursor.as_ref().map(|(name, at)| (name.as_str(), *at));
        let answer = client.call(0, page(&[], i32::MAX, from));
        let mut found = Vec::new();
        for topic in &answer.topics {
            let name = topic.name.clone().unwrap();
            assert_eq!(topic.error_code, 0);
            assert_eq!(
                topic.topic_id.0,
                rig.service.topic_id(name.as_str()).unwrap().0
            );
            assert_eq!(topic.topic_authorized_operations, 3576);
            for one in &topic.partitions {
                assert_eq!((one.leader_id, &one.replica_nodes), (1, &vec![1]));
                assert_eq!((one.leader_epoch, &one.isr_nodes), (0, &vec![1]));
                found.push(format!("{}{}", name.as_str(), one.index));
            }
        }
        pages.push(found.join(" "));
        let Some(next) = answer.next_cursor else {
            break;
        };
        cursor = Some((next.topic_name.into(), next.partition_index));
    }
    assert_eq!(pages, ["a0 a1 b0", "b1 b2 b3", "c0"]);
    // A limit of nothing still goes on.
    let one = client.call(0, page(&["b"], 0, None));
    assert_eq!(one.topics[0].partitions.len(), 1);
    assert_eq!(one.next_cursor.unwrap().partition_index, 1);
}

#[test]
fn each_error_of_describe_topic_partitions() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let answer = client.call(0, page(&["t", "none", "a b"], 9, None));
    let errors: Vec<(&str, i16)> = answer
        .topics
        .iter()
        .map(|topic| (topic.name.as_deref().unwrap(), topic.error_code))
        .collect();
    assert_eq!(errors, [("a b", 17), ("none", 3), ("t", 0)]);
    for cursor in [("u", 0), ("t", -1)] {
        let answer = client.call(0, page(&["t"], 9, Some(cursor)));
        assert_eq!(answer.topics[0].error_code, 42);
        assert_eq!(answer.next_cursor, None);
    }
}
