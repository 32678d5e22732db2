//! Tests over every API, direction and version.
//!
//! Floor 4 of proto; compiled for its tests only.

mod golden;
mod hostile;
mod oracle;
mod roundtrip;

use super::arbitrary::{Arbitrary, Entropy};
use super::messages::*;
use super::*;

/// One request or response of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

/// A message of either direction.
#[derive(Clone, Debug, PartialEq)]
enum Message {
    Request(Request),
    Response(Response),
}

impl Message {
    fn arbitrary(key: ApiKey, direction: Direction, version: i16, entropy: &mut Entropy) -> Self {
        let version = key.version(version);
        macro_rules! arm {
            ($api:ident, $request:ident, $response:ident) => {
                if key == ApiKey::$api {
                    return match direction {
                        Direction::Request => {
                            Self::Request($request::arbitrary(entropy, version).into())
                        }
                        Direction::Response => {
                            Self::Response($response::arbitrary(entropy, version).into())
                        }
                    };
                }
            };
        }
        for_each_api!(arm);
        unreachable!("every API has an arm")
    }

    fn decode(
        key: ApiKey,
        direction: Direction,
        version: i16,
        body: Bytes,
    ) -> Result<Self, String> {
        match direction {
            Direction::Request => Request::decode(key.number(), version, body)
                .map(Self::Request)
                .map_err(|error| error.to_string()),
            Direction::Response => Response::decode(key, version, body)
                .map(Self::Response)
                .map_err(|error| error.to_string()),
        }
    }

    fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        match self {
            Self::Request(request) => request.encode(version),
            Self::Response(response) => response.encode(version),
        }
        .map(Encoded::into_bytes)
    }
}

/// Every API with both directions and all its versions.
fn every_layout() -> impl Iterator<Item = (ApiKey, Direction, i16)> {
    APIS.iter().flat_map(|api| {
        let versions = api.implemented.min..=api.implemented.max;
        versions.flat_map(move |version| {
            [Direction::Request, Direction::Response].map(|side| (api.key, side, version))
        })
    })
}

#[test]
fn the_table_is_in_order_and_agrees_with_its_rows() {
    assert!(APIS.is_sorted_by_key(|api| api.key.number()));
    for api in APIS {
        assert_eq!(api.key.info(), *api);
        assert_eq!(ApiKey::from_number(api.key.number()), Some(api.key));
        assert!(api.implemented.min <= api.implemented.max);
        assert_eq!(api.advertised.max, api.implemented.max);
        let same = api.advertised.min == api.implemented.min;
        assert!(same || api.key == ApiKey::Produce, "{api:?}");
    }
    assert_eq!(ApiKey::Produce.info().advertised.min, 0);
    assert_eq!(ApiKey::from_number(4), None);
}

#[test]
fn unknown_keys_and_versions_are_told_apart_from_broken_bodies() {
    let decode = |key, version| Request::decode(key, version, Bytes::new()).unwrap_err();
    assert_eq!(decode(4, 0), RequestError::UnknownKey { key: 4 });
    let key = ApiKey::Produce;
    assert_eq!(
        decode(0, 2),
        RequestError::UnsupportedVersion { key, version: 2 }
    );
    assert_eq!(
        decode(0, 12),
        RequestError::UnsupportedVersion { key, version: 12 }
    );
    assert!(matches!(
        decode(0, 3),
        RequestError::Malformed { version: 3, .. }
    ));
    assert_eq!(
        decode(0, 2).to_string(),
        "Produce has no version 2 here, only 3 to 11"
    );
}

#[test]
fn a_version_that_is_not_implemented_is_neither_read_nor_written() {
    let key = ApiKey::Metadata;
    let response = Response::from(MetadataResponse::default());
    assert!(response.encode(12).is_ok());
    let error = EncodeError::UnsupportedVersion {
        api: "Metadata",
        version: 13,
    };
    assert_eq!(response.encode(13), Err(error));
    let body = response.encode(12).unwrap().into_bytes();
    assert!(Response::decode(key, 13, body.clone()).is_err());
    assert!(Response::decode(key, -1, body.clone()).is_err());
    assert_eq!(Response::decode(key, 12, body), Ok(response));
}

#[test]
fn a_request_of_a_future_version_opens_as_far_as_its_client_id() {
    // ApiVersions v99 with what looks like a broken tag section.
    let frame = Bytes::from_static(b"\x00\x12\x00\x63\x00\x00\x00\x01\x00\x01x\xff\xff\xff");
    let (header, body) = open_request(frame).unwrap();
    assert_eq!(
        (header.key, header.version, header.correlation_id),
        (18, 99, 1)
    );
    assert_eq!(header.client_id, Some(Str::from_static("x")));
    let error = Request::decode(header.key, header.version, body).unwrap_err();
    assert!(matches!(
        error,
        RequestError::UnsupportedVersion {
            key: ApiKey::ApiVersions,
            ..
        }
    ));
}

#[test]
fn only_a_produce_with_acks_0_is_not_answered() {
    let produce = |acks| {
        Request::from(ProduceRequest {
            acks,
            ..Default::default()
        })
    };
    assert!(!produce(0).expects_response());
    assert!(produce(1).expects_response());
    assert!(produce(-1).expects_response());
    assert!(Request::from(FetchRequest::default()).expects_response());
}

#[test]
fn a_field_outside_its_versions_is_an_error_unless_it_is_ignorable() {
    let request = Request::from(FetchRequest {
        session_id: 5,
        ..Default::default()
    });
    assert!(request.encode(4).is_ok(), "the session id is ignorable");
    let forgotten = vec![fetch::FetchForgottenTopic::default()];
    let request = FetchRequest {
        forgotten_topics: forgotten,
        ..Default::default()
    };
    let error = Request::from(request).encode(4).unwrap_err();
    let field = "FetchRequest.forgotten_topics";
    assert_eq!(error, EncodeError::FieldNotInVersion { field, version: 4 });
    let state = fetch::FetchReplicaState {
        replica_id: 1,
        replica_epoch: 1,
    };
    let request = FetchRequest {
        replica_state: state,
        ..Default::default()
    };
    let field = "FetchRequest.replica_state";
    let error = EncodeError::FieldNotInVersion { field, version: 14 };
    assert_eq!(Request::from(request.clone()).encode(14), Err(error));
    assert!(Request::from(request).encode(15).is_ok());
}

#[test]
fn null_is_refused_in_the_versions_that_do_not_have_it() {
    let all = Request::from(MetadataRequest {
        topics: None,
        ..Default::default()
    });
    let error = EncodeError::NullNotInVersion {
        field: "MetadataRequest.topics",
        version: 0,
    };
    assert_eq!(all.encode(0), Err(error));
    assert_eq!(all.encode(1).unwrap().into_bytes(), [0xff; 4][..]);
    let null = Bytes::from_static(&[0xff; 4]);
    assert!(Request::decode(3, 0, null.clone()).is_err());
    assert_eq!(Request::decode(3, 1, null), Ok(all));
}

#[test]
fn before_a_struct_that_may_be_null_stands_minus_1_or_1_and_nothing_else() {
    let request = |marker: &[u8]| {
        let body = [&b"\x01\x00\x00\x07\xd0"[..], marker, b"\x00"].concat();
        Request::decode(75, 0, body.into())
    };
    let asked = |cursor| {
        Ok(Request::from(DescribeTopicPartitionsRequest {
            cursor,
            ..Default::default()
        }))
    };
    assert_eq!(request(b"\xff"), asked(None));
    let cursor = describe_topic_partitions::DescribeTopicPartitionsCursor {
        topic_name: Str::from_static("t"),
        partition_index: 3,
    };
    assert_eq!(request(b"\x01\x02t\0\0\0\x03\0"), asked(Some(cursor)));
    for marker in [
        &b"\x00\x02t\0\0\0\x03\0"[..],
        b"\x02\x02t\0\0\0\x03\0",
        b"\xfe",
    ] {
        assert!(request(marker).is_err(), "{marker:?}");
    }
}

#[test]
fn a_member_has_no_null_metadata_and_no_null_assignment() {
    // SyncGroup v0 of group "g", generation 0, member "m": one assignment, its bytes null.
    let body = b"\0\x01g\0\0\0\0\0\x01m\0\0\0\x01\0\x01m\xff\xff\xff\xff";
    let error = Request::decode(14, 0, Bytes::from_static(body)).unwrap_err();
    assert!(
        error.to_string().contains("null where bytes must stand"),
        "{error}"
    );
}

#[test]
fn empty_records_of_a_fetch_are_of_length_0_and_null_ones_are_read_as_empty() {
    let partition = fetch::FetchPartitionResponse::default();
    for (version, empty, null) in [
        (4, &b"\x00\x00\x00\x00"[..], &b"\xff\xff\xff\xff"[..]),
        (11, b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"),
        (12, b"\x01\x00", b"\x00\x00"),
    ] {
        let version = ApiKey::Fetch.version(version);
        let mut writer = Writer::new();
        partition.encode(&mut writer, version).unwrap();
        let bytes = writer.finish().into_bytes();
        let head = bytes.strip_suffix(empty).expect("the records come last");
        let mut reader = Reader::new([head, null].concat().into());
        assert_eq!(
            fetch::FetchPartitionResponse::decode(&mut reader, version),
            Ok(partition.clone())
        );
        assert_eq!(reader.remaining(), 0);
    }
}

#[test]
fn records_are_neither_copied_when_decoded_nor_when_encoded() {
    let batch = Bytes::from(vec![7; 4096]);
    let partitions = vec![produce::ProducePartition {
        index: 1,
        records: Some(batch.clone()),
    }];
    let topics = vec![produce::ProduceTopic {
        name: Str::from_static("t"),
        partitions,
    }];
    let request = Request::from(ProduceRequest {
        topics,
        acks: 1,
        ..Default::default()
    });
    let frame = request.encode_frame(9, 1, None).unwrap();
    assert!(
        frame
            .parts()
            .iter()
            .any(|part| part.as_ptr() == batch.as_ptr())
    );
    let frame = frame.into_bytes();
    let (header, body) = open_request(frame.slice(SIZE_BYTES..)).unwrap();
    let Ok(Request::Produce(decoded)) = Request::decode(header.key, header.version, body) else {
        panic!("not a Produce")
    };
    let records = decoded.topics[0].partitions[0].records.as_ref().unwrap();
    assert_eq!(*records, batch);
    assert!(frame.as_ptr_range().contains(&records.as_ptr()));
}
