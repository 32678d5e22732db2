//! How long the broker waits for a client: by a clock that is moved by hand.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::fetch::FetchRequest;

use crate::kit::{Client, FETCH, PRODUCE, Rig, batch, fetch, produce};

/// Moves the clock on, step by step, until the connection is closed; gives how far it went.
fn closed_after(
    rig: &Rig,
    client: &mut Client,
    step: Duration,
    steps_max: u32,
) -> Option<Duration> {
    let real = Some(Duration::from_millis(2));
    client.stream.set_read_timeout(real).unwrap();
    for steps in 1..=steps_max {
        rig.advance(step);
        match client.stream.read(&mut [0; 1]) {
            Ok(0) => return Some(step * steps),
            Ok(_) => panic!("an answer came"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(step * steps),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    None
}

#[test]
fn a_request_that_stops_half_way_ends_its_connection() {
    let rig = Rig::new();
    for begun in [
        &[0_u8, 0][..],
        &[0, 0, 1, 0, 0, 3],
        &[&[0, 1, 0, 0][..], &[0; 70]].concat(),
    ] {
        let mut client = rig.client();
        client.call(0, ApiVersionsRequest::default());
        client.write(begun);
        let after = closed_after(&rig, &mut client, Duration::from_secs(1), 590);
        assert!(
            after.is_some_and(|after| after >= Duration::from_secs(30)),
            "{after:?}"
        );
        let lines = client.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("less than 1024 bytes a second"),
            "{lines:?}"
        );
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_line() {
    let rig = Rig::with(BrokerConfig {
        connections_max_idle_ms: 100_000,
        ..BrokerConfig::default()
    });
    let mut client = rig.client();
    for _ in 0..5 {
        client.call(0, ApiVersionsRequest::default());
        rig.advance(Duration::from_millis(99_000));
    }
    client.call(0, ApiVersionsRequest::default());
    let after = closed_after(&rig, &mut client, Duration::from_secs(1), 5000);
    assert!(
        after.is_some_and(|after| after >= Duration::from_secs(100)),
        "{after:?}"
    );
    assert_eq!(client.lines(), Vec::<String>::new());
}

#[test]
fn a_parked_request_is_not_idle() {
    let rig = Rig::with(BrokerConfig {
        connections_max_idle_ms: 10_000,
        ..BrokerConfig::default()
    });
    rig.topic("t", 1);
    let mut client = rig.client();
    client.send(FETCH, fetch("t", 0, 100_000));
    rig.until_parked(1);
    assert_eq!(
        closed_after(&rig, &mut client, Duration::from_secs(1), 90),
        None
    );
    client.stream.set_read_timeout(None).unwrap();
    rig.advance(Duration::from_secs(10));
    client.receive::<FetchRequest>(FETCH);
    // Its idle time counts from the answer on.
    rig.advance(Duration::from_secs(9));
    client.call(0, ApiVersionsRequest::default());
}

#[test]
fn a_client_that_takes_no_answer_is_given_up() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let value = "x".repeat(1_000_000);
    assert_eq!(
        client
            .call(PRODUCE, produce("t", -1, batch(&[&value])))
            .topics[0]
            .partitions[0]
            .error_code,
        0
    );
    // More than any socket buffers.
    for _ in 0..64 {
        client.send(FETCH, fetch("t", 0, 0));
    }
    crate::kit::until(|| {
        rig.advance(Duration::from_millis(10));
        !client.lines().is_empty()
    });
    let waited = rig.clock_since_start();
    assert!(waited >= Duration::from_secs(60), "{waited:?}");
    let line = client.lines().remove(0);
    assert!(line.contains("took no byte of an answer"), "{line}");
}
