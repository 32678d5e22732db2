//! What can be wrong, and what the user is told to do about it.

use highwater_broker::config::ClientAuth;
use highwater_client::{Client, ClientConfig, ClientError, SecurityProtocol};

use crate::certs::{Authority, Files};
use crate::rig::{Rig, run};

/// The error of a client with these settings.
fn refusal(config: ClientConfig) -> ClientError {
    run(async { Client::connect_with(config).await.unwrap_err() })
}

/// An error that no repetition helps against, with these words.
fn is_final(error: &ClientError, words: &[&str]) {
    let text = error.to_string();
    assert!(words.iter().all(|part| text.contains(part)), "{text}");
    assert!(!error.is_retriable(), "{text}");
}

#[test]
fn an_unknown_issuer_is_named_with_what_to_set() {
    let rig = Rig::new();
    let other = Authority::new("another");
    let files = Files::new(&other.issue("x"), &other);
    let error = refusal(rig.config().ssl_ca_location(files.text("ca.pem")));
    is_final(
        &error,
        &[
            "signed by nobody whom this client trusts",
            "ssl.ca.location",
        ],
    );
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let rig = Rig::of("broker.example", |_| {});
    let error = refusal(rig.config());
    is_final(&error, &["is not for localhost", "broker.example"]);
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new("test authority");
    let expired = authority.issue_until("localhost", 2021);
    let rig = Rig::with(authority, &expired, |_| {});
    is_final(&refusal(rig.config()), &["has expired", "clock"]);
}

#[test]
fn a_missing_client_certificate_is_said() {
    let rig = Rig::of("localhost", |config| {
        config.ssl_client_auth = ClientAuth::Required;
    });
    let words = ["asks for a client certificate", "ssl.certificate.location"];
    is_final(&refusal(rig.config()), &words);
    let own = Files::new(&rig.authority.issue("billing"), &rig.authority);
    let shown = |files: &Files| {
        let config = rig.config();
        let config = config.ssl_certificate_location(files.text("certificate.pem"));
        config.ssl_key_location(files.text("key.pem"))
    };
    run(async { Client::connect_with(shown(&own)).await.unwrap() });
    let other = Authority::new("another");
    let stranger = Files::new(&other.issue("billing"), &other);
    let words = ["does not trust this client's certificate"];
    is_final(&refusal(shown(&stranger)), &words);
}

#[test]
fn a_plaintext_listener_is_no_tls_listener() {
    let rig = Rig::new();
    let plain = rig.plain.replace("127.0.0.1", "localhost");
    let error = refusal(rig.config().bootstrap_servers(plain));
    let text = error.to_string();
    assert!(text.contains("is it a plaintext listener?"), "{text}");
}

#[test]
fn a_tls_listener_is_no_plaintext_listener() {
    let rig = Rig::new();
    let error = refusal(rig.config().security_protocol(SecurityProtocol::Plaintext));
    let text = error.to_string();
    assert!(text.contains("this listener expects TLS or SASL"), "{text}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let rig = Rig::new();
    let (certificate, key) = (rig.files.text("certificate.pem"), rig.files.text("key.pem"));
    let nowhere = rig.files.text("nowhere.pem");
    let of = |config: ClientConfig| refusal(config).to_string();
    let error = of(rig.config().ssl_ca_location(&nowhere));
    assert!(
        error.contains("ssl.ca.location") && error.contains(&nowhere),
        "{error}"
    );
    let error = of(rig.config().ssl_ca_location(&key));
    assert!(
        error.contains("holds no certificate in PEM form"),
        "{error}"
    );
    let config = rig.config().ssl_certificate_location(&certificate);
    let error = of(config.clone());
    assert!(error.contains("belong together"), "{error}");
    let error = of(config.ssl_key_location(&certificate));
    assert!(
        error.contains("holds no private key in PEM form"),
        "{error}"
    );
}
