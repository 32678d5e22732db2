//! Clients that know the password, over every mechanism and both forms of tokens.

use highwater_proto::code::ErrorCode;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::metadata::MetadataRequest;
use highwater_proto::kafka::messages::sasl_authenticate::SaslAuthenticateRequest;
use highwater_proto::kafka::messages::sasl_handshake::SaslHandshakeRequest;
use highwater_proto::sasl::ScramHash;
use highwater_proto::sasl::scram::ClientBegun;

use crate::kit::Client;
use crate::rig::{PASSWORD, Rig, USER, agree, authenticate, handshake, plain, prove, works};

#[test]
fn scram_lets_in_who_knows_the_password() {
    let rig = Rig::new();
    for hash in ScramHash::ALL {
        let mut client = rig.client();
        let versions = client.call(0, ApiVersionsRequest::default());
        assert_eq!(versions.error_code, 0);
        let answer = prove(&mut client, hash, USER, PASSWORD).unwrap();
        assert_eq!(
            (answer.error_code, answer.session_lifetime_ms),
            (0, 0),
            "{answer:?}"
        );
        assert!(works(&mut client));
        assert_eq!(client.call(0, ApiVersionsRequest::default()).error_code, 0);
    }
}

#[test]
fn plain_lets_in_who_knows_the_password() {
    let rig = Rig::new();
    let mut client = rig.client();
    let agreed = agree(&mut client, "PLAIN");
    let names: Vec<&str> = agreed.mechanisms.iter().map(|name| &**name).collect();
    assert_eq!(names, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
    let answer = client.call(1, authenticate(plain(USER, PASSWORD)));
    assert_eq!(answer.error_code, 0, "{answer:?}");
    assert!(works(&mut client));
}

fn bare(token: &[u8]) -> Vec<u8> {
    let size = i32::try_from(token.len()).unwrap().to_be_bytes();
    [&size, token].concat()
}

/// What old clients do, and some still: after a handshake of version 0 there are no requests around
/// the tokens.
#[test]
fn bare_tokens_are_taken_after_a_handshake_of_version_0() {
    let rig = Rig::new();
    let mut client = rig.client();
    let hash = ScramHash::Sha512;
    assert_eq!(client.call(0, handshake("SCRAM-SHA-512")).error_code, 0);
    let (first, begun) = ClientBegun::begin(hash, USER, PASSWORD, "nonce").unwrap();
    client.write(&bare(&first));
    let (last, finishing) = begun.prove(&client.receive_frame()).unwrap();
    client.write(&bare(&last));
    finishing.verify(&client.receive_frame()).unwrap();
    assert!(works(&mut client));

    let mut client = rig.client();
    assert_eq!(client.call(0, handshake("PLAIN")).error_code, 0);
    // Smaller than any request.
    rig.add("a", "b");
    client.write(&bare(&plain("a", "b")));
    assert!(client.receive_frame().is_empty());
    assert!(works(&mut client));
}

#[test]
fn a_bare_token_that_proves_nothing_ends_the_connection_without_an_answer() {
    let rig = Rig::new();
    let mut client = rig.client();
    assert_eq!(client.call(0, handshake("PLAIN")).error_code, 0);
    client.write(&bare(&plain(USER, "wrong")));
    assert!(client.is_closed());
    // One that is too large is none, and one of a negative size neither.
    for size in [512 * 1024 + 1, -1_i32] {
        let mut client = rig.client();
        assert_eq!(client.call(0, handshake("PLAIN")).error_code, 0);
        client.write(&size.to_be_bytes());
        assert!(client.is_closed(), "{size}");
    }
}

/// Each is taken when the one before it is answered: what it is depends on that.
#[test]
fn what_is_sent_ahead_is_answered_in_order() {
    let rig = Rig::new();
    let mut client = rig.client();
    let frames = [
        client.frame(1, handshake("PLAIN")),
        client.frame(2, authenticate(plain(USER, PASSWORD))),
        client.frame(12, MetadataRequest::default()),
    ];
    client.write(&frames.concat());
    let (_, agreed) = client.receive::<SaslHandshakeRequest>(1);
    let (_, answer) = client.receive::<SaslAuthenticateRequest>(2);
    assert_eq!((agreed.error_code, answer.error_code), (0, 0));
    let (_, metadata) = client.receive::<MetadataRequest>(12);
    assert!(!metadata.brokers.is_empty());
}

/// Sessions do not end by default: there is nothing to prove again.
#[test]
fn a_second_proof_is_refused_and_the_connection_goes_on() {
    let rig = Rig::new();
    let mut client = rig.proved();
    let illegal = ErrorCode::IllegalSaslState.code();
    let answer = client.call(2, authenticate(plain(USER, PASSWORD)));
    assert_eq!(answer.error_code, illegal);
    assert!(answer.error_message.unwrap().contains("already"));
    assert_eq!(agree(&mut client, "PLAIN").error_code, illegal);
    assert!(works(&mut client));
}

#[test]
fn a_listener_without_sasl_asks_for_nothing() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.open);
    let illegal = ErrorCode::IllegalSaslState.code();
    assert_eq!(agree(&mut client, "PLAIN").error_code, illegal);
    let answer = client.call(2, authenticate(plain(USER, PASSWORD)));
    assert_eq!(answer.error_code, illegal);
    assert!(works(&mut client));
}

#[test]
fn the_log_names_the_user_of_a_connection() {
    let rig = Rig::new();
    let mut client = rig.proved();
    // No request begins so.
    client.write(&[0, 0, 0, 8, 0x7f, 0xff, 0, 0, 0, 0, 0, 0]);
    assert!(client.is_closed());
    let lines = client.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.contains(" principal=User:alice ")),
        "{lines:?}"
    );
}
