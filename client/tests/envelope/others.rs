//! What the CloudEvents SDK for Python (2.2.0) writes for the event that is golden here, byte for
//! byte; that SDK reads the golden headers as the same event.

#[cfg(feature = "json")]
use highwater_client::ConsumerRecord;
use highwater_client::{Event, Record};

use crate::full;
use crate::read_back;

/// As `full`, with the time as Python writes it.
fn expected() -> Event {
    full().time("2018-04-05T15:31:00.123000Z".parse().unwrap())
}

#[test]
fn a_binary_event_of_another_sdk_is_read() {
    let headers: [(&str, &[u8]); 10] = [
        ("ce_id", b"0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f"),
        ("ce_source", b"/shop/orders"),
        ("ce_type", b"order.created.v1"),
        ("ce_specversion", b"1.0"),
        ("ce_time", b"2018-04-05T15:31:00.123000Z"),
        ("ce_subject", b"order-42"),
        ("ce_dataschema", b"/schemas/order.created/1"),
        ("content-type", b"application/json"),
        ("ce_sequence", b"7"),
        ("ce_correlationid", b"caf\xc3\xa9 9"),
    ];
    let record = Record::to("order-events")
        .key("order-42")
        .value(r#"{"total": 12}"#);
    let record = headers
        .iter()
        .fold(record, |record, (key, value)| record.header(*key, *value));
    let expected = expected().data(r#"{"total": 12}"#);
    assert_eq!(read_back(record).event(), Ok(expected));
}

#[cfg(feature = "json")]
#[test]
fn a_structured_event_of_another_sdk_is_read() {
    for (content_type, member, data) in [
        (
            "application/json",
            r#""data": {"total": 12}"#,
            &br#"{"total": 12}"#[..],
        ),
        (
            "application/octet-stream",
            r#""data_base64": "AP8=""#,
            b"\x00\xff",
        ),
        ("text/plain", r#""data": "x\n""#, b"x\n"),
    ] {
        let expected = expected().content_type(content_type).data(data);
        assert_eq!(structured(content_type, member).event(), Ok(expected));
    }
}

#[cfg(feature = "json")]
fn structured(content_type: &str, member: &str) -> ConsumerRecord {
    let json = [
        r#"{"id": "0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f", "source": "/shop/orders", "#,
        r#""type": "order.created.v1", "specversion": "1.0", "#,
        r#""time": "2018-04-05T15:31:00.123000Z", "subject": "order-42", "#,
        r#""dataschema": "/schemas/order.created/1", "datacontenttype": ""#,
        content_type,
        r#"", "sequence": "7", "correlationid": "caf\u00e9 9", "#,
        member,
        "}",
    ];
    let record = Record::to("order-events")
        .key("order-42")
        .value(json.concat());
    read_back(record.header("content-type", "application/cloudevents+json"))
}
