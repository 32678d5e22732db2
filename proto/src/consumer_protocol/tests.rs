//! Subscriptions and assignments against bytes of Kafka itself, an oracle, and noise.
//!
//! Floor 5 of proto; compiled for its tests only.
//!
//! `golden.txt` has the bytes that the classes of Apache Kafka 4.3.1 wrote for the values below.

use bytes::BytesMut;
use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use kafka_protocol::protocol::{Decodable, Encodable};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::hex::unhex;

const GOLDEN: &str = include_str!("golden.txt");

fn golden(name: &str) -> Vec<u8> {
    let mut lines = GOLDEN.lines().filter_map(|line| line.split_once(' '));
    let (_, hex) = lines.find(|(line, _)| *line == name).expect(name);
    unhex(hex)
}

/// What `subscription-N` says.
fn subscription(version: i16) -> Subscription {
    let whole = Subscription {
        topics: vec!["orders".to_owned(), "refunds".to_owned()],
        user_data: Some(Bytes::from_static(&[1, 2])),
        owned_partitions: vec![("orders".to_owned(), vec![0, 2])],
        generation: 7,
        rack: Some("r1".to_owned()),
    };
    limited(whole, version)
}

/// What a version can say of it.
fn limited(mut subscription: Subscription, version: i16) -> Subscription {
    let Subscription {
        owned_partitions,
        generation,
        rack,
        ..
    } = Subscription::default();
    if version < 1 {
        subscription.owned_partitions = owned_partitions;
    }
    if version < 2 {
        subscription.generation = generation;
    }
    if version < 3 {
        subscription.rack = rack;
    }
    subscription
}

fn assignment() -> Assignment {
    Assignment {
        partitions: vec![
            ("orders".to_owned(), vec![0, 2]),
            ("refunds".to_owned(), Vec::new()),
        ],
        user_data: None,
    }
}

#[test]
fn every_version_has_the_bytes_of_kafka() {
    for version in 0..=VERSION_MAX {
        let bytes = golden(&format!("subscription-{version}"));
        assert_eq!(Subscription::decode(&bytes), Ok(subscription(version)));
        // The newest value too: a version leaves out what it cannot say.
        for value in [subscription(version), subscription(VERSION_MAX)] {
            assert_eq!(value.encode(version).unwrap(), bytes);
        }
        let bytes = golden(&format!("assignment-{version}"));
        assert_eq!(Assignment::decode(&bytes), Ok(assignment()));
        assert_eq!(assignment().encode(version).unwrap(), bytes);
    }
}

#[test]
fn a_later_version_is_read_as_the_newest_known() {
    for version in [4_i16, i16::MAX] {
        let later = |name: &str| {
            let mut bytes = golden(name);
            bytes[..2].copy_from_slice(&version.to_be_bytes());
            bytes.extend(b"fields to come");
            bytes
        };
        let read = Subscription::decode(&later("subscription-3"));
        assert_eq!(read, Ok(subscription(3)));
        let read = Assignment::decode(&later("assignment-3"));
        assert_eq!(read, Ok(assignment()));
    }
}

#[test]
fn versions_that_are_not_known_are_not_written_and_negative_ones_not_read() {
    for version in [-1_i16, 4] {
        let unsupported = |api| EncodeError::UnsupportedVersion { api, version };
        assert_eq!(
            Subscription::default().encode(version),
            Err(unsupported("ConsumerProtocolSubscription"))
        );
        assert_eq!(
            Assignment::default().encode(version),
            Err(unsupported("ConsumerProtocolAssignment"))
        );
    }
    let mut bytes = golden("subscription-0");
    bytes[..2].copy_from_slice(&(-1_i16).to_be_bytes());
    assert!(Subscription::decode(&bytes).is_err());
    assert!(Subscription::decode_topics(&bytes).is_err());
    assert!(Assignment::decode(&bytes).is_err());
}

/// Clients that announce version 1 and send the layout of version 0.
#[test]
fn a_subscription_may_end_before_the_fields_of_its_version() {
    let mut bytes = golden("subscription-0");
    for version in 1..=3 {
        bytes[1] = version;
        assert_eq!(Subscription::decode(&bytes), Ok(subscription(0)));
    }
}

#[test]
fn any_other_cut_is_an_error() {
    let whole = golden("subscription-3");
    let ends: Vec<_> = (0..3)
        .map(|version| golden(&format!("subscription-{version}")).len())
        .collect();
    for length in (0..whole.len()).filter(|length| !ends.contains(length)) {
        assert!(Subscription::decode(&whole[..length]).is_err(), "{length}");
    }
    let whole = golden("assignment-3");
    for length in 1..whole.len() {
        assert!(Assignment::decode(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn no_bytes_are_an_empty_assignment_but_no_subscription() {
    assert_eq!(Assignment::decode(&[]), Ok(Assignment::default()));
    assert!(Subscription::decode(&[]).is_err());
    assert!(Subscription::decode_topics(&[]).is_err());
}

#[test]
fn the_topics_are_read_whatever_follows_them() {
    for version in 0..=VERSION_MAX {
        let mut bytes = golden(&format!("subscription-{version}"));
        let topics_end = 2 + 4 + (2 + 6) + (2 + 7);
        bytes.truncate(topics_end);
        bytes.extend([0xff; 3]);
        let topics = Subscription::decode_topics(&bytes);
        assert_eq!(topics, Ok(subscription(0).topics));
        assert!(Subscription::decode_topics(&bytes[..topics_end - 1]).is_err());
    }
}

#[test]
fn a_count_of_two_billion_is_refused() {
    let bytes = [0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0];
    for error in [
        Subscription::decode(&bytes).unwrap_err(),
        Subscription::decode_topics(&bytes).unwrap_err(),
        Assignment::decode(&bytes).unwrap_err(),
    ] {
        assert!(
            matches!(error.kind, DecodeErrorKind::CountTooLarge { .. }),
            "{error}"
        );
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-z\u{e9}\u{1f980}]{0,6}"
}

fn partitions() -> impl Strategy<Value = Vec<(String, Vec<i32>)>> {
    vec((text(), vec(any::<i32>(), 0..5)), 0..4)
}

fn user_data() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..600).prop_map(Bytes::from))
}

fn subscriptions() -> impl Strategy<Value = Subscription> {
    let names = (vec(text(), 0..4), option::of(text()));
    (names, user_data(), partitions(), any::<i32>()).prop_map(
        |((topics, rack), user_data, owned_partitions, generation)| Subscription {
            topics,
            user_data,
            owned_partitions,
            generation,
            rack,
        },
    )
}

fn assignments() -> impl Strategy<Value = Assignment> {
    (partitions(), user_data()).prop_map(|(partitions, user_data)| Assignment {
        partitions,
        user_data,
    })
}

/// Our bytes as the oracle writes them after it has read them.
fn rewritten<T: Encodable + Decodable>(ours: &Bytes, version: i16) -> Bytes {
    let mut rest = ours.slice(2..);
    let message = T::decode(&mut rest, version).expect("ours decodes with theirs");
    assert!(rest.is_empty(), "theirs reads less than we wrote");
    let mut again = BytesMut::from(&version.to_be_bytes()[..]);
    message.encode(&mut again, version).unwrap();
    again.freeze()
}

proptest! {
    #[test]
    fn what_is_written_is_read(wants in subscriptions(), gets in assignments()) {
        for version in 0..=VERSION_MAX {
            let bytes = wants.encode(version).unwrap();
            prop_assert_eq!(rewritten::<ConsumerProtocolSubscription>(&bytes, version), &bytes);
            prop_assert_eq!(Subscription::decode_topics(&bytes), Ok(wants.topics.clone()));
            let read = Subscription::decode(&bytes);
            prop_assert_eq!(read, Ok(limited(wants.clone(), version)));
            let bytes = gets.encode(version).unwrap();
            prop_assert_eq!(rewritten::<ConsumerProtocolAssignment>(&bytes, version), &bytes);
            prop_assert_eq!(Assignment::decode(&bytes), Ok(gets.clone()));
        }
    }

    #[test]
    fn noise_never_panics(
        wants in subscriptions(),
        at: u16,
        noise in vec(prop_oneof![Just(0), Just(0x7f), Just(0xff), any::<u8>()], 0..6),
    ) {
        let mut bytes = wants.encode(VERSION_MAX).unwrap().to_vec();
        let at = usize::from(at) % (bytes.len() + 1);
        let end = bytes.len().min(at + noise.len());
        bytes.splice(at..end, noise);
        if let Ok(read) = Subscription::decode(&bytes) {
            let again = read.encode(VERSION_MAX).expect("what is read can be written");
            prop_assert_eq!(Subscription::decode(&again), Ok(read));
        }
        if let Ok(read) = Assignment::decode(&bytes) {
            let again = read.encode(VERSION_MAX).expect("what is read can be written");
            prop_assert_eq!(Assignment::decode(&again), Ok(read));
        }
    }
}
