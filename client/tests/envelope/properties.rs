//! What holds for any event and for any record.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_client::{ConsumerRecord, Envelope, Event, EventId, EventTime, Header, Record};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::string::string_regex;

use crate::read_back;

/// A text that an attribute can have.
fn text() -> impl Strategy<Value = String> {
    "\\PC{1,20}"
}

fn bytes(count_max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..count_max).prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = EventId> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(EventId::from),
        text().prop_map(EventId::from),
        "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
            .prop_map(EventId::from),
        "\"[a\"\\\\]{0,3}\"".prop_map(EventId::from),
    ]
    .prop_filter("an id is not empty", |id| !id.as_str().is_empty())
}

fn event() -> impl Strategy<Value = Event> {
    let optional = || prop::option::of(text());
    let extensions = prop::collection::btree_map("x[a-z0-9]{0,5}", "\\PC{0,10}", 0..4);
    let required = (id(), text(), text(), any::<i64>());
    let others = (optional(), optional(), optional(), extensions);
    let carried = (prop::option::of(bytes(20)), prop::option::of(bytes(20)));
    (required, others, carried).prop_map(|(required, others, (data, key))| Event {
        subject: others.0,
        dataschema: others.1,
        content_type: others.2,
        extensions: others.3,
        data,
        key,
        ..Event::at(required.3, required.1, required.2).id(required.0)
    })
}

/// Headers that are nearly an event's.
fn headers() -> impl Strategy<Value = Vec<Header>> {
    let key = prop_oneof![
        Just("ce_specversion".to_owned()),
        Just("content-type".to_owned()),
        prop::sample::select(vec!["eventId", "id", "ce_time", "ce_datacontenttype"])
            .prop_map(str::to_owned),
        "ce_[a-z]{0,3}",
        "\\PC{0,6}",
    ];
    let value = prop_oneof![
        Just(Bytes::from_static(b"1.0")),
        Just(Bytes::from_static(b"application/cloudevents+json")),
        Just(Bytes::from_static(b"2018-04-05T17:31:00Z")),
        text().prop_map(Bytes::from),
        bytes(20),
    ];
    let header = (key, prop::option::weighted(0.9, value));
    let header = header.prop_map(|(key, value)| Header { key, value });
    let known = |key: &str, value: &'static str| Header {
        key: key.to_owned(),
        value: Some(Bytes::from_static(value.as_bytes())),
    };
    let needed = vec![
        known("ce_specversion", "1.0"),
        known("ce_id", "1"),
        known("ce_source", "s"),
        known("ce_type", "t"),
    ];
    let needed = prop::sample::subsequence(needed, 0..=4);
    let rest = prop::collection::vec(header, 0..6);
    (needed, rest).prop_map(|(needed, rest)| [needed, rest].concat())
}

/// Values that are nearly an event in JSON.
fn value() -> impl Strategy<Value = Option<Bytes>> {
    let name = "specversion|id|source|type|time|data|data_base64|datacontenttype|[a-z]{1,2}";
    let member_value = r#""1\.0"|"[a-zA-Z0-9/+=\\]{0,8}"|null|true|[0-9]{1,11}|\{\}|\[1\]"#;
    let member = string_regex(&format!("\"({name})\":({member_value})")).unwrap();
    let needed = r#""specversion":"1.0","id":"1","source":"s","type":"t""#;
    prop_oneof![
        Just(None),
        bytes(40).prop_map(Some),
        prop::collection::vec(member, 0..6).prop_map(move |members| {
            let members = [&[needed.to_owned()], &members[..]].concat().join(",");
            Some(Bytes::from(format!("{{{members}}}")))
        }),
    ]
}

proptest! {
    #[test]
    fn every_event_is_read_as_it_was_written(event in event()) {
        let envelope = Envelope::new().tombstones().alias("eventId");
        let record = envelope.record("t", &event).unwrap();
        let record = read_back(record);
        prop_assert_eq!(record.event_id(), Ok(event.id.clone()));
        prop_assert_eq!(record.event(), Ok(event));
    }

    #[test]
    fn any_record_is_an_event_that_can_be_written_again_or_an_error(
        headers in headers(),
        value in value(),
        key in prop::option::of(bytes(4)),
    ) {
        let record = read_back(Record { headers, value, key, ..Record::to("t") });
        let id = record.event_id();
        if let Ok(event) = record.event() {
            prop_assert_eq!(id, Ok(event.id.clone()));
            let written = Envelope::new().tombstones().record("t", &event);
            prop_assert_eq!(read_back(written.unwrap()).event(), Ok(event));
        }
    }

    #[test]
    fn any_text_is_an_id_whose_text_is_the_same_id(
        text in prop_oneof![any::<String>(), "\"*\\PC{0,3}\"*"],
    ) {
        let id = EventId::from(text.as_str());
        prop_assert_eq!(EventId::from(id.as_str()), id.clone());
        if let Some(uuid) = id.uuid() {
            prop_assert_eq!(EventId::from(uuid), id);
        }
    }

    #[test]
    fn every_time_is_read_as_it_was_written(ms in prop_oneof![
        any::<i64>(),
        -62_167_219_200_000..253_402_300_800_000_i64,
    ]) {
        let time = EventTime::from_ms(ms);
        prop_assert_eq!(time.ms(), ms.clamp(-62_167_219_200_000, 253_402_300_799_999));
        prop_assert_eq!(time.as_str().parse(), Ok(time.clone()));
        prop_assert_eq!(time.as_str().len(), "2018-04-05T17:31:00.000Z".len());
    }

    #[test]
    fn any_text_is_a_time_that_stays_or_an_error(text in prop_oneof![
        any::<String>(),
        "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]\
            (\\.[0-9]{0,12})?([Zz]|[+-][0-9]{1,2}:[0-9]{1,2})?",
    ]) {
        if let Ok(time) = text.parse::<EventTime>() {
            prop_assert_eq!(time.as_str(), text);
        }
    }
}

/// The strategies reach both sides of what they test, or the properties above say little.
#[test]
fn records_of_the_strategy_are_events_and_are_none() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (headers(), value());
    let mut count = BTreeMap::from([(true, 0), (false, 0)]);
    for _ in 0..400 {
        let (headers, value) = strategy.new_tree(&mut runner).unwrap().current();
        let record: ConsumerRecord = read_back(Record {
            headers,
            value,
            ..Record::to("t")
        });
        *count.entry(record.event().is_ok()).or_default() += 1;
    }
    assert!(count.values().all(|count| *count >= 10), "{count:?}");
}
