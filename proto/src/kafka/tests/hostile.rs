//! Bytes that no honest peer sends.
//!
//! Floor 4 of proto; compiled for its tests only.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Decodes in the layout; what is accepted has to survive being written and read again.
fn check(key: ApiKey, direction: Direction, version: i16, body: Bytes) {
    let Ok(message) = Message::decode(key, direction, version, body) else {
        return;
    };
    let bytes = message
        .encode(version)
        .expect("what decodes can be encoded");
    let again = Message::decode(key, direction, version, bytes);
    assert_eq!(again, Ok(message), "{key:?} {direction:?} v{version}");
}

/// One or more wrong bytes, or a wrong end.
fn mutate(body: &Bytes, position: usize, noise: &[u8], cut: bool) -> Bytes {
    let mut bytes = body.to_vec();
    let position = position % (bytes.len() + 1);
    if cut {
        bytes.truncate(position);
    }
    let end = bytes.len().min(position + noise.len());
    bytes.splice(position.min(end)..end, noise.iter().copied());
    bytes.into()
}

proptest! {
    #[test]
    fn random_bytes_never_panic(body in vec(any::<u8>(), 0..300)) {
        for (key, direction, version) in every_layout() {
            check(key, direction, version, body.clone().into());
        }
    }

    #[test]
    fn mutated_messages_never_panic(
        entropy in Entropy::strategy(),
        position: u16,
        noise in vec(prop_oneof![Just(0), Just(1), Just(0x7f), Just(0xff), any::<u8>()], 0..6),
        cut: bool,
    ) {
        for (key, direction, version) in every_layout() {
            let message = Message::arbitrary(key, direction, version, &mut entropy.clone());
            let body = message.encode(version).unwrap();
            check(key, direction, version, mutate(&body, usize::from(position), &noise, cut));
        }
    }

    #[test]
    fn random_frames_never_panic(
        frame in vec(any::<u8>(), 0..60),
        key in 0_i16..80,
        version in 0_i16..20,
    ) {
        let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &frame].concat();
        if let Ok((header, body)) = open_request(head.into()) {
            let decoded = Request::decode(header.key, header.version, body);
            let known = ApiKey::from_number(key);
            let implemented = known.is_some_and(|key| key.info().implemented.contains(version));
            let refused = matches!(
                decoded,
                Err(RequestError::UnknownKey { .. } | RequestError::UnsupportedVersion { .. })
            );
            prop_assert_eq!(refused, !implemented);
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for (key, direction, version) in every_layout() {
        let mut entropy = Entropy::new((0..=255).cycle().take(600).collect());
        let message = Message::arbitrary(key, direction, version, &mut entropy);
        let body = message.encode(version).unwrap();
        for length in 0..body.len() {
            let cut = Message::decode(key, direction, version, body.slice(..length));
            assert!(
                cut.is_err(),
                "{key:?} {direction:?} v{version} cut to {length}"
            );
        }
        // Behind a request anything may stand, behind a response nothing.
        let longer = [&body[..], &[0, 1, 255]].concat();
        match Message::decode(key, direction, version, longer.into()) {
            Ok(decoded) => assert_eq!((decoded, direction), (message, Direction::Request)),
            Err(_) => assert_eq!(direction, Direction::Response, "{key:?} v{version}"),
        }
    }
}

/// Twelve bytes that make a decoder which trusts counts ask for 200 GB.
#[test]
fn a_count_of_two_billion_is_refused() {
    let body = Bytes::from_static(b"\xff\xff\x00\x01\x00\x00\x00\x00\x7f\xff\xff\xff");
    let error = Request::decode(0, 3, body).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the body of Produce v3 does not parse: a count of 2147483647 elements was announced \
         where at most 0 can follow (at byte 12)"
    );
}
