//! Bytes that are no request: the connection is closed without an answer, the log has one line that
//! says who and why, and nobody else notices.

use bytes::Bytes;
use highwater_broker::config::BrokerConfig;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::Response;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::delete_topics::DeleteTopicsRequest;
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::kafka::messages::produce::ProduceRequest;
use highwater_proto::kafka::{ApiKey, Request};
use proptest::prelude::*;

use crate::kit::{PRODUCE, Rig, batch, produce, until};

/// Sends bytes; expects the end of the connection and one line with these words.
fn is_refused(rig: &Rig, bytes: &[u8], why: &str) {
    let mut client = rig.client();
    client.write(bytes);
    assert!(client.is_closed(), "{why}");
    until(|| !client.lines().is_empty());
    let lines = client.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(why), "{lines:?}");
}

fn frame(body: &[u8]) -> Vec<u8> {
    let size = i32::try_from(body.len()).unwrap();
    [&size.to_be_bytes()[..], body].concat()
}

/// A header without a client id, and a body.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let header = [
        &key.to_be_bytes()[..],
        &version.to_be_bytes(),
        &[0, 0, 0, 7],
        &[0xff, 0xff],
    ];
    frame(&[&header.concat()[..], body].concat())
}

/// librdkafka's Metadata of all topics is three bytes too long.
#[test]
fn what_stands_behind_the_last_field_of_a_request_is_passed_over() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    // An empty tag section of the header; all topics, no creation, no operations, no tags; more.
    let body = [&[0][..], &[0, 0, 0, 0], &[1, 0, 0]].concat();
    client.write(&request(3, 12, &body));
    let answer = client.receive::<MetadataRequest>(12).1;
    assert_eq!(answer.topics.len(), 1);
    // The next request begins where it should.
    client.call(0, ApiVersionsRequest::default());
}

#[test]
fn sizes_that_cannot_be() {
    let rig = Rig::new();
    for size in [0, 7, -1, i32::MIN] {
        is_refused(&rig, &i32::to_be_bytes(size), "too small");
    }
    is_refused(&rig, &i32::MAX.to_be_bytes(), "exceeds the limit");
    is_refused(
        &rig,
        &(100 * (1 << 20) + 1_i32).to_be_bytes(),
        "exceeds the limit of 104857600",
    );
    assert_eq!(rig.service.metrics().refused_connections.value(), 6);
}

#[test]
fn other_protocols_are_named_once_a_minute() {
    let rig = Rig::new();
    is_refused(&rig, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP");
    let mut again = rig.client();
    again.write(b"POST / HTTP/1.1\r\n\r\n");
    assert!(again.is_closed());
    until(|| rig.service.metrics().refused_connections.value() == 2);
    assert_eq!(again.lines(), Vec::<String>::new());
    rig.advance(std::time::Duration::from_secs(60));
    is_refused(&rig, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01], "TLS");
}

#[test]
fn unknown_keys_and_versions_and_broken_bodies() {
    let rig = Rig::new();
    is_refused(&rig, &request(4, 0, &[]), "no API with key 4");
    is_refused(&rig, &request(-1, 0, &[]), "no API with key -1");
    is_refused(&rig, &request(3, 99, &[]), "Metadata has no version 99");
    is_refused(
        &rig,
        &request(0, 2, &[]),
        "Produce has no version 2 here, only 3 to 11",
    );
    is_refused(&rig, &request(3, -1, &[]), "Metadata has no version -1");
    is_refused(
        &rig,
        &request(3, 1, &[0, 0]),
        "the body of Metadata v1 does not parse",
    );
    // More topics than bytes; a negative count that is not null.
    is_refused(
        &rig,
        &request(3, 1, &[0x7f, 0xff, 0xff, 0xff]),
        "does not parse",
    );
    is_refused(
        &rig,
        &request(3, 1, &[0xff, 0xff, 0xff, 0xfe]),
        "does not parse",
    );
    // A client id that is longer than the frame.
    is_refused(
        &rig,
        &frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff]),
        "header",
    );
}

#[test]
fn a_line_names_the_client_and_its_software() {
    let rig = Rig::new();
    let mut client = rig.client();
    let hello = ApiVersionsRequest {
        client_software_name: Str::from_static("rdkafka"),
        client_software_version: Str::from_static("2.0.2"),
    };
    assert_eq!(client.call(3, hello).error_code, 0);
    client.write(&request(3, 99, &[]));
    assert!(client.is_closed());
    until(|| !client.lines().is_empty());
    let line = client.lines().remove(0);
    assert!(line.contains("software=rdkafka 2.0.2"), "{line}");
    assert!(line.contains("version 99"), "{line}");
}

#[test]
fn what_came_before_is_answered() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let good = client.frame(PRODUCE, produce("t", -1, batch(&["a"])));
    client.write(&[&good[..], &request(3, 99, &[])].concat());
    let (_, produced) = client.receive::<ProduceRequest>(PRODUCE);
    assert_eq!(produced.topics[0].partitions[0].error_code, 0);
    assert!(client.is_closed());
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_as_v0_and_the_connection_goes_on() {
    let rig = Rig::new();
    let mut client = rig.client();
    client.write(&request(18, 99, b"\xff\xff\xff what comes is not parsed"));
    let frame = client.receive_frame();
    assert_eq!(frame, b"\0\0\0\x07\0\x23\0\0\0\x01\0\x12\0\0\0\x04"[..]);
    let (_, response) = Response::decode_frame(ApiKey::ApiVersions, 0, frame).unwrap();
    let Response::ApiVersions(response) = response else {
        panic!("{response:?}")
    };
    assert_eq!(response.error_code, 35);
    assert_eq!(client.call(0, ApiVersionsRequest::default()).error_code, 0);
}

#[test]
fn a_batch_with_a_broken_checksum_is_refused_and_the_connection_goes_on() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let mut bytes = batch(&["a"]).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    for (records, error) in [
        (Bytes::from(bytes), 2),
        (Bytes::new(), 87),
        (batch(&["a"]), 0),
    ] {
        let answer = client.call(PRODUCE, produce("t", -1, records));
        assert_eq!(answer.topics[0].partitions[0].error_code, error);
    }
}

#[test]
fn a_request_may_not_name_too_much() {
    let rig = Rig::with(BrokerConfig {
        request_topics_max: 3,
        ..BrokerConfig::default()
    });
    let names = |count| MetadataRequest {
        topics: Some(vec![
            MetadataTopic {
                name: Some("t".into()),
                ..Default::default()
            };
            count
        ]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let mut client = rig.client();
    assert_eq!(client.call(9, names(3)).topics.len(), 3);
    let frame = client.frame(9, names(4));
    is_refused(&rig, &frame, "request.topics.max is 3");
    let delete = DeleteTopicsRequest {
        topic_names: vec!["t".into(); 4],
        ..Default::default()
    };
    let frame = client.frame(4, delete);
    is_refused(&rig, &frame, "request.topics.max is 3");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Random bodies below headers that are nearly right: closed or answered, never more.
    #[test]
    fn nothing_that_is_sent_harms_others(
        requests in proptest::collection::vec(
            (-1_i16..70, -1_i16..18, proptest::collection::vec(any::<u8>(), 0..64)), 1..8,
        )
    ) {
        let rig = Rig::new();
        let mut client = rig.client();
        for (key, version, body) in &requests {
            client.write(&request(*key, *version, body));
            let is_request = Request::decode(*key, *version, {
                let flexible = ApiKey::from_number(*key)
                    .is_some_and(|key| key.version(*version).flexible);
                // The first byte is the count of the header's tags.
                match (flexible, body.split_first()) {
                    (true, Some((0, rest))) => Bytes::copy_from_slice(rest),
                    (true, _) => break,
                    (false, _) => Bytes::copy_from_slice(body),
                }
            });
            if is_request.is_err() {
                break;
            }
        }
        drop(client);
        let mut good = rig.client();
        prop_assert_eq!(good.call(0, ApiVersionsRequest::default()).error_code, 0);
    }
}
