//! The crate `kafka-protocol`, which is generated from Kafka's own schemas, reads what we write and
//! writes the same bytes again.
//!
//! Floor 4 of proto; compiled for its tests only.

use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable};
use proptest::prelude::*;

use super::*;

/// What the other crate makes of a body: its own bytes in the version `to`, `None` if it cannot
/// carry the message. The outer `None`: the other crate does not have both versions.
pub(super) fn rewritten(
    key: ApiKey,
    direction: Direction,
    (from, to): (i16, i16),
    body: &Bytes,
) -> Option<Option<Bytes>> {
    macro_rules! arm {
        ($api:ident, $request:ident, $response:ident) => {
            if key == ApiKey::$api {
                return match direction {
                    Direction::Request => rewrite::<theirs::$request>(from, to, body),
                    Direction::Response => rewrite::<theirs::$response>(from, to, body),
                };
            }
        };
    }
    for_each_api!(arm);
    unreachable!("every API has an arm")
}

fn rewrite<T: Encodable + Decodable + kafka_protocol::protocol::Message>(
    from: i16,
    to: i16,
    body: &Bytes,
) -> Option<Option<Bytes>> {
    let has = |version| T::VERSIONS.min <= version && version <= T::VERSIONS.max;
    if !has(from) || !has(to) {
        return None;
    }
    let mut rest = body.clone();
    let message = T::decode(&mut rest, from).expect("ours decodes with theirs");
    assert!(rest.is_empty(), "theirs reads less than we wrote");
    let mut again = bytes::BytesMut::new();
    Some(message.encode(&mut again, to).ok().map(|()| again.freeze()))
}

proptest! {
    #[test]
    fn the_oracle_reads_every_layout_and_writes_the_same_bytes(entropy in Entropy::strategy()) {
        for (key, direction, version) in every_layout() {
            let message = Message::arbitrary(key, direction, version, &mut entropy.clone());
            let ours = message.encode(version).unwrap();
            let theirs = rewritten(key, direction, (version, version), &ours);
            if let Some(theirs) = theirs {
                prop_assert_eq!(
                    Some(ours), theirs, "{:?} {:?} v{} {:?}", key, direction, version, message
                );
            }
        }
    }

    /// A field that the old version lacks comes out as the same default; one that the new version
    /// lacks is ignorable to both or to neither.
    #[test]
    fn the_oracle_has_the_same_defaults_and_ignores_the_same_fields(
        entropy in Entropy::strategy()
    ) {
        for (key, direction, from) in every_layout() {
            let message = Message::arbitrary(key, direction, from, &mut entropy.clone());
            let body = message.encode(from).unwrap();
            let versions = key.info().implemented;
            for to in versions.min..=versions.max {
                let Some(theirs) = rewritten(key, direction, (from, to), &body) else { continue };
                match message.encode(to) {
                    Err(error) if is_laxer_than_kafka(&error) => continue,
                    ours => prop_assert_eq!(
                        ours.ok(), theirs, "{:?} {:?} v{} to v{}", key, direction, from, to
                    ),
                }
            }
        }
    }
}

/// Whether the other crate writes what Kafka refuses to write: it drops tagged fields that are not
/// ignorable, and a null where the version has none is not always an error to it.
fn is_laxer_than_kafka(error: &EncodeError) -> bool {
    match error {
        EncodeError::NullNotInVersion { .. } => true,
        EncodeError::FieldNotInVersion { field, .. } => [
            "FetchRequest.replica_state",
            "FetchResponse.node_endpoints",
            "FetchPartitionResponse.diverging_epoch",
            "FetchPartitionResponse.current_leader",
            "FetchPartitionResponse.snapshot_id",
            "ProduceResponse.node_endpoints",
            "ProducePartitionResponse.current_leader",
        ]
        .contains(field),
        _ => false,
    }
}

#[test]
fn the_oracle_has_every_layout_but_one() {
    let missing: Vec<_> = every_layout()
        .filter(|&(key, direction, version)| {
            let message = Message::arbitrary(key, direction, version, &mut Entropy::new(vec![]));
            let body = message.encode(version).unwrap();
            rewritten(key, direction, (version, version), &body).is_none()
        })
        .collect();
    let (list, request, response) = (ApiKey::ListOffsets, Direction::Request, Direction::Response);
    assert_eq!(missing, [(list, request, 0), (list, response, 0)]);
}

#[test]
fn the_headers_are_those_of_the_oracle() {
    use kafka_protocol::protocol::HeaderVersion;
    macro_rules! check {
        ($api:ident, $request:ident, $response:ident) => {
            let api = ApiKey::$api.info();
            for version in api.implemented.min..=api.implemented.max {
                let flexible = i16::from(api.key.version(version).flexible);
                assert_eq!(
                    theirs::$request::header_version(version),
                    1 + flexible,
                    "{api:?}"
                );
                let tagged = if api.key == ApiKey::ApiVersions {
                    0
                } else {
                    flexible
                };
                assert_eq!(
                    theirs::$response::header_version(version),
                    tagged,
                    "{api:?}"
                );
            }
            assert_eq!(theirs::$request::KEY, api.key.number());
        };
    }
    use kafka_protocol::protocol::Request as _;
    for_each_api!(check);
}
