//! Bytes that no honest client sends: they are answered with a failure, or the connection is cut,
//! and nobody else pays.

use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::varint;

use crate::kit::{Client, Rig, code, fetch};

#[test]
fn who_speaks_another_protocol_is_cut_off_and_named() {
    let kafka: &[u8] = &[0, 0, 0, 11, 0, 18, 0, 3, 0, 0, 0, 1, 0, 1, b'c'];
    for (sent, text) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            "the peer speaks HTTP",
        ),
        (&[0x16, 3, 1, 0, 200, 1, 0, 0, 196], "the peer speaks TLS"),
        (kafka, "the peer speaks Kafka's protocol"),
    ] {
        // A broker of its own: so loudly it is said once a minute.
        let rig = Rig::new();
        let mut client = Client::connect(rig.address);
        client.write(sent);
        client.is_closed();
        client.line_with(text);
        rig.client();
    }
}

#[test]
fn a_first_frame_that_is_no_hello_ends_its_connection() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.address);
    client.send(fetch("orders", 0, 0), b"");
    client.is_closed();
    client.line_with("is not Hello");
    for sent in [
        &[0, 0, 0, 3, 1, 0, 0][..],
        &[0, 1, 0, 0, 1, 0, 0, 0],
        &[0, 0, 0, 4, 9, 0, 0, 0],
        &[0, 0, 0, 4, 1, 0, 0, 1],
        &[0, 0, 0, 5, 1, 0, 0, 1, 0xff],
        &[0, 0, 0, 4, 1, 0, 0, 0],
    ] {
        let mut client = Client::connect(rig.address);
        client.write(sent);
        client.is_closed();
        client.line_with("native");
    }
}

#[test]
fn a_frame_that_does_not_parse_ends_its_connection() {
    let rig = Rig::with(BrokerConfig {
        socket_request_max_bytes: 64 * 1024,
        ..BrokerConfig::default()
    });
    let amplified = {
        let list = [4 << 3 | 2, 0].repeat(15_000);
        let mut head = vec![8 << 3 | 2];
        varint::put_u32(&mut head, u32::try_from(list.len()).unwrap());
        head.extend(list);
        let head_size = u32::try_from(head.len()).unwrap();
        let frame_size = (head_size + 4).to_be_bytes();
        [&frame_size[..], &[1], &head_size.to_be_bytes()[1..], &head].concat()
    };
    for (sent, text) in [
        (&[0, 2, 0, 0][..], "exceeds the limit"),
        (&[0, 0, 0, 4, 2, 0, 0, 0], "has version 2"),
        (&[0, 0, 0, 4, 1, 0, 0, 9], "does not fit into its frame"),
        (&[0, 0, 0, 5, 1, 0, 0, 1, 0xff], "is no message"),
        (&amplified, "more empty events"),
    ] {
        let mut client = rig.client();
        client.write(sent);
        client.is_closed();
        client.line_with(text);
    }
    assert_eq!(rig.service.parked_count(), 0);
    rig.client();
}

#[test]
fn a_call_that_is_not_known_is_answered() {
    let rig = Rig::new();
    let mut client = rig.client();
    // Correlation 5, and a call with tag 100.
    client.write(&[0, 0, 0, 9, 1, 0, 0, 5, 8, 5, 0xa2, 6, 0]);
    let (correlation, answer, _) = client.receive();
    assert_eq!(correlation, 5);
    let v1::response::Answer::Failure(failure) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(failure.code, code(ErrorCode::UnsupportedVersion));
    let again = Call::Hello(v1::Hello::default());
    let failure = client.refused(again, b"");
    assert_eq!(failure.code, code(ErrorCode::InvalidRequest));
}

/// Moves the clock on until the connection is closed.
fn closed_by_the_clock(rig: &Rig, client: &mut Client, step: Duration) {
    let ended = || rig.service.metrics().closed_connections.value() > 0;
    crate::kit::until(|| {
        rig.clock.advance(step);
        ended()
    });
    client.is_closed();
}

#[test]
fn who_says_nothing_or_too_little_is_cut_off() {
    for (sent, text) in [
        (&[0, 0, 0][..], Some("less than 1024 bytes a second")),
        (&[0, 0, 0, 40, 1], Some("less than 1024 bytes a second")),
        (&[], None),
    ] {
        let rig = Rig::new();
        let mut client = Client::connect(rig.address);
        client.write(sent);
        closed_by_the_clock(&rig, &mut client, Duration::from_millis(100));
        match text {
            Some(text) => client.line_with(text),
            None => assert!(client.lines().is_empty()),
        }
    }
}

#[test]
fn connections_count_with_those_of_kafka() {
    let rig = Rig::with(BrokerConfig {
        max_connections: 2,
        ..BrokerConfig::default()
    });
    let kafka = rig.broker.bootstrap_servers();
    let _kafka = std::net::TcpStream::connect(kafka).unwrap();
    crate::kit::until(|| rig.service.metrics().connections.value() == 1);
    let _native = rig.client();
    let mut third = Client::connect(rig.address);
    third.is_closed();
    third.line_with("as many as max.connections allows");
}
