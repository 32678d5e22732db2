//! Rows and the records that they have to become.
//!
//! Floor 6 of client, tests only.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::envelope::{Event, EventTime};
use crate::outbox::json;
use crate::record::Header;

/// A row by the names of its columns.
fn row(router: &Router, columns: &[(&str, SqlValue)]) -> SqlRow {
    let values = router.columns().into_iter().map(|name| {
        let found = columns.iter().find(|(column, _)| *column == name);
        found.map_or(SqlValue::Null, |(_, value)| value.clone())
    });
    SqlRow(values.collect())
}

/// The row of Debezium's documentation, with further columns.
fn debezium_row(router: &Router, more: &[(&str, SqlValue)]) -> SqlRow {
    let mut columns = more.to_vec();
    columns.extend([
        ("id", "406c07f3-26f0-4eea-a50c-109940064b8f".into()),
        ("aggregatetype", "Order".into()),
        ("aggregateid", "1".into()),
        ("type", "OrderCreated".into()),
        ("payload", r#"{"id": 1, "total": 12.5}"#.into()),
    ]);
    row(router, &columns)
}

fn debezium(properties: &[(&str, &str)]) -> Router {
    Router::debezium(properties.iter().copied()).unwrap()
}

fn text(bytes: Option<&Bytes>) -> Option<&str> {
    bytes.map(|bytes| std::str::from_utf8(bytes).unwrap())
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a Header> {
    record.headers.iter().find(|header| header.key == name)
}

#[test]
fn debeziums_defaults() {
    let router = debezium(&[]);
    let record = router.record(&debezium_row(&router, &[])).unwrap();
    assert_eq!(record.topic, "outbox.event.Order");
    assert_eq!(text(record.key.as_ref()), Some("1"));
    assert_eq!(
        text(record.value.as_ref()),
        Some(r#"{"id": 1, "total": 12.5}"#)
    );
    assert_eq!((record.partition, record.timestamp), (None, None));
    let id = Header {
        key: "id".to_owned(),
        value: Some(Bytes::from("406c07f3-26f0-4eea-a50c-109940064b8f")),
    };
    assert_eq!(record.headers, [id]);
    assert_eq!(
        router.columns(),
        ["id", "aggregateid", "payload", "aggregatetype"]
    );
}

#[test]
fn the_topic_follows_from_a_column_an_expression_and_a_replacement() {
    for (properties, topic) in [
        (
            &[("route.topic.replacement", "${routedByValue}.events")][..],
            "Order.events",
        ),
        (&[("route.by.field", "type")], "outbox.event.OrderCreated"),
        (
            &[
                ("route.by.field", "type"),
                ("route.topic.regex", "([A-Z][a-z]+)([A-Z][a-z]+)"),
                ("route.topic.replacement", r"$1\$-$2-$0"),
            ],
            "Order$-Created-OrderCreated",
        ),
        // As in Java: $12 is group 1 and a 2 where there is no group 12.
        (
            &[
                ("route.topic.regex", "(.*)"),
                ("route.topic.replacement", "$12"),
            ],
            "Order2",
        ),
        // What does not match as a whole stays as it is.
        (
            &[
                ("route.topic.regex", "Ord"),
                ("route.topic.replacement", "x"),
            ],
            "Order",
        ),
    ] {
        let router = debezium(properties);
        let record = router.record(&debezium_row(&router, &[])).unwrap();
        assert_eq!(record.topic, topic, "{properties:?}");
    }
}

#[test]
fn further_columns_go_where_they_are_placed() {
    let router = debezium(&[(
        "table.fields.additional.placement",
        "type:header:eventType, tenant:header, shard:partition,gone:header",
    )]);
    let more = [("tenant", 7_i64.into()), ("shard", 3_i64.into())];
    let record = router.record(&debezium_row(&router, &more)).unwrap();
    let value = |name: &str| text(header(&record, name).unwrap().value.as_ref());
    assert_eq!(
        (value("eventType"), value("tenant")),
        (Some("OrderCreated"), Some("7"))
    );
    assert_eq!((value("gone"), record.partition), (None, Some(3)));

    let placed = (
        "table.fields.additional.placement",
        "type:envelope:eventType,tenant:envelope",
    );
    let router = debezium(&[placed]);
    let record = router.record(&debezium_row(&router, &more)).unwrap();
    let value =
        r#"{"payload":"{\"id\": 1, \"total\": 12.5}","eventType":"OrderCreated","tenant":7}"#;
    assert_eq!(text(record.value.as_ref()), Some(value));

    let router = debezium(&[placed, ("table.expand.json.payload", "true")]);
    let record = router.record(&debezium_row(&router, &more)).unwrap();
    let value = r#"{"payload":{"id": 1, "total": 12.5},"eventType":"OrderCreated","tenant":7}"#;
    assert_eq!(text(record.value.as_ref()), Some(value));
    // What is no JSON stays a text.
    let broken = [("payload", "{\"id\": 1".into()), ("tenant", SqlValue::Null)];
    let record = router.record(&debezium_row(&router, &broken)).unwrap();
    let value = r#"{"payload":"{\"id\": 1","eventType":"OrderCreated","tenant":null}"#;
    assert_eq!(text(record.value.as_ref()), Some(value));
}

#[test]
fn an_empty_payload_is_a_tombstone_only_where_that_is_asked_for() {
    let (kept, deletes) = (
        debezium(&[]),
        debezium(&[("route.tombstone.on.empty.payload", "TRUE")]),
    );
    for (payload, value) in [(SqlValue::Null, ""), ("".into(), ""), ("  ".into(), "  ")] {
        let more = [("payload", payload)];
        let record = kept.record(&debezium_row(&kept, &more)).unwrap();
        assert_eq!(text(record.value.as_ref()), Some(value));
        let record = deletes.record(&debezium_row(&deletes, &more)).unwrap();
        assert_eq!(record.value, None);
    }
}

#[test]
fn a_timestamp_is_a_number_or_what_databases_write() {
    let router = debezium(&[("table.field.event.timestamp", "at")]);
    let at = |value: SqlValue| {
        let record = router.record(&debezium_row(&router, &[("at", value)]));
        record.map(|record| record.timestamp)
    };
    let noon = Some(1_522_942_260_000);
    assert_eq!(at(1_522_942_260_000_i64.into()), Ok(noon));
    for text in [
        "2018-04-05 15:31:00+00",
        "2018-04-05 17:31:00+02",
        "2018-04-05T15:31:00Z",
        "2018-04-05 15:31:00",
        "2018-04-05 15:31:00.000123",
    ] {
        assert_eq!(at(text.into()), Ok(noon), "{text}");
    }
    assert_eq!(at(SqlValue::Null), Ok(None));
    let why = at("noon".into()).unwrap_err();
    assert!(why.starts_with("its at \"noon\" cannot be read: "), "{why}");
}

#[test]
fn a_trace_is_read_as_properties_of_java_and_as_a_traceparent() {
    let router = debezium(&[("tracing.span.context.field", "tracingspancontext")]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let properties = format!("#Wed Nov 25\ntraceparent={parent}\ntracestate=vendor=1\n");
    for (column, state) in [(properties.as_str(), Some("vendor=1")), (parent, None)] {
        let more = [("tracingspancontext", column.into())];
        let record = router.record(&debezium_row(&router, &more)).unwrap();
        let value = |name: &str| text(header(&record, name)?.value.as_ref());
        assert_eq!(
            (value("traceparent"), value("tracestate")),
            (Some(parent), state)
        );
    }
}

#[test]
fn what_is_stored_as_bytes_is_sent_as_bytes() {
    let router = debezium(&[]);
    let more = [
        ("id", vec![1_u8; 16].into()),
        ("aggregateid", vec![0xff_u8, 0].into()),
        ("payload", vec![0_u8, 159].into()),
    ];
    let values = debezium_row(&router, &more);
    let record = router.record(&values).unwrap();
    assert_eq!(record.key.as_deref(), Some(&[0xff, 0][..]));
    assert_eq!(record.value.as_deref(), Some(&[0, 159][..]));
    let id = text(header(&record, "id").unwrap().value.as_ref());
    assert_eq!(id, Some("01010101-0101-0101-0101-010101010101"));
    assert_eq!(router.lane(&values).unwrap().key(), "\\xff00");
}

#[test]
fn a_row_that_cannot_be_a_record_says_why() {
    let router = debezium(&[("table.fields.additional.placement", "shard:partition")]);
    for (column, value, why) in [
        (
            "aggregatetype",
            SqlValue::Null,
            "its aggregatetype is no text",
        ),
        ("id", SqlValue::Null, "its id is empty"),
        (
            "shard",
            SqlValue::Integer(-1),
            "its shard is -1, which is no partition",
        ),
        (
            "shard",
            SqlValue::Text("x".to_owned()),
            "its shard is no whole number",
        ),
    ] {
        let found = router.record(&debezium_row(&router, &[(column, value)]));
        assert_eq!(found, Err(why.to_owned()));
    }
    let events = Router::default();
    for (column, value, why) in [
        ("type", SqlValue::Null, "its type is no text"),
        (
            "headers",
            "[]".into(),
            "its headers are no object of texts: at byte 0 it should have '{'",
        ),
        (
            "headers",
            r#"{"ce_time":"x"}"#.into(),
            "its ce_time \"x\" cannot be read: ",
        ),
        (
            "headers",
            r#"{"ce_No":"x"}"#.into(),
            "the event OrderCreated with the id ",
        ),
    ] {
        let found = events
            .record(&debezium_row(&events, &[(column, value)]))
            .unwrap_err();
        assert!(found.starts_with(why), "{found}");
    }
}

#[test]
fn a_property_that_cannot_be_right_is_refused() {
    for (name, value, why) in [
        (
            "route.by.filed",
            "x",
            "route.by.filed=x is no property of the outbox event router",
        ),
        (
            "route.topic.regex",
            "(",
            "route.topic.regex=( is no expression",
        ),
        (
            "route.topic.replacement",
            "${no}",
            "route.topic.replacement names a group that is none",
        ),
        (
            "route.topic.replacement",
            "$2",
            "route.topic.replacement names a group that is none: $2",
        ),
        (
            "route.tombstone.on.empty.payload",
            "1",
            "route.tombstone.on.empty.payload=1 has to be",
        ),
        (
            "table.fields.additional.placement",
            "x",
            "table.fields.additional.placement has \"x\"",
        ),
        (
            "table.fields.additional.placement",
            "x:body",
            "table.fields.additional.placement has",
        ),
        (
            "table.fields.additional.error.on.missing",
            "false",
            "table.fields.additional.error.on",
        ),
    ] {
        let error = Router::debezium([(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
    // What only Connect itself does is passed over.
    let _ = debezium(&[
        ("table.op.invalid.behavior", "fatal"),
        ("tracing.operation.name", "x"),
    ]);
}

#[test]
fn rows_of_one_key_and_route_share_a_lane() {
    let router = Router::default();
    let lane = |route: &str, key: &str| {
        let more = [("aggregatetype", route.into()), ("aggregateid", key.into())];
        router.lane(&row(&router, &more))
    };
    assert_eq!(lane("a", "k"), lane("a", "k"));
    assert_ne!(lane("a", "k"), lane("b", "k"));
    assert_ne!(lane("a", "k"), lane("a", "l"));
    assert_eq!(lane("a", ""), None);
}

fn names() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,8}".prop_filter("it is the event's own", |name| {
        let own = [
            "id",
            "source",
            "type",
            "time",
            "subject",
            "dataschema",
            "data",
        ];
        !own.contains(&name.as_str()) && name != "specversion" && name != "datacontenttype"
    })
}

/// Text that CloudEvents allows.
fn words() -> impl Strategy<Value = String> {
    "[ -~\u{e4}\u{1f600}]{1,12}"
}

prop_compose! {
    fn events()(
        uuid: Option<[u8; 16]>,
        id in words(),
        (source, event_type) in (words(), words()),
        ms in prop::option::of(0..4_000_000_000_000_i64),
        (subject, schema) in (prop::option::of(words()), prop::option::of(words())),
        extensions in prop::collection::btree_map(names(), "[ -~]{0,8}", 0..4),
        data: Vec<u8>,
        key in prop::option::of("[^\0]{1,20}"),
    ) -> Event {
        let mut event = Event::at(0, source, event_type);
        event.id = uuid.map_or_else(|| EventId::from(id), EventId::from);
        event.time = ms.map(EventTime::from_ms);
        event.subject = subject;
        event.dataschema = schema;
        event.extensions = extensions;
        event.data = Some(data.into());
        event.key = key.map(Into::into);
        event
    }
}

proptest! {
    #[test]
    fn an_event_becomes_the_record_that_it_would_be_without_an_outbox(event in events()) {
        let router = Router::default();
        let own_id = event.id.uuid().is_none();
        let headers = headers_of(&event, own_id, None, &[]).unwrap();
        let headers = headers.iter().map(|(name, text)| (name.as_str(), Some(text.as_str())));
        let id = event.id.uuid().unwrap_or_else(row_id);
        let key = event.key.as_deref().map(|key| std::str::from_utf8(key).unwrap());
        let values = row(&router, &[
            ("id", id.as_slice().into()),
            ("aggregatetype", "t".into()),
            ("aggregateid", key.unwrap_or_default().into()),
            ("type", event.event_type.as_str().into()),
            ("payload", event.data.as_deref().into()),
            ("headers", json::write(headers).into()),
        ]);
        let direct = event.to("t");
        prop_assume!(direct.is_ok());
        prop_assert_eq!(router.record(&values), Ok(direct.unwrap()));
    }
}
