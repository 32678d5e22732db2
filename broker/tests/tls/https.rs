//! Health and metrics over HTTPS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use highwater_broker::config::ClientAuth;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::logs;
use crate::rig::{
    HELLO_BEGUN, Rig, client_config, closed_after, connect, is_closed_silently, line_about, until,
};

fn https(rig: &Rig) -> SocketAddr {
    let address = rig.broker.listen_http("127.0.0.1:0,protocol=SSL").unwrap();
    address.to_string().parse().unwrap()
}

fn get(address: SocketAddr, config: ClientConfig) -> std::io::Result<String> {
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(tls, connect(address));
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn health_is_served_over_https_while_others_stall() {
    let rig = Rig::new();
    let address = https(&rig);
    let before = logs::count();
    let mut stalled: Vec<_> = (0..20).map(|_| connect(address)).collect();
    for stream in &mut stalled {
        stream.write_all(HELLO_BEGUN).unwrap();
    }
    let text = get(address, client_config(&rig.authority, None)).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.ends_with("live\n"),
        "{text}"
    );
    // Those that stall are cut off at their limit, which each has from when it is looked at.
    for stream in &mut stalled {
        assert!(closed_after(&rig, stream, 600).is_some());
    }
    // One of them is told of, for all.
    let is_told_of = |stream: &TcpStream| {
        let name = format!("client={} ", stream.local_addr().unwrap());
        let lines = logs::lines_with(&name, before);
        lines
            .iter()
            .any(|line| line.contains("ssl.handshake.timeout.ms"))
    };
    until(|| stalled.iter().any(is_told_of));
}

#[test]
fn plain_http_on_an_https_port_gets_no_byte_and_one_line() {
    let rig = Rig::new();
    let address = https(&rig);
    let lines_before = logs::count();
    for is_first in [true, false] {
        let mut stream = connect(address);
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert!(is_closed_silently(&mut stream));
        if is_first {
            let line = line_about(&stream, lines_before);
            assert!(line.contains("plain HTTP on a TLS listener"), "{line}");
        } else {
            let name = format!("client={} ", stream.local_addr().unwrap());
            assert!(logs::lines_with(&name, lines_before).is_empty());
        }
    }
}

#[test]
fn https_asks_for_the_certificate_that_kafka_clients_show() {
    let rig = Rig::with(|config| config.ssl_client_auth = ClientAuth::Required);
    let address = https(&rig);
    assert!(get(address, client_config(&rig.authority, None)).is_err());
    let scraper = rig.authority.issue("scraper");
    let text = get(address, client_config(&rig.authority, Some(&scraper))).unwrap();
    assert!(text.ends_with("live\n"), "{text}");
}
