//! What a client may cost before it has proved who it is.

use std::time::Duration;

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::sasl::ScramHash;

use crate::kit::until;
use crate::rig::{
    PASSWORD, Rig, USER, agree, authenticate, challenged, config, plain, prove, works,
};

/// Larger than a client may send before the proof.
fn large() -> MetadataRequest {
    let topic = |number: usize| MetadataTopic {
        name: Some(Str::from(format!("{number:0>249}"))),
        ..MetadataTopic::default()
    };
    MetadataRequest {
        topics: Some((0..2_000).map(topic).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}

#[test]
fn a_large_request_is_refused_before_the_proof_and_taken_after_it() {
    let mut small = config();
    small.set("sasl.server.max.receive.size", "400000").unwrap();
    let rig = Rig::with(small);
    let mut client = rig.client();
    let frame = client.frame(12, large());
    assert!(frame.len() > 400_000);
    // Its size alone: nothing of it is waited for.
    client.write(&frame[..4]);
    assert!(client.is_closed());
    let lines = client.lines();
    assert!(
        lines.iter().any(|line| line.contains("400000")),
        "{lines:?}"
    );
    let mut client = rig.proved();
    assert_eq!(client.call(12, large()).topics.len(), 2_000);
}

#[test]
fn the_largest_request_before_the_proof_is_half_a_mebibyte() {
    let rig = Rig::new();
    let mut client = rig.client();
    client.write(&(512 * 1024 + 1_i32).to_be_bytes());
    assert!(client.is_closed());
    // One that fits is read on: the connection ends for its content.
    let mut client = rig.client();
    client.write(&(512 * 1024_i32).to_be_bytes());
    client.write(&vec![0x7f; 512 * 1024]);
    assert!(client.is_closed());
    let lines = client.lines();
    assert!(
        lines.iter().all(|line| !line.contains("524288")),
        "{lines:?}"
    );
}

#[test]
fn a_client_that_proves_nothing_within_10_seconds_is_closed() {
    let rig = Rig::new();
    let mut silent = rig.client();
    let mut begun = rig.client();
    agree(&mut begun, "SCRAM-SHA-256");
    let mut proved = rig.proved();
    // Each of the three has its limit.
    until(|| rig.broker.service().metrics().connections.value() >= 3);
    rig.clock.advance(Duration::from_millis(9_999));
    assert!(works(&mut proved));
    rig.clock.advance(Duration::from_millis(1));
    for client in [&mut silent, &mut begun] {
        assert!(client.is_closed());
        let lines = client.lines();
        let expected = "it has not proved who it is within 10s";
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{lines:?}"
        );
    }
    assert!(works(&mut proved));
}

#[test]
fn ten_wrong_proofs_a_second_are_looked_at_and_no_more() {
    let rig = Rig::new();
    for _ in 0..10 {
        let mut client = rig.client();
        let (last, _) = challenged(&mut client, ScramHash::Sha256, USER, "wrong");
        // No time passes.
        assert_ne!(client.call(2, authenticate(last)).error_code, 0);
    }
    // Now the right password is not looked at, either.
    let mut client = rig.client();
    assert_eq!(agree(&mut client, "PLAIN").error_code, 0);
    let answer = client.call(2, authenticate(plain(USER, PASSWORD)));
    let failed = ErrorCode::SaslAuthenticationFailed.code();
    assert_eq!(answer.error_code, failed);
    assert!(client.is_closed());
    let lines = client.lines();
    let expected = "there were too many wrong proofs from this address";
    assert!(
        lines.iter().any(|line| line.contains(expected)),
        "{lines:?}"
    );
    // After a tenth of a second one more may come.
    rig.clock.advance(Duration::from_millis(100));
    let mut client = rig.client();
    let proof = prove(&mut client, ScramHash::Sha256, USER, PASSWORD);
    assert_eq!(proof.unwrap().error_code, 0);
}
