//! What is no TLS on a TLS port, and TLS on a plaintext port.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use highwater_proto::kafka::ApiRequest;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;

use crate::logs;
use crate::rig::{Client, Rig, client_config, connect, is_closed_silently, line_about, until};

/// Says something, and is closed without a byte in answer; gives whether there is a line about it.
fn is_refused_with_a_line(rig: &Rig, address: SocketAddr, text: &[u8]) -> Option<String> {
    let refused = &rig.broker.service().metrics().refused_connections;
    let (before, lines_before) = (refused.value(), logs::count());
    let mut stream = connect(address);
    stream.write_all(text).unwrap();
    assert!(is_closed_silently(&mut stream), "not one byte comes");
    until(|| refused.value() == before + 1);
    let name = format!("client={} ", stream.local_addr().unwrap());
    // The line is said behind the count.
    let marker = connect(rig.plain);
    drop(marker);
    logs::lines_with(&name, lines_before).pop()
}

#[test]
fn plaintext_on_a_tls_port_gets_no_byte_and_one_line_a_minute() {
    let rig = Rig::new();
    let request = ApiVersionsRequest::default().into_request();
    let kafka = request.encode_frame(0, 1, None).unwrap().into_bytes();
    let lines_before = logs::count();
    let mut stream = connect(rig.address);
    stream.write_all(&kafka).unwrap();
    assert!(is_closed_silently(&mut stream));
    let line = line_about(&stream, lines_before);
    assert!(
        line.contains("Kafka's protocol in plain on a TLS listener"),
        "{line}"
    );
    for text in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", &kafka] {
        assert_eq!(is_refused_with_a_line(&rig, rig.address, text), None);
    }
    rig.clock.advance(Duration::from_secs(61));
    let lines_before = logs::count();
    let mut stream = connect(rig.address);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(is_closed_silently(&mut stream));
    let line = line_about(&stream, lines_before);
    assert!(line.contains("plain HTTP on a TLS listener"), "{line}");
    assert!(line.contains("left_out=3"), "{line}");
}

#[test]
fn a_tls_hello_on_a_plaintext_port_gets_no_byte_and_one_line() {
    let rig = Rig::new();
    let mut client = Client::begin(rig.plain, client_config(&rig.authority, None));
    assert!(client.ask().is_err());
    let line = client.line();
    assert!(
        line.contains("speaks TLS on a plaintext connection"),
        "{line}"
    );
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 500]].concat();
    assert_eq!(is_refused_with_a_line(&rig, rig.plain, &hello), None);
    // Neither of them has done harm to anybody.
    rig.client();
}
