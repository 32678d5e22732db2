//! The handshake: its versions, its limits, and that it holds nobody up.

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::logs;
use crate::rig::{
    Client, HELLO_BEGUN, Rig, client_config, closed_after, connect, is_closed_silently, line_about,
    until,
};

#[test]
fn both_versions_of_tls_carry_requests() {
    let rig = Rig::new();
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut roots = rustls::RootCertStore::empty();
        let pem = rig.authority.pem.as_bytes();
        let authority = rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap();
        roots.add(authority).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = Client::begin(rig.address, config);
        for _ in 0..3 {
            client.ask().unwrap();
        }
        assert_eq!(client.stream.conn.protocol_version(), Some(expected));
    }
}

#[test]
fn a_handshake_that_stalls_is_cut_at_its_limit_and_holds_nobody_up() {
    let rig = Rig::new();
    let whole = [HELLO_BEGUN, &[0; 400]].concat();
    for begun in [&[][..], &[0x16], HELLO_BEGUN, &whole] {
        let lines_before = logs::count();
        let mut stalled = rig.stalled(begun);
        until(|| rig.clock.sleepers_count() > 0);
        // While it stalls, others come and are answered.
        rig.client();
        let after = closed_after(&rig, &mut stalled, 60);
        // A step may be taken before the broker has accepted it.
        assert!(
            after.is_some_and(|after| (10..60).contains(&after)),
            "{after:?}"
        );
        let line = line_about(&stalled, lines_before);
        assert!(line.contains("ssl.handshake.timeout.ms"), "{line}");
    }
}

#[test]
fn handshakes_under_way_are_counted_and_a_place_comes_free() {
    let rig = Rig::with(|config| config.ssl_handshakes_max_per_ip = 2);
    let refused = &rig.broker.service().metrics().refused_connections;
    let accepted = &rig.broker.service().metrics().connections;
    let lines_before = logs::count();
    // Those that are done hold no place.
    let done = [rig.client(), rig.client(), rig.client()];
    let first = rig.stalled(HELLO_BEGUN);
    let _second = rig.stalled(HELLO_BEGUN);
    until(|| accepted.value() == 5);
    // Both are accepted; their handshakes may begin a moment later.
    until(|| {
        drop(rig.stalled(HELLO_BEGUN));
        refused.value() > 0
    });
    let why = "ssl.handshakes.max.per.ip";
    until(|| !logs::lines_with(why, lines_before).is_empty());
    drop(first);
    until(|| rig.try_client(None).is_ok());
    drop(done);
}

#[test]
fn the_limit_of_an_address_counts_before_the_handshake() {
    let rig = Rig::with(|config| config.max_connections_per_ip = 2);
    let accepted = &rig.broker.service().metrics().connections;
    let stalled = [rig.stalled(&[]), rig.stalled(HELLO_BEGUN)];
    until(|| accepted.value() == 2);
    let lines_before = logs::count();
    let mut third = connect(rig.address);
    assert!(is_closed_silently(&mut third));
    let line = line_about(&third, lines_before);
    assert!(line.contains("max.connections.per.ip"), "{line}");
    drop(stalled);
    until(|| rig.try_client(None).is_ok());
}

#[test]
fn a_shutdown_does_not_wait_for_a_handshake() {
    let rig = Rig::new();
    let mut stalled = rig.stalled(HELLO_BEGUN);
    let accepted = &rig.broker.service().metrics().connections;
    until(|| accepted.value() == 1);
    // The clock stands: neither the limit nor the grace comes to its end.
    rig.broker.shutdown_blocking().unwrap();
    assert!(is_closed_silently(&mut stalled));
}

#[test]
fn a_client_that_trusts_another_authority_is_named() {
    let rig = Rig::new();
    let other = crate::certs::Authority::new("another");
    let mut client = Client::begin(rig.address, client_config(&other, None));
    assert!(client.ask().is_err());
    // Its alert is what the broker knows.
    let line = client.line();
    assert!(line.contains("the TLS handshake failed"), "{line}");
}
