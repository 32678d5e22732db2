//! Events in records: their bytes, their ids in every form, what is refused and why, and the way
//! through a broker.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod ids;
mod others;
mod properties;
#[cfg(feature = "json")]
mod structured;
#[cfg(any(feature = "json", feature = "protobuf"))]
mod typed;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_client::{
    Client, ClientError, ConsumerConfig, ConsumerRecord, Envelope, Event, EventTime, Header,
    ProducerConfig, Record, StartAt, TraceContext,
};

/// A record as a consumer gets it.
fn read_back(record: Record) -> ConsumerRecord {
    ConsumerRecord {
        topic: Arc::from(record.topic),
        partition: 3,
        offset: 42,
        timestamp: 0,
        key: record.key,
        value: record.value,
        headers: record.headers,
    }
}

/// A record with these headers, in their order.
fn with(headers: &[(&str, &[u8])]) -> ConsumerRecord {
    let record = Record::to("order-events").value("{}");
    let add = |record: Record, (key, value): &(&str, &[u8])| {
        record.header(*key, Bytes::copy_from_slice(value))
    };
    read_back(headers.iter().fold(record, add))
}

fn why(error: ClientError) -> String {
    assert!(!error.is_retriable(), "{error}");
    error.to_string()
}

/// With every attribute that there is.
fn full() -> Event {
    Event::at(1_522_942_260_123, "/shop/orders", "order.created.v1")
        .id("0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f")
        .key("order-42")
        .subject("order-42")
        .dataschema("/schemas/order.created/1")
        .content_type("application/json")
        .extension("sequence", "7")
        .extension("correlationid", "caf\u{e9} 9")
        .data(r#"{"total":12}"#)
}

const GOLDEN: [(&str, &[u8]); 10] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f"),
    ("ce_source", b"/shop/orders"),
    ("ce_type", b"order.created.v1"),
    ("ce_time", b"2018-04-05T15:31:00.123Z"),
    ("ce_subject", b"order-42"),
    ("ce_dataschema", b"/schemas/order.created/1"),
    ("content-type", b"application/json"),
    ("ce_correlationid", b"caf\xc3\xa9 9"),
    ("ce_sequence", b"7"),
];

#[test]
fn every_header_has_its_golden_bytes() {
    let record = full().to("order-events").unwrap();
    let golden = GOLDEN.map(|(key, value)| Header {
        key: key.to_owned(),
        value: Some(Bytes::from_static(value)),
    });
    assert_eq!(record.headers, golden);
    assert_eq!(record.topic, "order-events");
    assert_eq!(record.key.as_deref(), Some(&b"order-42"[..]));
    assert_eq!(record.value.as_deref(), Some(&br#"{"total":12}"#[..]));
    assert_eq!((record.partition, record.timestamp), (None, None));
    assert_eq!(read_back(record).event(), Ok(full()));
}

#[test]
fn an_event_has_the_headers_that_it_needs_and_no_others() {
    let mut event = Event::new("s", "t").id("1").data("");
    event.time = None;
    let record = event.to("order-events").unwrap();
    let keys: Vec<_> = record.headers.iter().map(|h| h.key.as_str()).collect();
    assert_eq!(keys, ["ce_specversion", "ce_id", "ce_source", "ce_type"]);
    assert_eq!(
        record.value.as_deref(),
        Some(&b""[..]),
        "empty data is data"
    );
    assert_eq!(read_back(record).event(), Ok(event));
}

#[test]
fn aliases_have_the_id_behind_all_other_headers() {
    let envelope = Envelope::new().alias("eventId").alias("id");
    let headers = envelope.record("order-events", &full()).unwrap().headers;
    assert_eq!(headers.len(), GOLDEN.len() + 2);
    for (header, key) in headers.iter().skip(GOLDEN.len()).zip(["eventId", "id"]) {
        assert_eq!(header.key, key);
        assert_eq!(header.value.as_deref(), Some(GOLDEN[1].1));
    }
    for taken in ["ce_id", "ce_anything", "content-type"] {
        let refused = Envelope::new().alias(taken).record("t", &full());
        let why = why(refused.unwrap_err());
        assert!(
            why.contains(&format!("{taken} is a header of CloudEvents")),
            "{why}"
        );
    }
}

#[test]
fn an_event_that_readers_would_take_for_another_is_refused() {
    let extension = |name: &str| full().extension(name, "x");
    for (event, sentence) in [
        (full().id(""), "its id is empty"),
        (full().id("\"\""), "its id is empty"),
        (
            full().id("a\nb"),
            "its id has a character that CloudEvents forbids: \"a\\nb\"",
        ),
        (full().subject(""), "its subject is empty"),
        (
            full().subject("\u{fdd0}"),
            "its subject has a character that CloudEvents forbids",
        ),
        (
            Event {
                source: String::new(),
                ..full()
            },
            "its source is empty",
        ),
        (
            Event {
                event_type: String::new(),
                ..full()
            },
            "its type is empty",
        ),
        (
            extension("Sequence"),
            "\"Sequence\" is no name for an extension",
        ),
        (
            extension("my_name"),
            "\"my_name\" is no name for an extension",
        ),
        (extension(""), "\"\" is no name for an extension"),
        (extension("id"), "\"id\" is no name for an extension"),
        (
            extension("datacontenttype"),
            "\"datacontenttype\" is no name",
        ),
        (extension("data"), "\"data\" is no name for an extension"),
        (
            full().content_type("Application/CloudEvents+json"),
            "readers would take it for that one",
        ),
    ] {
        let why = why(event.to("order-events").unwrap_err());
        let start = "the event ";
        assert!(
            why.starts_with(start) && why.contains("to order-events: "),
            "{why}"
        );
        assert!(why.contains(sentence), "{why}");
    }
}

#[test]
fn an_event_without_data_is_a_tombstone_and_written_only_if_asked_for() {
    let gone = Event {
        data: None,
        ..full()
    };
    let why = why(gone.to("order-events").unwrap_err());
    assert!(
        why.contains("has no data") && why.contains("Envelope::tombstones"),
        "{why}"
    );
    let envelope = Envelope::new().tombstones();
    let record = envelope.record("order-events", &gone).unwrap();
    assert_eq!(record.value, None);
    assert_eq!(read_back(record).event(), Ok(gone));
}

#[test]
fn a_record_that_is_no_event_says_what_it_lacks() {
    let read = |headers: &[(&str, &[u8])]| why(with(headers).event().unwrap_err());
    let without = |key: &str| {
        let mut headers = GOLDEN.to_vec();
        headers.retain(|header| header.0 != key);
        read(&headers)
    };
    let and = |key, value| read(&[&GOLDEN[..], &[(key, value)]].concat());
    for (why, sentence) in [
        (without("ce_specversion"), "it has no specversion"),
        (
            without("ce_id"),
            "it has no id: none of the headers ce_id, eventId, id is there",
        ),
        (without("ce_source"), "it has no source"),
        (without("ce_type"), "it has no type"),
        (and("ce_source", b""), "it has no source"),
        (
            and("ce_specversion", b"0.3"),
            "its specversion is \"0.3\", and 1.0 is what is read",
        ),
        (
            and("ce_time", b"now"),
            "its time \"now\" cannot be read: the text is no time of RFC 3339",
        ),
        (
            and("ce_subject", b"\xff"),
            "its header ce_subject is no text: invalid utf-8",
        ),
        (
            and("ce_tenant", b"a\0"),
            "its tenant has a character that CloudEvents forbids: \"a\\0\"",
        ),
        (and("ce_id", b""), "its header ce_id is empty"),
        (
            and("ce_id", b"\xff"),
            "its header ce_id is neither a text nor the 16 bytes of a UUID",
        ),
        (
            and("content-type", b"application/cloudevents-batch+json"),
            "of structured events only application/cloudevents+json is read",
        ),
        (
            and("content-type", b"APPLICATION/CLOUDEVENTS+PROTOBUF; a=b"),
            "its content type is application/cloudevents+protobuf, and of structured events only",
        ),
    ] {
        let start = "the value of order-events-3@42 cannot be read as a CloudEvent: ";
        assert!(why.starts_with(start), "{why}");
        assert!(why.contains(sentence), "{why}");
    }
}

#[test]
fn headers_of_others_are_no_attributes() {
    let foreign: [(&str, &[u8]); 6] = [
        ("tenant", b"\xff"),
        ("ce_", b"x"),
        ("ce_data", b"x"),
        ("ce_Tenant", b"\xff"),
        ("ce_my-tenant", b"x"),
        (
            "traceparent",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    let record = with(&[&GOLDEN[..], &foreign].concat());
    let expected = Event {
        key: None,
        data: Some(Bytes::from_static(b"{}")),
        ..full()
    };
    assert_eq!(record.event(), Ok(expected));
}

#[test]
fn of_two_headers_the_last_counts_and_one_without_a_value_is_absent() {
    let mut record = with(&GOLDEN);
    record.headers.insert(
        0,
        Header {
            key: "ce_id".to_owned(),
            value: Some(Bytes::from_static(b"first")),
        },
    );
    for key in ["ce_subject", "ce_sequence"] {
        record.headers.push(Header {
            key: key.to_owned(),
            value: None,
        });
    }
    let event = record.event().unwrap();
    assert_eq!(event.id, full().id);
    assert_eq!(event.subject, None);
    assert!(!event.extensions.contains_key("sequence"));
    assert!(event.extensions.contains_key("correlationid"));
}

#[test]
fn a_time_of_others_stays_as_they_wrote_it() {
    let text = "2018-04-05T17:31:00.123456789+02:00";
    let record = with(&[&GOLDEN[..], &[("ce_time", text.as_bytes())]].concat());
    let event = record.event().unwrap();
    assert_eq!(
        event.time.as_ref().map(EventTime::ms),
        Some(1_522_942_260_123)
    );
    let again = event.to("copy").unwrap().headers;
    assert_eq!(again[4].value.as_deref(), Some(text.as_bytes()));
}

#[cfg(not(feature = "json"))]
#[test]
fn a_structured_event_without_the_feature_says_which_it_needs() {
    let record = with(&[("content-type", b"application/cloudevents+json")]);
    let why = why(record.event().unwrap_err());
    assert!(
        why.ends_with("build highwater with the feature json"),
        "{why}"
    );
}

#[tokio::test]
async fn an_event_goes_through_a_broker_with_its_trace_beside_it() {
    let broker = Broker::in_memory().unwrap();
    let client = Client::in_process(move || broker.exchange());
    let producer = client.producer(ProducerConfig::new()).unwrap();
    let scope = TraceContext::root();
    let record = full().to("order-events").unwrap();
    let sent = scope.scope(async { producer.send(record).await.unwrap().await });
    sent.await.unwrap();

    let mut consumer = client.consumer(ConsumerConfig::new());
    consumer
        .assign("order-events", 0, StartAt::Earliest)
        .await
        .unwrap();
    let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
    assert_eq!(records[0].event(), Ok(full()));
    assert_eq!(records[0].trace(), Some(scope));
}
