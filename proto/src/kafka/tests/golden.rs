//! Golden bytes: a message of every layout, and whole frames.
//!
//! Floor 4 of proto; compiled for its tests only.
//!
//! A line of `golden.txt` is API, direction, version and body. A new version needs new lines: run
//! the test, which names them, once the oracle agrees. An old line never changes.

use super::*;

const GOLDEN: &str = include_str!("golden.txt");

/// Bytes that differ for each layout, few enough for small messages.
fn entropy(key: ApiKey, direction: Direction, version: i16) -> Entropy {
    let mut state = u64::from(key.number().unsigned_abs()) << 32
        | u64::from(version.unsigned_abs()) << 1
        | u64::from(direction == Direction::Response);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[1]
    };
    Entropy::new((0..90).map(|_| next()).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
        .collect()
}

#[test]
fn every_layout_has_the_golden_bytes() {
    let mut golden = GOLDEN.lines();
    for (key, direction, version) in every_layout() {
        let mut entropy = entropy(key, direction, version);
        let message = Message::arbitrary(key, direction, version, &mut entropy);
        let bytes = message.encode(version).unwrap();
        let side = format!("{direction:?}").to_lowercase();
        let line = format!("{} {side} {version} {}", key.name(), hex(&bytes));
        if let Some(theirs) = oracle::rewritten(key, direction, (version, version), &bytes) {
            assert_eq!(
                theirs.as_ref(),
                Some(&bytes),
                "the oracle disagrees on {message:?}"
            );
        }
        assert_eq!(
            golden.next(),
            Some(line.as_str()),
            "golden.txt, for {message:?}"
        );
        assert_eq!(Message::decode(key, direction, version, bytes), Ok(message));
    }
    assert_eq!(golden.next(), None);
}

#[test]
fn debug_of_a_message_prints_no_token_and_no_salted_password() {
    let secret = || Hidden(Bytes::from_static(b"sss"));
    let upsertion = alter_user_scram_credentials::ScramCredentialUpsertion {
        salted_password: secret(),
        ..Default::default()
    };
    let requests = [
        Request::from(SaslAuthenticateRequest {
            auth_bytes: secret(),
        }),
        AlterUserScramCredentialsRequest {
            deletions: Vec::new(),
            upsertions: vec![upsertion],
        }
        .into(),
    ];
    let response = SaslAuthenticateResponse {
        auth_bytes: secret(),
        ..Default::default()
    };
    let printed = format!("{requests:?} {response:?}");
    // As text, or as a list of numbers.
    assert!(
        !printed.contains("sss") && !printed.contains("115"),
        "{printed}"
    );
    assert_eq!(printed.matches("[hidden]").count(), 3);
}

#[test]
fn an_api_versions_request_of_librdkafka() {
    let frame = unhex("00000019 0012 0003 00000001 0001 78 00 08 72646b61666b61 04 312e30 00");
    let request = Request::from(ApiVersionsRequest {
        client_software_name: Str::from_static("rdkafka"),
        client_software_version: Str::from_static("1.0"),
    });
    let written = request
        .encode_frame(3, 1, Some(Str::from_static("x")))
        .unwrap();
    assert_eq!(written.into_bytes(), frame);
    let (header, body) = open_request(frame.slice(SIZE_BYTES..)).unwrap();
    assert_eq!(
        (header.key, header.version, header.correlation_id),
        (18, 3, 1)
    );
    assert_eq!(Request::decode(18, 3, body), Ok(request));
}

/// It writes the count of no topics in four bytes, where the version has one.
#[test]
fn a_metadata_request_of_librdkafka_for_all_topics() {
    let all = Request::from(MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        ..Default::default()
    });
    for version in [9, 12] {
        let body = if version == 9 {
            "00 00 00 00 00 00 00 00"
        } else {
            "00 00 00 00 01 00 00"
        };
        assert_eq!(Request::decode(3, version, unhex(body)), Ok(all.clone()));
    }
}

fn only_api_versions(error_code: i16) -> Response {
    let api = ApiKey::ApiVersions.info();
    let range = api_versions::ApiVersionsRange {
        api_key: api.key.number(),
        min_version: api.advertised.min,
        max_version: api.advertised.max,
    };
    ApiVersionsResponse {
        error_code,
        api_keys: vec![range],
        ..Default::default()
    }
    .into()
}

#[test]
fn the_answer_to_an_unknown_version_of_api_versions() {
    let frame = unhex("00000010 00000001 0023 00000001 0012 0000 0004");
    assert_eq!(
        only_api_versions(35)
            .encode_frame(0, 1)
            .unwrap()
            .into_bytes(),
        frame
    );
}

#[test]
fn an_api_versions_answer_has_no_tags_in_its_header() {
    let frame = unhex("00000013 00000001 0000 02 0012 0000 0004 00 00000000 00");
    assert_eq!(
        only_api_versions(0)
            .encode_frame(3, 1)
            .unwrap()
            .into_bytes(),
        frame
    );
    let decoded = Response::decode_frame(ApiKey::ApiVersions, 3, frame.slice(SIZE_BYTES..));
    assert_eq!(decoded, Ok((1, only_api_versions(0))));
}

/// The version that Burrow asks for, which the oracle does not have.
#[test]
fn list_offsets_of_version_0() {
    let request = unhex("ffffffff 00000001 0001 74 00000001 00000003 ffffffffffffffff 00000002");
    let partitions = vec![list_offsets::ListOffsetsPartition {
        index: 3,
        timestamp: -1,
        max_num_offsets: 2,
        ..Default::default()
    }];
    let topics = vec![list_offsets::ListOffsetsTopic {
        name: Str::from_static("t"),
        partitions,
    }];
    let expected = Request::from(ListOffsetsRequest {
        topics,
        ..Default::default()
    });
    assert_eq!(Request::decode(2, 0, request.clone()), Ok(expected.clone()));
    assert_eq!(expected.encode(0).unwrap().into_bytes(), request);

    let partitions = vec![list_offsets::ListOffsetsPartitionResponse {
        index: 3,
        old_style_offsets: vec![9, 0],
        ..Default::default()
    }];
    let name = Str::from_static("t");
    let topics = vec![list_offsets::ListOffsetsTopicResponse { name, partitions }];
    let response = Response::from(ListOffsetsResponse {
        topics,
        ..Default::default()
    });
    let expected =
        unhex("00000001 0001 74 00000001 00000003 0000 00000002 0000000000000009 0000000000000000");
    assert_eq!(response.encode(0).unwrap().into_bytes(), expected);
}
