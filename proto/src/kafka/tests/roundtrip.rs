//! What is encoded decodes to the same message, in every layout.
//!
//! Floor 4 of proto; compiled for its tests only.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn every_layout_round_trips(entropy in Entropy::strategy()) {
        for (key, direction, version) in every_layout() {
            let message = Message::arbitrary(key, direction, version, &mut entropy.clone());
            let bytes = message.encode(version).unwrap();
            let decoded = Message::decode(key, direction, version, bytes);
            prop_assert_eq!(decoded, Ok(message), "{:?} {:?} v{}", key, direction, version);
        }
    }

    #[test]
    fn every_frame_round_trips(entropy in Entropy::strategy(), id: i32) {
        for (key, direction, version) in every_layout() {
            let message = Message::arbitrary(key, direction, version, &mut entropy.clone());
            let client_id = (id % 2 == 0).then(|| Str::from_static("client"));
            let frame = match &message {
                Message::Request(request) => request.encode_frame(version, id, client_id.clone()),
                Message::Response(response) => response.encode_frame(version, id),
            };
            let frame = frame.unwrap().into_bytes();
            let prefix = *frame.first_chunk().unwrap();
            let rest = frame.slice(SIZE_BYTES..);
            match message {
                Message::Request(request) => {
                    prop_assert_eq!(request_size(prefix, usize::MAX), Ok(rest.len()));
                    let (header, body) = open_request(rest).unwrap();
                    let expected =
                        RequestHeader { key: key.number(), version, correlation_id: id, client_id };
                    prop_assert_eq!(header, expected);
                    prop_assert_eq!(Request::decode(key.number(), version, body), Ok(request));
                }
                Message::Response(response) => {
                    prop_assert_eq!(response_size(prefix, usize::MAX), Ok(rest.len()));
                    let decoded = Response::decode_frame(key, version, rest);
                    prop_assert_eq!(decoded, Ok((id, response)));
                }
            }
        }
    }

    #[test]
    fn unknown_tagged_fields_at_the_end_are_skipped(
        entropy in Entropy::strategy(),
        unknown in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        for (key, direction, version) in every_layout() {
            let message = Message::arbitrary(key, direction, version, &mut entropy.clone());
            let bytes = message.encode(version).unwrap();
            // Only where the last byte is an empty tag section, not the end of a tagged field.
            let Some(head) = bytes.strip_suffix(&[0]) else { continue };
            let top_level_is_untagged = !matches!(
                &message,
                Message::Request(Request::Fetch(_))
                    | Message::Response(
                        Response::ApiVersions(_) | Response::Produce(_) | Response::Fetch(_)
                    )
            );
            if !key.version(version).flexible || !top_level_is_untagged {
                continue;
            }
            let tagged = [head, &[1, 99, u8::try_from(unknown.len()).unwrap()], &unknown].concat();
            let decoded = Message::decode(key, direction, version, tagged.into());
            prop_assert_eq!(decoded, Ok(message), "{:?} {:?} v{}", key, direction, version);
        }
    }
}

/// Every array has three elements, every string is empty: as much memory as a byte can ask for.
#[test]
fn the_smallest_elements_are_within_the_allowance() {
    for (key, direction, version) in every_layout() {
        let mut entropy = Entropy::new(vec![15; 9000]);
        let message = Message::arbitrary(key, direction, version, &mut entropy);
        let bytes = message.encode(version).unwrap();
        assert_eq!(Message::decode(key, direction, version, bytes), Ok(message));
    }
}

#[test]
fn many_empty_names_are_within_the_allowance() {
    let topic_names = vec![Str::default(); 10_000];
    let message = Message::Request(
        DeleteTopicsRequest {
            topic_names,
            ..Default::default()
        }
        .into(),
    );
    let bytes = message.encode(4).unwrap();
    assert_eq!(bytes.len(), 2 + 10_000 + 4 + 1);
    assert_eq!(
        Message::decode(ApiKey::DeleteTopics, Direction::Request, 4, bytes),
        Ok(message)
    );
}

#[test]
fn every_error_code_of_a_response_is_told_and_no_other_number() {
    use messages::metadata::{MetadataPartition, MetadataTopicResponse};
    let partition = |error_code| MetadataPartition {
        error_code,
        index: 7,
        leader_id: 8,
        ..MetadataPartition::default()
    };
    let topics = vec![
        MetadataTopicResponse {
            error_code: 3,
            ..MetadataTopicResponse::default()
        },
        MetadataTopicResponse {
            partitions: vec![partition(0), partition(5), partition(-1)],
            ..MetadataTopicResponse::default()
        },
    ];
    let response = Response::from(MetadataResponse {
        controller_id: 9,
        topics,
        ..MetadataResponse::default()
    });
    let mut told = Vec::new();
    response.error_codes(|code| told.push(code));
    assert_eq!(told, [3, 5, -1]);
}
