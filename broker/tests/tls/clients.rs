//! Certificates of clients: none, requested, required; and whose principal is whose.

use std::io::Write;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::{BrokerConfig, ClientAuth};
use highwater_broker::error::BrokerError;

use crate::certs::Authority;
use crate::rig::{Client, Rig, client_config};

fn asking(client_auth: ClientAuth) -> Rig {
    Rig::with(|config| config.ssl_client_auth = client_auth)
}

/// Why a client was not let in, as the broker's log has it.
fn refusal(rig: &Rig, shown: Option<&crate::certs::Issued>) -> String {
    let mut client = Client::begin(rig.address, client_config(&rig.authority, shown));
    assert!(client.ask().is_err(), "no answer comes");
    client.line()
}

#[test]
fn a_required_certificate_is_the_principal_and_without_one_nobody_comes_in() {
    let rig = asking(ClientAuth::Required);
    let mut client = rig
        .try_client(Some(&rig.authority.issue("billing")))
        .unwrap();
    // A frame that is none: the line about it names who has sent it.
    client.stream.write_all(&[0xff; 8]).unwrap();
    let line = client.line();
    assert!(line.contains("principal=CN=billing,O=Highwater"), "{line}");
    let line = refusal(&rig, None);
    assert!(line.contains("the TLS handshake failed"), "{line}");
    let stranger = Authority::new("another").issue("billing");
    let line = refusal(&rig, Some(&stranger));
    assert!(line.contains("the TLS handshake failed"), "{line}");
}

#[test]
fn a_requested_certificate_may_be_missing_but_not_wrong() {
    let rig = asking(ClientAuth::Requested);
    rig.try_client(None).unwrap();
    rig.try_client(Some(&rig.authority.issue("billing")))
        .unwrap();
    let stranger = Authority::new("another").issue("billing");
    assert!(refusal(&rig, Some(&stranger)).contains("the TLS handshake failed"));
}

#[test]
fn a_certificate_counts_until_its_end_by_the_brokers_clock() {
    let rig = asking(ClientAuth::Required);
    // The broker's clock began in November of 2023.
    let until_2024 = rig.authority.issue_until("billing", 2024);
    let mut early = rig.try_client(Some(&until_2024)).unwrap();
    rig.clock.advance(Duration::from_secs(60 * 86_400));
    let line = refusal(&rig, Some(&until_2024));
    assert!(line.to_lowercase().contains("expired"), "{line}");
    rig.try_client(Some(&rig.authority.issue("billing")))
        .unwrap();
    // Who was let in may have been idle for too long by now, and nothing else.
    drop(early.ask());
}

#[test]
fn client_certificates_without_an_authority_are_refused_at_the_start() {
    let config = BrokerConfig {
        ssl_client_auth: ClientAuth::Required,
        ..BrokerConfig::default()
    };
    let error = Broker::builder().config(config).start().unwrap_err();
    assert!(matches!(&error, BrokerError::Config(why) if why.name == "ssl.client.auth"));
}
