//! Certificates that are replaced while the broker runs.

use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;

use crate::certs::{Authority, Files};
use crate::logs;
use crate::rig::{Rig, until};

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let rig = Rig::new();
    let mut old = rig.client();
    let other = rig.authority.issue("localhost");
    rig.files.replace(&other);
    // Not looked at before its time.
    assert_eq!(rig.client().seen(), old.seen());
    rig.clock.advance(Duration::from_secs(2));
    let mut new = rig.client();
    assert_ne!(new.seen(), old.seen());
    old.ask().unwrap();
    new.ask().unwrap();
}

#[test]
fn a_bad_new_file_leaves_the_old_certificate_in_force_with_one_warning() {
    let rig = Rig::new();
    let old = rig.client().seen();
    let lines_before = logs::count();
    let key = rig.files.text("key.pem");
    let warnings = || logs::lines_with(&key, lines_before).len();
    // Half of a replacement: a certificate whose key is another.
    let other = rig.authority.issue("localhost");
    rig.files.put("certificate.pem", &other.certificate);
    for _ in 0..3 {
        rig.clock.advance(Duration::from_secs(2));
        assert_eq!(rig.client().seen(), old);
    }
    assert_eq!(warnings(), 1);
    rig.files.put("key.pem", "no key");
    rig.clock.advance(Duration::from_secs(2));
    assert_eq!(rig.client().seen(), old);
    assert_eq!(warnings(), 2);
    rig.files.put("key.pem", &other.key);
    rig.clock.advance(Duration::from_secs(2));
    assert_ne!(rig.client().seen(), old);
    until(|| warnings() == 2);
}

#[test]
fn a_new_authority_counts_for_the_next_handshake() {
    let rig = Rig::with(|config| {
        config.ssl_client_auth = highwater_broker::config::ClientAuth::Required;
    });
    let next = Authority::new("the next one");
    let (before, after) = (rig.authority.issue("a"), next.issue("a"));
    assert!(rig.try_client(Some(&before)).is_ok());
    assert!(rig.try_client(Some(&after)).is_err());
    rig.files.put("ca.pem", &next.pem);
    rig.clock.advance(Duration::from_secs(2));
    assert!(rig.try_client(Some(&after)).is_ok());
    assert!(rig.try_client(Some(&before)).is_err());
}

#[test]
fn what_cannot_be_used_at_the_start_is_said_with_its_file() {
    let authority = Authority::new("test authority");
    let files = Files::new(&authority.issue("localhost"), &authority);
    files.put("other.pem", &authority.issue("localhost").key);
    let (certificate, key) = (files.text("certificate.pem"), files.text("key.pem"));
    let missing = files.text("missing.pem");
    for (certificate, key, sentence) in [
        ("", &key, "ssl.certificate.location is not set"),
        (&certificate, &String::new(), "ssl.key.location is not set"),
        (&missing, &key, "cannot read"),
        (&key, &key, "holds no certificate in PEM form"),
        (
            &certificate,
            &certificate,
            "holds no private key in PEM form",
        ),
        (&certificate, &files.text("other.pem"), "do not go together"),
    ]
    .map(|(certificate, key, sentence): (&str, &String, &str)| {
        (certificate.to_owned(), key.clone(), sentence)
    }) {
        let config = BrokerConfig {
            ssl_certificate_location: certificate,
            ssl_key_location: key,
            ..BrokerConfig::default()
        };
        let broker = Broker::builder().config(config).start().unwrap();
        let error = broker
            .listen_kafka("127.0.0.1:0,protocol=SSL")
            .unwrap_err()
            .to_string();
        assert!(error.contains(sentence), "{error}");
    }
}

#[test]
fn the_end_of_the_certificate_in_force_is_known() {
    let rig = Rig::new();
    let end = || rig.broker.service().metrics().certificate_end_ms.get();
    let first = end();
    assert!(first.is_some(), "from the start on");
    let next = rig.authority.issue_until("localhost", 2090);
    // Half of a replacement is not in force.
    rig.files.put("certificate.pem", &next.certificate);
    rig.clock.advance(Duration::from_secs(2));
    drop(rig.client());
    assert_eq!(end(), first);
    rig.files.replace(&next);
    rig.clock.advance(Duration::from_secs(2));
    drop(rig.client());
    let start_of_2090 = 3_786_912_000_000;
    assert_eq!(end(), Some(start_of_2090));
}
