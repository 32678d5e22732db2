//! Answers leave in the order of the requests, and requests take effect in it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::create_topics::{CreateTopic, CreateTopicsRequest};
use highwater_proto::kafka::messages::fetch::FetchRequest;
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use highwater_proto::kafka::messages::metadata::MetadataRequest;
use highwater_proto::kafka::messages::produce::ProduceRequest;

use crate::disk::FaultyFs;
use crate::kit;
use crate::kit::{FETCH, PRODUCE, Rig, batch, fetch, produce};

fn latest(topic: &'static str) -> ListOffsetsRequest {
    let partitions = vec![ListOffsetsPartition {
        timestamp: -1,
        ..Default::default()
    }];
    let topics = vec![ListOffsetsTopic {
        name: Str::from_static(topic),
        partitions,
    }];
    ListOffsetsRequest {
        topics,
        ..ListOffsetsRequest::default()
    }
}

#[test]
fn a_parked_fetch_delays_what_comes_after_it_and_nothing_else() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let frames = [
        client.frame(PRODUCE, produce("t", 1, batch(&["a"]))),
        client.frame(PRODUCE, produce("t", 0, batch(&["b"]))),
        client.frame(FETCH, fetch("t", 2, 60_000)),
        client.frame(12, MetadataRequest::default()),
        client.frame(PRODUCE, produce("t", 0, batch(&["d"]))),
        client.frame(PRODUCE, produce("t", -1, batch(&["e"]))),
        client.frame(5, latest("t")),
    ];
    client.write(&frames.concat());
    assert_eq!(client.receive::<ProduceRequest>(PRODUCE).0, 0);
    rig.until_parked(1);
    // Neither 1 nor 0 wait for what is written to be durable, and so to be read.
    let other = RefCell::new(rig.client());
    kit::until(|| other.borrow_mut().call(5, latest("t")).topics[0].partitions[0].offset == 2);

    let answer = rig.client().call(PRODUCE, produce("t", -1, batch(&["c"])));
    assert_eq!(answer.topics[0].partitions[0].base_offset, 2);
    let (id, fetched) = client.receive::<FetchRequest>(FETCH);
    assert_eq!(id, 2);
    assert_eq!(fetched.topics[0].partitions[0].high_watermark, 3);
    assert_eq!(client.receive::<MetadataRequest>(12).0, 3);
    let (id, produced) = client.receive::<ProduceRequest>(PRODUCE);
    assert_eq!((id, produced.topics[0].partitions[0].base_offset), (5, 4));
    let (id, listed) = client.receive::<ListOffsetsRequest>(5);
    assert_eq!((id, listed.topics[0].partitions[0].offset), (6, 5));
}

#[test]
fn a_long_poll_ends_when_its_time_has_come() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    client.send(FETCH, fetch("t", 0, 500));
    rig.until_parked(1);
    rig.advance(Duration::from_millis(500));
    let (_, fetched) = client.receive::<FetchRequest>(FETCH);
    assert_eq!(fetched.topics[0].partitions[0].error_code, 0);
    assert!(fetched.topics[0].partitions[0].records.is_empty());
    assert_eq!(fetched.throttle_time_ms, 0);
}

#[test]
fn a_topic_can_be_produced_to_by_the_request_after_the_one_that_creates_it() {
    let rig = Rig::new();
    let mut client = rig.client();
    let topic = CreateTopic {
        name: Str::from_static("t"),
        num_partitions: 1,
        replication_factor: 1,
        ..CreateTopic::default()
    };
    let create = CreateTopicsRequest {
        topics: vec![topic],
        ..Default::default()
    };
    let frames = [
        client.frame(5, create),
        client.frame(PRODUCE, produce("t", -1, batch(&["a"]))),
    ];
    client.write(&frames.concat());
    assert_eq!(
        client.receive::<CreateTopicsRequest>(5).1.topics[0].error_code,
        0
    );
    let (_, produced) = client.receive::<ProduceRequest>(PRODUCE);
    assert_eq!(produced.topics[0].partitions[0].error_code, 0);
}

#[test]
fn pipelined_produces_are_enqueued_before_the_first_is_durable_and_a_read_waits_for_them() {
    let fs = FaultyFs::new(MemFs::new());
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    rig.topic("t", 1);
    let mut client = rig.client();
    client.call(PRODUCE, produce("t", -1, batch(&["first"])));
    let before = rig.service.metrics().produced_bytes.value();
    let held = fs.faults.hold_syncs();
    let one = batch(&["x"]);
    for _ in 0..5 {
        client.send(PRODUCE, produce("t", -1, one.clone()));
    }
    client.send(5, latest("t"));
    let all = before + 5 * one.len() as u64;
    kit::until(|| rig.service.metrics().produced_bytes.value() == all);
    drop(held);
    for (id, offset) in (1..6).zip(1..) {
        let (received, produced) = client.receive::<ProduceRequest>(PRODUCE);
        assert_eq!(
            (received, produced.topics[0].partitions[0].base_offset),
            (id, offset)
        );
    }
    let (id, listed) = client.receive::<ListOffsetsRequest>(5);
    assert_eq!((id, listed.topics[0].partitions[0].offset), (6, 6));
}

#[test]
fn acks_0_that_fails_closes_the_connection_after_what_came_before() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let frames = [
        client.frame(PRODUCE, produce("t", -1, batch(&["a"]))),
        client.frame(PRODUCE, produce("unknown", 0, batch(&["b"]))),
        client.frame(12, MetadataRequest::default()),
    ];
    client.write(&frames.concat());
    assert_eq!(client.receive::<ProduceRequest>(PRODUCE).0, 0);
    assert!(client.is_closed());
    let lines = client.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("acks 0"), "{lines:?}");
}

#[test]
fn what_was_sent_before_the_client_closed_takes_effect() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    // The fetch would wait for a minute that never passes; nobody wants its answer.
    client.send(FETCH, fetch("t", 0, 60_000));
    for _ in 0..10 {
        client.send(PRODUCE, produce("t", 0, batch(&["a"])));
    }
    drop(client);
    // Written is what acks 0 is; what can be read is durable a moment later.
    let other = RefCell::new(rig.client());
    let end = || other.borrow_mut().call(5, latest("t")).topics[0].partitions[0].offset;
    kit::until(|| end() == 10);
    assert_eq!(rig.service.parked_count(), 0);
}

#[test]
fn two_clients_side_by_side_do_not_wait_for_each_other() {
    let rig = Rig::new();
    rig.topic("a", 1);
    rig.topic("b", 1);
    let (mut one, mut two) = (rig.client(), rig.client());
    one.send(FETCH, fetch("a", 0, 60_000));
    rig.until_parked(1);
    for offset in 0..50 {
        let produced = two.call(PRODUCE, produce("b", -1, batch(&["v"])));
        assert_eq!(produced.topics[0].partitions[0].base_offset, offset);
        let fetched = two.call(FETCH, fetch("b", offset, 60_000));
        assert_eq!(fetched.topics[0].partitions[0].high_watermark, offset + 1);
    }
    two.call(PRODUCE, produce("a", -1, batch(&["v"])));
    let (_, fetched) = one.receive::<FetchRequest>(FETCH);
    assert_eq!(fetched.topics[0].partitions[0].high_watermark, 1);
}
