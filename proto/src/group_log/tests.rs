//! The records of groups against bytes of Kafka itself, against each other, and against noise.
//!
//! Floor 5 of proto; compiled for its tests only.
//!
//! `golden.txt` has the bytes that the classes of Apache Kafka 4.3.1 wrote for the values below.

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

const COMMITTED_MS: i64 = 1_700_000_000_000;

/// What `offset-value-N` says.
fn offset(version: i16) -> OffsetValue {
    OffsetValue {
        offset: 42,
        leader_epoch: if version >= 3 { 5 } else { -1 },
        metadata: "m\u{e9}".to_owned(),
        commit_timestamp_ms: COMMITTED_MS,
        expire_timestamp_ms: if version == 1 {
            COMMITTED_MS + 60_000
        } else {
            -1
        },
    }
}

/// What `group-value-N` says.
fn group(version: i16) -> GroupValue {
    let some = |text: &str| Some(text.to_owned());
    let member = |id: &str, host: &str, rebalance_timeout_ms, session_timeout_ms| MemberValue {
        member_id: id.to_owned(),
        client_id: id[..1].to_owned(),
        client_host: host.to_owned(),
        rebalance_timeout_ms: if version >= 1 {
            rebalance_timeout_ms
        } else {
            session_timeout_ms
        },
        session_timeout_ms,
        ..MemberValue::default()
    };
    GroupValue {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: some("range"),
        leader: some("a-1"),
        state_timestamp_ms: if version >= 2 { COMMITTED_MS } else { -1 },
        members: vec![
            MemberValue {
                instance_id: some("i1").filter(|_| version >= 3),
                subscription: Bytes::from_static(&[0, 1, 2]),
                ..member("a-1", "/127.0.0.1", 300_000, 45_000)
            },
            MemberValue {
                assignment: Bytes::from_static(&[9]),
                ..member("b-2", "/::1", 60_000, 6000)
            },
        ],
    }
}

fn offset_record(value: Option<OffsetValue>) -> GroupRecord {
    GroupRecord::Offset {
        group: "billing".to_owned(),
        topic: "orders".to_owned(),
        partition: 3,
        value,
    }
}

fn group_record(value: Option<GroupValue>) -> GroupRecord {
    GroupRecord::Group {
        group: "billing".to_owned(),
        value,
    }
}

#[test]
fn every_version_is_read_as_kafka_wrote_it() {
    let (offset_key, group_key) = (golden("offset-key"), golden("group-key"));
    for version in 0..=4 {
        let value = golden(&format!("offset-value-{version}"));
        let read = GroupRecord::decode(&offset_key, Some(&value));
        assert_eq!(read, Ok(offset_record(Some(offset(version)))), "v{version}");
        let value = golden(&format!("group-value-{version}"));
        let read = GroupRecord::decode(&group_key, Some(&value));
        assert_eq!(read, Ok(group_record(Some(group(version)))), "v{version}");
    }
    let tombstones = [
        (&offset_key, offset_record(None)),
        (&group_key, group_record(None)),
    ];
    for (key, record) in tombstones {
        assert_eq!(GroupRecord::decode(key, None), Ok(record.clone()));
        let (written, none) = record.encode().unwrap();
        assert_eq!((written.as_ref(), none), (&key[..], None));
    }
}

#[test]
fn every_version_is_written_as_kafka_writes_it() {
    for version in 0..=4 {
        let ours = layout::offset_value(&offset(version), version).unwrap();
        assert_eq!(ours, golden(&format!("offset-value-{version}")));
        let ours = layout::group_value(&group(version), version).unwrap();
        assert_eq!(ours, golden(&format!("group-value-{version}")));
    }
}

#[test]
fn records_are_written_in_the_versions_that_every_tool_reads() {
    let value = |record: &GroupRecord| record.encode().unwrap().1.unwrap();
    let plain = offset_record(Some(offset(3)));
    assert_eq!(value(&plain), golden("offset-value-3"));
    let ends = offset_record(Some(offset(1)));
    assert_eq!(value(&ends), golden("offset-value-1"));
    let group = group_record(Some(group(3)));
    assert_eq!(value(&group), golden("group-value-3"));
}

#[test]
fn the_offset_key_of_version_0_is_read_too() {
    let mut key = golden("offset-key");
    key[1] = 0;
    assert_eq!(GroupRecord::decode(&key, None), Ok(offset_record(None)));
}

#[test]
fn a_record_of_another_kind_of_group_says_its_type() {
    let key = golden("consumer-group-key");
    assert_eq!(
        GroupRecord::decode(&key, None),
        Err(GroupLogError::UnknownType(3))
    );
    for other in [-1, 4, 5, 6, 7, 8, 15, 16, i16::MAX] {
        let read = GroupRecord::decode(&i16::to_be_bytes(other), Some(b"?"));
        assert_eq!(read, Err(GroupLogError::UnknownType(other)));
    }
}

#[test]
fn a_value_of_a_version_to_come_is_refused() {
    for (key, version) in [("offset-key", 5_i16), ("group-key", -1)] {
        let error = GroupRecord::decode(&golden(key), Some(&version.to_be_bytes())).unwrap_err();
        let text =
            format!("the value does not parse: version {version} is not supported (at byte 0)");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn unknown_tagged_fields_are_passed_over() {
    let mut value = golden("offset-value-4");
    value.pop();
    value.extend([1, 0x90, 0x4e, 2, 7, 7]);
    let read = GroupRecord::decode(&golden("offset-key"), Some(&value));
    assert_eq!(read, Ok(offset_record(Some(offset(4)))));
}

#[test]
fn a_string_that_no_layout_carries_is_an_error() {
    let long = "x".repeat(32_768);
    let too_long = EncodeError::TooLong { length: 32_768 };
    let mut records = [offset_record(Some(offset(3))), group_record(Some(group(3)))];
    match &mut records {
        [
            GroupRecord::Offset {
                value: Some(of), ..
            },
            GroupRecord::Group {
                value: Some(group), ..
            },
        ] => {
            of.metadata.clone_from(&long);
            group.members[0].member_id = long;
        }
        _ => unreachable!("one of each"),
    }
    for record in records {
        assert_eq!(record.encode(), Err(too_long.clone()));
    }
}

#[test]
fn every_truncation_and_every_longer_value_is_an_error() {
    for (key, name) in [("offset-key", "offset-value"), ("group-key", "group-value")] {
        let key = golden(key);
        for length in 0..key.len() {
            assert!(GroupRecord::decode(&key[..length], None).is_err());
        }
        for version in 0..=4 {
            let mut value = golden(&format!("{name}-{version}"));
            for length in 0..value.len() {
                let cut = GroupRecord::decode(&key, Some(&value[..length]));
                assert!(cut.is_err(), "{name}-{version} cut to {length}");
            }
            value.push(0);
            assert!(GroupRecord::decode(&key, Some(&value)).is_err());
        }
    }
}

#[test]
fn a_count_of_two_billion_members_is_refused() {
    let mut value = golden("empty-group-value-3");
    let count = value.len() - 4;
    value[count..].copy_from_slice(&i32::MAX.to_be_bytes());
    let error = GroupRecord::decode(&golden("group-key"), Some(&value)).unwrap_err();
    assert!(matches!(error, GroupLogError::Value(_)), "{error}");
}

fn text() -> impl Strategy<Value = String> {
    "[a-z\u{e9}\u{1f980}]{0,6}"
}

fn offsets() -> impl Strategy<Value = GroupRecord> {
    let ends = prop_oneof![Just(-1), 0..i64::MAX];
    let value = (any::<i64>(), any::<i32>(), text(), any::<i64>(), ends).prop_map(
        |(offset, leader_epoch, metadata, commit_timestamp_ms, expire_timestamp_ms)| OffsetValue {
            offset,
            // Version 1 has an end of its own, and no leader epoch.
            leader_epoch: if expire_timestamp_ms == -1 {
                leader_epoch
            } else {
                -1
            },
            metadata,
            commit_timestamp_ms,
            expire_timestamp_ms,
        },
    );
    (text(), text(), any::<i32>(), option::of(value)).prop_map(
        |(group, topic, partition, value)| GroupRecord::Offset {
            group,
            topic,
            partition,
            value,
        },
    )
}

fn members() -> impl Strategy<Value = MemberValue> {
    let bytes = || vec(any::<u8>(), 0..600).prop_map(Bytes::from);
    (
        (text(), option::of(text()), text(), text()),
        (any::<i32>(), any::<i32>(), bytes(), bytes()),
    )
        .prop_map(|(names, rest)| MemberValue {
            member_id: names.0,
            instance_id: names.1,
            client_id: names.2,
            client_host: names.3,
            rebalance_timeout_ms: rest.0,
            session_timeout_ms: rest.1,
            subscription: rest.2,
            assignment: rest.3,
        })
}

fn groups() -> impl Strategy<Value = GroupRecord> {
    let value = (
        (text(), any::<i32>(), option::of(text())),
        (option::of(text()), any::<i64>(), vec(members(), 0..4)),
    )
        .prop_map(|(head, tail)| GroupValue {
            protocol_type: head.0,
            generation: head.1,
            protocol: head.2,
            leader: tail.0,
            state_timestamp_ms: tail.1,
            members: tail.2,
        });
    (text(), option::of(value)).prop_map(|(group, value)| GroupRecord::Group { group, value })
}

proptest! {
    #[test]
    fn what_is_written_is_read(record in prop_oneof![offsets(), groups()]) {
        let (key, value) = record.encode().unwrap();
        prop_assert_eq!(GroupRecord::decode(&key, value.as_deref()), Ok(record));
    }

    #[test]
    fn versions_3_and_4_say_the_same(record in prop_oneof![offsets(), groups()]) {
        let (key, _) = record.encode().unwrap();
        let flexible = match &record {
            GroupRecord::Offset { value: Some(value), .. } if value.expire_timestamp_ms == -1 =>
                layout::offset_value(value, 4).unwrap(),
            GroupRecord::Group { value: Some(value), .. } =>
                layout::group_value(value, 4).unwrap(),
            _ => return Ok(()),
        };
        prop_assert_eq!(GroupRecord::decode(&key, Some(&flexible)), Ok(record));
    }

    /// What is accepted can be written, and says the same then.
    #[test]
    fn noise_never_panics(
        record in prop_oneof![offsets(), groups()],
        noise in vec((any::<u16>(), any::<u8>()), 0..4),
    ) {
        let (key, value) = record.encode().unwrap();
        let (mut key, mut value) = (key.to_vec(), value.unwrap_or_default().to_vec());
        for (at, byte) in noise {
            // The heads of both, where versions, lengths and counts are.
            let (at, key_bytes) = (usize::from(at), key.len());
            match at.checked_sub(1 << 14) {
                None => key[at % key_bytes] = byte,
                Some(at) => value.get_mut(at % 60).into_iter().for_each(|old| *old = byte),
            }
        }
        if let Ok(record) = GroupRecord::decode(&key, Some(&value)) {
            let (key, value) = record.encode().expect("what is read can be written");
            prop_assert_eq!(GroupRecord::decode(&key, value.as_deref()), Ok(record));
        }
    }
}
