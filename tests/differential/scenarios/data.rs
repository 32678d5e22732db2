//! Records: what is appended, and what is read back.

use bytes::Bytes;
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::compress::Codec;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::ApiKey;
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use highwater_proto::kafka::messages::init_producer_id::InitProducerIdRequest;
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use highwater_proto::kafka::messages::offset_for_leader_epoch::{
    EpochPartition, EpochTopic, OffsetForLeaderEpochRequest,
};
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};

use crate::peer::Peer;

pub(super) fn produce(peer: &mut Peer) {
    let name = format!("produce{}", peer.run);
    peer.topic(&name, 1, &[("max.message.bytes", "500"), FOREVER]);
    for version in peer.versions(ApiKey::Produce) {
        for (what, records) in batches() {
            if records.is_none() && version < peer.newest(ApiKey::Produce) {
                // Kafka never answers it: to wait for that once is enough.
                continue;
            }
            let request = produce_of(&name, 0, -1, records);
            peer.ask("odd", what, version, request);
        }
        let good = || Some(batch(&[0, 1], None, Codec::None));
        let request = produce_of(&name, 0, 5, good());
        peer.ask("odd", "acks 5", version, request);
        let request = produce_of(&name, 0, 1, good());
        peer.ask("odd", "acks 1", version, request);
        let request = produce_of(&name, 9, -1, good());
        peer.ask("odd", "an unknown partition", version, request);
        let request = produce_of("no-such-topic", 0, -1, good());
        peer.ask("odd", "an unknown topic", version, request);
    }
}

fn batches() -> Vec<(&'static str, Option<Bytes>)> {
    let good = batch(&[0, 1, 2], None, Codec::None);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        Some(bytes.into())
    };
    let twice = [good.as_ref(), good.as_ref()].concat();
    let long: Vec<i64> = (0..100).collect();
    vec![
        ("one good batch", Some(good.clone())),
        ("gzip", Some(batch(&[0, 1], None, Codec::Gzip))),
        ("lz4", Some(batch(&[0, 1], None, Codec::Lz4))),
        ("snappy", Some(batch(&[0, 1], None, Codec::Snappy))),
        ("null records", None),
        ("empty records", Some(Bytes::new())),
        ("two batches", Some(twice.into())),
        ("a broken checksum", with(20, good[20] ^ 1)),
        ("a broken value", with(good.len() - 3, b'!')),
        ("magic 1", with(16, 1)),
        (
            "more than max.message.bytes",
            Some(batch(&long, None, Codec::None)),
        ),
    ]
}

pub(super) fn idempotence(peer: &mut Peer) {
    let name = format!("idempotence{}", peer.run);
    peer.topic(&name, 1, &[FOREVER]);
    let newest = peer.newest(ApiKey::InitProducerId);
    // Kafka hands out ids when its coordinator of transactions is loaded.
    while peer.quietly(InitProducerIdRequest::default()).error_code != 0 {}
    for version in peer.versions(ApiKey::InitProducerId) {
        let request = InitProducerIdRequest {
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        peer.ask("main", "a producer id", version, request);
    }
    let given = peer.ask("main", "mine", newest, InitProducerIdRequest::default());
    let id = given.expect("an id is given").producer_id;
    let mut ask = |what: &str, epoch: i16, base_sequence: i32, count: i64| {
        let producer = Producer {
            id,
            epoch,
            base_sequence,
        };
        let times: Vec<i64> = (0..count).collect();
        let records = batch(&times, Some(producer), Codec::None);
        peer.ask_newest(what, produce_of(&name, 0, -1, Some(records)));
    };
    ask("the first", 0, 0, 2);
    ask("the first again", 0, 0, 2);
    ask("a gap", 0, 7, 1);
    ask("the second", 0, 2, 1);
    ask("the third", 0, 3, 1);
    ask("the second again", 0, 2, 1);
    ask("the fourth", 0, 4, 1);
    ask("the fifth", 0, 5, 1);
    ask("the sixth", 0, 6, 1);
    ask("the seventh", 0, 7, 1);
    ask("the first, out of the window", 0, 0, 2);
    ask("a part of an old one", 0, 0, 1);
    ask("a new epoch from 5", 1, 5, 1);
    ask("a new epoch from 0", 1, 0, 1);
    ask("the old epoch", 0, 8, 1);
    ask("the new epoch goes on", 1, 1, 1);
}

pub(super) fn fetch(peer: &mut Peer) {
    let name = format!("fetch{}", peer.run);
    peer.topic(&name, 2, &[FOREVER]);
    for count in [3, 1, 5] {
        let times: Vec<i64> = (0..count).collect();
        let records = batch(&times, None, Codec::None);
        peer.ask_newest("fill", produce_of(&name, 0, -1, Some(records)));
    }
    // Newer versions name the topic by its id.
    let versions = peer
        .versions(ApiKey::Fetch)
        .filter(|version| *version <= 12);
    for version in versions.collect::<Vec<_>>() {
        for offset in -1..=11 {
            let request = fetch_of(&name, &[(0, offset, 1 << 20)], 1 << 20);
            peer.ask("main", &format!("offset {offset}"), version, request);
        }
        for bytes in [0, 1, 70, 150, 200, 1000] {
            let request = fetch_of(&name, &[(0, 1, bytes)], 1 << 20);
            peer.ask(
                "main",
                &format!("{bytes} of the partition"),
                version,
                request,
            );
            let request = fetch_of(&name, &[(1, 0, 1 << 20), (0, 1, 1 << 20)], bytes);
            peer.ask("main", &format!("{bytes} in all"), version, request);
        }
        let request = fetch_of(&name, &[(7, 0, 100)], 100);
        peer.ask("main", "an unknown partition", version, request);
        let request = fetch_of("no-such-topic", &[(0, 0, 100)], 100);
        peer.ask("main", "an unknown topic", version, request);
        if version >= 9 {
            for epoch in [0, 1, 7] {
                let mut request = fetch_of(&name, &[(0, 0, 100)], 100);
                request.topics[0].partitions[0].current_leader_epoch = epoch;
                peer.ask("main", &format!("leader epoch {epoch}"), version, request);
            }
        }
    }
}

pub(super) fn list_offsets(peer: &mut Peer) {
    let name = format!("list-offsets{}", peer.run);
    peer.topic(&name, 2, &[FOREVER]);
    for times in [vec![10, 30, 20], vec![5], vec![40, 40, 60]] {
        let records = batch(&times, None, Codec::Lz4);
        peer.ask_newest("fill", produce_of(&name, 0, -1, Some(records)));
    }
    for version in peer
        .versions(ApiKey::ListOffsets)
        .filter(|version| *version >= 1)
    {
        let special = match version {
            ..=6 => -2..=-1,
            7 => -3..=-1,
            8 => -4..=-1,
            _ => -5..=-1,
        };
        let times = [0, 5, 6, 10, 20, 25, 30, 31, 40, 41, 60, 61].map(|time| START_MS + time);
        for timestamp in special.chain(times).chain([0]) {
            for partition in [0, 1] {
                let request = offsets_of(&name, partition, timestamp);
                let what = format!("partition {partition}, time {timestamp}");
                peer.ask("main", &what, version, request);
            }
        }
        peer.ask(
            "main",
            "an unknown partition",
            version,
            offsets_of(&name, 9, -1),
        );
        peer.ask(
            "main",
            "an unknown topic",
            version,
            offsets_of("no-such-topic", 0, -1),
        );
    }
}

pub(super) fn delete_records(peer: &mut Peer) {
    let name = format!("delete-records{}", peer.run);
    peer.topic(&name, 1, &[FOREVER]);
    let records = batch(&[0, 1, 2, 3, 4], None, Codec::None);
    peer.ask_newest("fill", produce_of(&name, 0, -1, Some(records)));
    for version in peer.versions(ApiKey::DeleteRecords) {
        for (topic, partition, offset) in [
            (name.as_str(), 0, i64::from(version) + 1),
            (&name, 0, 0),
            (&name, 0, 6),
            (&name, 0, -2),
            (&name, 7, 0),
            ("no-such-topic", 0, 0),
        ] {
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: Str::from(topic.to_owned()),
                    partitions: vec![DeleteRecordsPartition {
                        index: partition,
                        offset,
                    }],
                }],
                timeout_ms: 30_000,
            };
            let what = format!("partition {partition} below {offset}");
            peer.ask("main", &what, version, request);
        }
        let request = fetch_of(&name, &[(0, i64::from(version) + 1, 1 << 20)], 1 << 20);
        peer.ask("main", "what is left", 11, request);
        let request = fetch_of(&name, &[(0, 0, 1 << 20)], 1 << 20);
        peer.ask("main", "what is gone", 11, request);
    }
}

pub(super) fn leader_epochs(peer: &mut Peer) {
    let name = format!("epochs{}", peer.run);
    peer.topic(&name, 1, &[FOREVER]);
    let records = batch(&[0, 1, 2], None, Codec::None);
    peer.ask_newest("fill", produce_of(&name, 0, -1, Some(records)));
    for version in peer.versions(ApiKey::OffsetForLeaderEpoch) {
        for (current, epoch) in [(-1, 0), (0, 0), (-1, 5), (-1, -1), (3, 0)] {
            for (topic, partition) in [(name.as_str(), 0), (&name, 4), ("no-such-topic", 0)] {
                let request = OffsetForLeaderEpochRequest {
                    topics: vec![EpochTopic {
                        name: Str::from(topic.to_owned()),
                        partitions: vec![EpochPartition {
                            index: partition,
                            current_leader_epoch: current,
                            leader_epoch: epoch,
                        }],
                    }],
                    ..OffsetForLeaderEpochRequest::default()
                };
                let what = format!("{current}, {epoch} of partition {partition}");
                peer.ask("main", &what, version, request);
            }
        }
    }
}

/// One batch; its records have these times after the start, and values of one length.
pub(super) fn batch(times: &[i64], producer: Option<Producer>, codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.set_producer(producer);
    for (number, time) in times.iter().enumerate() {
        let value = format!("value {number:04}");
        builder
            .append(START_MS + time, Some(b"key"), Some(value.as_bytes()), &[])
            .expect("the batch has room");
    }
    builder.build().expect("a batch with a record can be built")
}

pub(super) fn produce_of(
    topic: &str,
    partition: i32,
    acks: i16,
    records: Option<Bytes>,
) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topics: vec![ProduceTopic {
            name: Str::from(topic.to_owned()),
            partitions: vec![ProducePartition {
                index: partition,
                records,
            }],
        }],
        ..ProduceRequest::default()
    }
}

fn fetch_of(topic: &str, partitions: &[(i32, i64, i32)], max_bytes: i32) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|(index, offset, bytes)| FetchPartition {
            index: *index,
            fetch_offset: *offset,
            max_bytes: *bytes,
            ..FetchPartition::default()
        });
    FetchRequest {
        max_bytes,
        min_bytes: 1,
        topics: vec![FetchTopic {
            name: Str::from(topic.to_owned()),
            partitions: partitions.collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

fn offsets_of(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: Str::from(topic.to_owned()),
            partitions: vec![ListOffsetsPartition {
                index: partition,
                timestamp,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    }
}

/// The records are old: what Kafka's retention does to them is not asked here.
pub(super) const FOREVER: (&str, &str) = ("retention.ms", "-1");
/// 2023-11-14.
const START_MS: i64 = 1_700_000_000_000;
