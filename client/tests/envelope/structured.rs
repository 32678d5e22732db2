//! Structured mode in JSON.

use bytes::Bytes;
use highwater_client::{ConsumerRecord, Event, Record};

use crate::full;
use crate::read_back;
use crate::why;

fn record(json: &str) -> ConsumerRecord {
    let content_type = "Application/CloudEvents+JSON; charset=UTF-8";
    let record = Record::to("order-events")
        .key("order-42")
        .value(json.to_owned());
    read_back(record.header("content-type", content_type))
}

/// An event with these members beside those that it needs.
fn event(members: &str) -> Event {
    let json = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{members}}}"#);
    record(&json).event().unwrap()
}

#[test]
fn an_event_is_the_same_in_both_modes() {
    let record = record(
        r#" { "specversion" : "1.0", "id" : "0190A6B4-7C3E-7D52-9F10-4E0B7A2C1D3F",
        "source" : "/shop/orders", "type" : "order.created.v1",
        "time" : "2018-04-05T15:31:00.123Z", "subject" : "order-42",
        "dataschema" : "/schemas/order.created/1", "datacontenttype" : "application/json",
        "sequence" : "7", "correlationid" : "caf\u00e9 9", "unset" : null,
        "data" : {"total":12} } "#,
    );
    assert_eq!(record.event(), Ok(full()));
    assert_eq!(record.event_id(), Ok(full().id));
}

#[test]
fn data_is_what_its_content_type_says() {
    for (members, data) in [
        (
            r#","data":{ "a" : 1e400 }"#,
            Some(&b"{ \"a\" : 1e400 }"[..]),
        ),
        (r#","data":"x""#, Some(b"\"x\"")),
        (
            r#","datacontenttype":"a/b+json","data":"x""#,
            Some(b"\"x\""),
        ),
        (
            r#","datacontenttype":"text/plain","data":"x\n""#,
            Some(b"x\n"),
        ),
        (
            r#","datacontenttype":"text/plain","data":[1, 2]"#,
            Some(b"[1, 2]"),
        ),
        (r#","data_base64":"AP8=""#, Some(b"\x00\xff")),
        (r#","data_base64":"""#, Some(b"")),
        (r#","data":null"#, None),
        ("", None),
    ] {
        assert_eq!(event(members).data.as_deref(), data, "{members}");
    }
    // What the format leaves out is JSON, and in binary mode somebody has to say so.
    let json = Some("application/json");
    assert_eq!(event(r#","data":1"#).content_type.as_deref(), json);
    assert_eq!(event(r#","data_base64":"AP8=""#).content_type, None);
}

#[test]
fn attributes_that_are_no_strings_are_written_as_text() {
    let event = event(r#","a":true,"b":false,"c":-2147483648,"d":"12","e":"""#);
    let extensions: Vec<_> = event.extensions.values().map(String::as_str).collect();
    assert_eq!(extensions, ["true", "false", "-2147483648", "12", ""]);
    let written = read_back(event.data("").to("copy").unwrap());
    assert_eq!(written.event().unwrap().extensions.len(), 5);
}

#[test]
fn a_structured_event_that_cannot_be_read_says_why() {
    let whole = |members: &str| {
        let known = r#""specversion":"1.0","id":"1","source":"s","type":"t""#;
        format!("{{{known},{members}}}")
    };
    for (json, sentence) in [
        (String::new(), "its value is no object of JSON: EOF"),
        ("[1]".to_owned(), "its value is no object of JSON"),
        ("{}".to_owned(), "it has no specversion"),
        (r#"{"specversion":"1.0"}"#.to_owned(), "it has no id"),
        (
            whole(r#""specversion":"2.0""#),
            "its specversion is \"2.0\"",
        ),
        (whole(r#""id":null"#), "it has no id"),
        (
            whole(r#""a":1.5"#),
            "its a is neither a string, a truth value nor a whole number",
        ),
        (
            whole(r#""a":2147483648"#),
            "its a is neither a string, a truth value nor a whole",
        ),
        (
            whole(r#""a":{}"#),
            "its a is neither a string, a truth value nor a whole number",
        ),
        (whole(r#""A":"x""#), "\"A\" is no name for an extension"),
        (whole(r#""time":"x""#), "its time \"x\" cannot be read"),
        (
            whole(r#""data":1,"data_base64":"""#),
            "it has both data and data_base64",
        ),
        (
            whole(r#""data_base64":"AP9=""#),
            "its data_base64 is no string in Base64",
        ),
        (
            whole(r#""data_base64":1"#),
            "its data_base64 is no string in Base64",
        ),
        (
            whole(r#""datacontenttype":"application/cloudevents""#),
            "its data is an event itself",
        ),
    ] {
        let why = why(record(&json).event().unwrap_err());
        let start = "the value of order-events-3@42 cannot be read as a CloudEvent: ";
        assert!(
            why.starts_with(start) && why.contains(sentence),
            "{json}: {why}"
        );
    }
    let none = ConsumerRecord {
        value: None,
        ..record("{}")
    };
    let why = why(none.event_id().unwrap_err());
    assert!(
        why.ends_with("is application/cloudevents+json, and it has no value"),
        "{why}"
    );
}

#[test]
fn deep_data_is_kept_as_it_is() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let event = event(&format!(r#","data":{deep}"#));
    assert_eq!(event.data, Some(Bytes::from(deep)));
}
