//! The end: nobody new, everybody answered, nothing lost.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::fetch::FetchRequest;
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::kafka::messages::produce::ProduceRequest;

use crate::disk::FaultyFs;
use crate::kit::{FETCH, PRODUCE, Rig, batch, fetch, produce, until};

fn is_deaf(rig: &Rig) -> bool {
    TcpStream::connect(rig.address).is_err()
}

#[test]
fn a_parked_fetch_is_answered_and_its_connection_closed() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let mut idle = rig.client();
    client.send(FETCH, fetch("t", 0, 60_000));
    rig.until_parked(1);
    rig.broker.shutdown_blocking().unwrap();
    let (_, fetched) = client.receive::<FetchRequest>(FETCH);
    assert_eq!(fetched.topics[0].partitions[0].error_code, 0);
    assert!(client.is_closed() && idle.is_closed());
    assert!(is_deaf(&rig));
    assert!(rig.broker.listen_kafka("127.0.0.1:0").is_err());
    rig.broker.shutdown_blocking().unwrap();
}

#[test]
fn what_is_under_way_is_finished() {
    let fs = FaultyFs::new(MemFs::new());
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    rig.topic("t", 1);
    let mut client = rig.client();
    client.call(PRODUCE, produce("t", -1, batch(&["a"])));
    let held = fs.faults.hold_syncs();
    let before = rig.service.metrics().produced_bytes.value();
    client.send(PRODUCE, produce("t", -1, batch(&["b"])));
    until(|| rig.service.metrics().produced_bytes.value() > before);
    std::thread::scope(|scope| {
        let end = scope.spawn(|| rig.broker.shutdown_blocking());
        until(|| is_deaf(&rig));
        drop(held);
        let (_, produced) = client.receive::<ProduceRequest>(PRODUCE);
        assert_eq!(produced.topics[0].partitions[0].base_offset, 1);
        assert!(client.is_closed());
        end.join().unwrap().unwrap();
    });
}

#[test]
fn what_does_not_end_within_the_grace_is_cut_off() {
    let fs = FaultyFs::new(MemFs::new());
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    rig.topic("t", 1);
    let mut client = rig.client();
    client.call(PRODUCE, produce("t", -1, batch(&["a"])));
    let held = fs.faults.hold_syncs();
    let before = rig.service.metrics().produced_bytes.value();
    client.send(PRODUCE, produce("t", -1, batch(&["b"])));
    until(|| rig.service.metrics().produced_bytes.value() > before);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = scope.spawn(|| {
            let ended = rig.broker.shutdown_blocking();
            is_over.store(true, Ordering::Release);
            ended
        });
        until(|| is_deaf(&rig));
        // For as long as it takes: on a busy machine the grace may begin late.
        let clock = scope.spawn(|| {
            until(|| {
                rig.advance(Duration::from_millis(1));
                is_over.load(Ordering::Acquire) || rig.service.poisoned().is_some()
            });
        });
        assert!(client.is_closed());
        drop(held);
        clock.join().unwrap();
        end.join().unwrap().unwrap();
    });
    assert!(rig.clock_since_start() >= Duration::from_secs(5));
}

#[test]
fn under_load_nothing_that_was_acknowledged_is_lost_and_the_stop_is_clean() {
    let fs = MemFs::new();
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    let topics = ["a", "b", "c"];
    for topic in topics {
        rig.topic(topic, 1);
    }
    let acknowledged = topics.map(|_| AtomicUsize::new(0));
    produce_until_the_end(&rig, &topics, &acknowledged);
    drop(rig);
    let rig = Rig::over(Arc::new(fs), BrokerConfig::default());
    let mut client = rig.client();
    for (topic, acknowledged) in topics.iter().zip(&acknowledged) {
        let partitions = vec![ListOffsetsPartition {
            timestamp: -1,
            ..Default::default()
        }];
        let asked = vec![ListOffsetsTopic {
            name: Str::from_static(topic),
            partitions,
        }];
        let listed = client.call(
            5,
            ListOffsetsRequest {
                topics: asked,
                ..Default::default()
            },
        );
        let end = listed.topics[0].partitions[0].offset;
        assert!(
            end >= i64::try_from(acknowledged.load(Ordering::Relaxed)).unwrap(),
            "{topic}"
        );
        let topics = Some(vec![MetadataTopic {
            name: Some((*topic).into()),
            ..Default::default()
        }]);
        let metadata = client.call(
            9,
            MetadataRequest {
                topics,
                ..Default::default()
            },
        );
        assert_eq!(
            metadata.topics[0].partitions[0].leader_epoch, 0,
            "the stop was clean"
        );
    }
}

/// Produces to each topic over a connection of its own, and shuts down in the midst of it.
fn produce_until_the_end(rig: &Rig, topics: &[&'static str], acknowledged: &[AtomicUsize]) {
    std::thread::scope(|scope| {
        for (topic, acknowledged) in topics.iter().zip(acknowledged) {
            let mut client = rig.client();
            scope.spawn(move || {
                let frames: Vec<_> = (0..4)
                    .map(|_| client.frame(PRODUCE, produce(topic, -1, batch(&["v"]))))
                    .collect();
                while let Some(answers) = client.try_call_all(&frames) {
                    acknowledged.fetch_add(answers, Ordering::Relaxed);
                    if answers < frames.len() {
                        break;
                    }
                }
            });
        }
        until(|| {
            acknowledged
                .iter()
                .all(|count| count.load(Ordering::Relaxed) >= 40)
        });
        rig.broker.shutdown_blocking().unwrap();
    });
}

#[test]
fn a_dropped_broker_closes_its_connections_and_its_port() {
    let rig = Rig::new();
    let mut client = rig.client();
    client.call(1, MetadataRequest::default());
    let Rig {
        broker, address, ..
    } = rig;
    drop(broker);
    assert!(client.is_closed());
    until(|| TcpStream::connect(address).is_err());
}
