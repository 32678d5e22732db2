//! Sessions that end, and clients that prove again who they are (KIP-368).

use std::time::Duration;

use highwater_proto::code::ErrorCode;
use highwater_proto::kafka::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion,
};
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::metadata::MetadataRequest;
use highwater_proto::kafka::messages::sasl_handshake::SaslHandshakeRequest;
use highwater_proto::sasl::ScramHash;

use crate::kit::Client;
use crate::rig::{
    PASSWORD, Rig, USER, agree, authenticate, challenged, config, handshake, plain, prove,
    upsertion, works,
};

const SESSION: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);
const FAILED: i16 = ErrorCode::SaslAuthenticationFailed.code();
const ILLEGAL: i16 = ErrorCode::IllegalSaslState.code();

/// Sessions of a minute.
fn rig() -> Rig {
    let mut config = config();
    config.set("connections.max.reauth.ms", "60000").unwrap();
    Rig::with(config)
}

/// A proof by SCRAM-SHA-256; how long it counts, or the error.
fn proof(client: &mut Client, user: &str, password: &str) -> Result<i64, i16> {
    let answer = prove(client, ScramHash::Sha256, user, password).unwrap();
    match answer.error_code {
        0 => Ok(answer.session_lifetime_ms),
        code => Err(code),
    }
}

/// The connection is over, for this reason.
fn assert_ended(client: &mut Client, why: &str) {
    assert!(client.is_closed());
    let lines = client.lines();
    assert!(lines.iter().any(|line| line.contains(why)), "{lines:?}");
}

#[test]
fn the_first_request_after_a_session_ends_its_connection() {
    let rig = rig();
    let mut client = rig.client();
    assert_eq!(proof(&mut client, USER, PASSWORD), Ok(60_000));
    rig.clock.advance(SESSION - MOMENT);
    assert!(works(&mut client));
    rig.clock.advance(MOMENT);
    assert_eq!(client.call(0, ApiVersionsRequest::default()).error_code, 0);
    let frame = client.frame(12, MetadataRequest::default());
    client.write(&frame);
    assert_ended(
        &mut client,
        "a request of Metadata came after its session of SASL was over",
    );
}

/// Those that came before SaslAuthenticate had a lifetime, or before there was such a request.
#[test]
fn clients_that_are_not_told_of_the_end_have_the_same() {
    let rig = rig();
    let mut client = rig.client();
    assert_eq!(agree(&mut client, "PLAIN").error_code, 0);
    let answer = client.call(0, authenticate(plain(USER, PASSWORD)));
    assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 0));
    let mut bare = rig.client();
    assert_eq!(bare.call(0, handshake("PLAIN")).error_code, 0);
    let token = plain(USER, PASSWORD);
    let size = i32::try_from(token.len()).unwrap().to_be_bytes();
    bare.write(&[&size[..], &token].concat());
    assert!(bare.receive_frame().is_empty());
    for client in [&mut client, &mut bare] {
        assert!(works(client));
    }
    rig.clock.advance(SESSION);
    for client in [&mut client, &mut bare] {
        let frame = client.frame(12, MetadataRequest::default());
        client.write(&frame);
        assert_ended(client, "its session of SASL was over");
    }
}

#[test]
fn who_proves_it_again_goes_on() {
    let rig = rig();
    let mut client = rig.client();
    assert_eq!(proof(&mut client, USER, PASSWORD), Ok(60_000));
    for since in [SESSION - MOMENT, SESSION, 2 * SESSION] {
        rig.clock.advance(since);
        assert_eq!(proof(&mut client, USER, PASSWORD), Ok(60_000));
        rig.clock.advance(SESSION - MOMENT);
        assert!(works(&mut client));
    }
    // The log knows who it is, also while it proves it again.
    assert_eq!(agree(&mut client, "SCRAM-SHA-256").error_code, 0);
    client.write(&[0, 0, 0, 8, 0x7f, 0xff, 0, 0, 0, 0, 0, 0]);
    assert_ended(&mut client, " principal=User:alice ");
}

#[test]
fn the_time_for_the_first_proof_is_not_that_for_another() {
    let rig = rig();
    let mut client = rig.proved();
    let mut silent = rig.client();
    assert_eq!(silent.call(0, ApiVersionsRequest::default()).error_code, 0);
    let hash = ScramHash::Sha256;
    let (last, finishing) = challenged(&mut client, hash, USER, PASSWORD);
    rig.clock.advance(Duration::from_secs(10));
    assert!(silent.is_closed());
    let answer = client.call(2, authenticate(last));
    finishing.verify(&answer.auth_bytes.0).unwrap();
    assert!(works(&mut client));
}

#[test]
fn what_was_sent_before_it_is_answered_before_it() {
    let rig = rig();
    let mut client = rig.proved();
    let frames = [
        client.frame(12, MetadataRequest::default()),
        client.frame(1, handshake("SCRAM-SHA-256")),
    ];
    client.write(&frames.concat());
    let (_, metadata) = client.receive::<MetadataRequest>(12);
    assert!(!metadata.brokers.is_empty());
    let (_, agreed) = client.receive::<SaslHandshakeRequest>(1);
    assert_eq!(agreed.error_code, 0);
    // Nothing else is answered until it is over.
    let frame = client.frame(12, MetadataRequest::default());
    client.write(&frame);
    assert_ended(
        &mut client,
        "a request of Metadata came before the client has proved who it is",
    );
}

#[test]
fn a_user_that_is_gone_or_has_another_password_is_out_with_its_session() {
    let rig = rig();
    rig.add("bob", "bob-secret");
    let mut alice = rig.client();
    let mut bob = rig.client();
    assert_eq!(proof(&mut alice, USER, PASSWORD), Ok(60_000));
    assert_eq!(proof(&mut bob, "bob", "bob-secret"), Ok(60_000));
    let deletion = |hash: ScramHash| ScramCredentialDeletion {
        name: USER.to_owned().into(),
        mechanism: hash.number(),
    };
    let request = AlterUserScramCredentialsRequest {
        deletions: ScramHash::ALL.map(deletion).into(),
        upsertions: vec![upsertion("bob", ScramHash::Sha256, "another")],
    };
    let answer = Client::connect(rig.open).call(0, request);
    assert!(answer.results.iter().all(|result| result.error_code == 0));
    assert!(works(&mut alice) && works(&mut bob));
    for (client, user, password) in [
        (&mut alice, USER, PASSWORD),
        (&mut bob, "bob", "bob-secret"),
    ] {
        assert_eq!(proof(client, user, password), Err(FAILED));
        assert_ended(client, "does not exist, or the password is wrong");
    }
}

#[test]
fn nobody_becomes_another_user_or_changes_the_mechanism() {
    let rig = rig();
    rig.add("bob", "bob-secret");
    let mut client = rig.proved();
    assert_eq!(proof(&mut client, "bob", "bob-secret"), Err(FAILED));
    assert_ended(
        &mut client,
        "the client was the user alice, and has now proved to be bob",
    );
    let mut client = rig.proved();
    let answer = agree(&mut client, "PLAIN");
    let expected = ErrorCode::UnsupportedSaslMechanism.code();
    assert_eq!(answer.error_code, expected);
    let names: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
    assert_eq!(names, ["SCRAM-SHA-256"]);
    assert_ended(&mut client, "and may not do it again by \"PLAIN\"");
}

/// Each costs what a first one costs.
#[test]
fn it_is_proved_again_at_most_once_a_second_and_in_requests() {
    let rig = rig();
    let mut client = rig.proved();
    let refused = |client: &mut Client, version: i16| {
        let answer = client.call(version, handshake("SCRAM-SHA-256"));
        assert_eq!(answer.error_code, ILLEGAL);
        assert!(works(client));
    };
    refused(&mut client, 0);
    assert_eq!(proof(&mut client, USER, PASSWORD), Ok(60_000));
    refused(&mut client, 1);
    rig.clock.advance(Duration::from_millis(999));
    refused(&mut client, 1);
    rig.clock.advance(MOMENT);
    assert_eq!(proof(&mut client, USER, PASSWORD), Ok(60_000));
    // A token belongs behind a handshake, here too.
    let answer = client.call(2, authenticate(plain(USER, PASSWORD)));
    assert_eq!(answer.error_code, ILLEGAL);
    assert!(works(&mut client));
}
