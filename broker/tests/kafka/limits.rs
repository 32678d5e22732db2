//! What one connection, one address and all together may take.

use std::sync::Arc;
use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::produce::ProduceRequest;

use crate::disk::FaultyFs;
use crate::kit::{Client, PRODUCE, Rig, batch, produce, until};

/// Long enough for the broker to do what it should not do.
fn let_it_work(client: &mut Client) {
    for _ in 0..200 {
        assert_eq!(client.call(0, ApiVersionsRequest::default()).error_code, 0);
    }
}

/// Sends five produces while nothing becomes durable; so many of them may be under way.
fn under_way_is(config: BrokerConfig, count: u64) {
    let fs = FaultyFs::new(MemFs::new());
    let rig = Rig::over(Arc::new(fs.clone()), config);
    rig.topic("t", 1);
    let mut client = rig.client();
    client.call(PRODUCE, produce("t", -1, batch(&["first"])));
    let before = rig.service.metrics().produced_bytes.value();
    let held = fs.faults.hold_syncs();
    let one = batch(&["x"]);
    for _ in 0..5 {
        client.send(PRODUCE, produce("t", -1, one.clone()));
    }
    let enqueued = || (rig.service.metrics().produced_bytes.value() - before) / one.len() as u64;
    until(|| enqueued() == count);
    let_it_work(&mut rig.client());
    assert_eq!(enqueued(), count);
    drop(held);
    for id in 1..6 {
        let (received, produced) = client.receive::<ProduceRequest>(PRODUCE);
        assert_eq!(
            (received, produced.topics[0].partitions[0].base_offset),
            (id, id.into())
        );
    }
}

#[test]
fn requests_under_way_are_counted() {
    under_way_is(
        BrokerConfig {
            connection_requests_max: 2,
            ..BrokerConfig::default()
        },
        2,
    );
}

#[test]
fn bytes_under_way_are_counted_and_a_larger_request_goes_alone() {
    let config = BrokerConfig {
        connection_requests_max_bytes: 1,
        ..BrokerConfig::default()
    };
    under_way_is(config, 1);
}

#[test]
fn without_a_limit_in_the_way_all_are_under_way() {
    under_way_is(BrokerConfig::default(), 5);
}

#[test]
fn connections_from_one_address_are_limited_and_a_place_comes_free() {
    let rig = Rig::with(BrokerConfig {
        max_connections_per_ip: 2,
        ..BrokerConfig::default()
    });
    is_full_at_two(&rig, "max.connections.per.ip");
}

#[test]
fn connections_are_limited_and_a_place_comes_free() {
    let rig = Rig::with(BrokerConfig {
        max_connections: 2,
        ..BrokerConfig::default()
    });
    is_full_at_two(&rig, "max.connections allows");
}

fn is_full_at_two(rig: &Rig, why: &str) {
    let (mut one, mut two) = (rig.client(), rig.client());
    let_it_work(&mut one);
    let_it_work(&mut two);
    let mut three = rig.client();
    assert!(three.is_closed());
    let lines = three.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(why), "{lines:?}");
    drop(one);
    until(|| {
        let mut next = rig.client();
        let hello = next.frame(0, ApiVersionsRequest::default());
        next.try_call(&hello).is_some()
    });
    let_it_work(&mut two);
}

#[test]
fn new_connections_wait_when_they_come_too_fast() {
    let config = BrokerConfig {
        max_connection_creation_rate: 2,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    let mut first = rig.client();
    let_it_work(&mut first);
    let_it_work(&mut rig.client());
    let mut third = rig.client();
    third.send(0, ApiVersionsRequest::default());
    let_it_work(&mut first);
    assert_eq!(rig.service.metrics().connections.value(), 2);
    rig.advance(Duration::from_millis(500));
    third.receive::<ApiVersionsRequest>(0);
    assert_eq!(rig.service.metrics().connections.value(), 3);
}

#[test]
fn a_large_request_comes_through_whole() {
    let rig = Rig::with(BrokerConfig {
        socket_request_max_bytes: 1 << 20,
        queued_max_request_bytes: 1 << 20,
        ..BrokerConfig::default()
    });
    rig.topic("t", 1);
    let value = "x".repeat(900_000);
    let mut clients = [rig.client(), rig.client(), rig.client()];
    for _ in 0..3 {
        for client in &mut clients {
            client.send(PRODUCE, produce("t", -1, batch(&[&value])));
        }
        for client in &mut clients {
            let (_, produced) = client.receive::<ProduceRequest>(PRODUCE);
            assert_eq!(produced.topics[0].partitions[0].error_code, 0);
        }
    }
}
