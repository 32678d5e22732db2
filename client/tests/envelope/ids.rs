//! The id in each of its headers and forms.

use highwater_client::{ConsumerRecord, Envelope, EventId};

use crate::why;
use crate::with;

const UUID: [u8; 16] = [
    0x01, 0x90, 0xa6, 0xb4, 0x7c, 0x3e, 0x7d, 0x52, 0x9f, 0x10, 0x4e, 0x0b, 0x7a, 0x2c, 0x1d, 0x3f,
];
const TEXT: &str = "0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f";

#[test]
fn seed_s05_an_id_is_the_same_in_each_delivery() {
    // A delivery has bytes of its own.
    let deliver = |value: &[u8]| with(&[("eventId", value)]);
    for value in [TEXT.as_bytes(), &UUID] {
        let (first, again) = (deliver(value), deliver(value));

        // The seed: the header's array, turned to a string, is where the array lies.
        let identity = |record: &ConsumerRecord| {
            let value = record.headers[0].value.as_deref().map(<[u8]>::as_ptr);
            format!("{value:?}")
        };
        assert_ne!(
            identity(&first),
            identity(&again),
            "a duplicate that looks new"
        );

        // Ours: what the array says, be it text or the bytes of a UUID.
        assert_eq!(first.event_id(), again.event_id());
        assert_eq!(first.event_id().unwrap().as_str(), TEXT);
    }
}

#[test]
fn each_form_of_an_id_is_read() {
    let upper = TEXT.to_ascii_uppercase();
    let quoted = format!("\"{TEXT}\"");
    for (value, expected) in [
        (TEXT.as_bytes(), TEXT),
        (upper.as_bytes(), TEXT),
        (quoted.as_bytes(), TEXT),
        (&UUID, TEXT),
        (b"\"order-42\"", "order-42"),
        (b"order-42", "order-42"),
        (b"Order-42", "Order-42"),
        (b" x ", " x "),
        (b"\"", "\""),
        (b"\"a", "\"a"),
        (b"\"a\"b\"", "\"a\"b\""),
        (b"\"a\\n\"", "\"a\\n\""),
        ("\u{e9}v\u{e9}nement".as_bytes(), "\u{e9}v\u{e9}nement"),
        // 16 characters are a text.
        (b"order-42-created", "order-42-created"),
        // 16 bytes of which one is a control character are none.
        (b"order-42-create\0", "6f726465-722d-3432-2d63-726561746500"),
        // A UUID without its hyphens, or one digit too long, is some text.
        (
            b"0190A6B47C3E7D529F104E0B7A2C1D3F",
            "0190A6B47C3E7D529F104E0B7A2C1D3F",
        ),
        (
            b"0190A6B4-7C3E-7D52-9F10-4E0B7A2C1D3F0",
            "0190A6B4-7C3E-7D52-9F10-4E0B7A2C1D3F0",
        ),
        (
            b"0190A6B4-7C3E-7D52-9F10+4E0B7A2C1D3F",
            "0190A6B4-7C3E-7D52-9F10+4E0B7A2C1D3F",
        ),
        (
            b"+190A6B4-7C3E-7D52-9F10-4E0B7A2C1D3F",
            "+190A6B4-7C3E-7D52-9F10-4E0B7A2C1D3F",
        ),
    ] {
        for header in ["ce_id", "eventId", "id"] {
            let id = with(&[(header, value)]).event_id();
            assert_eq!(id.unwrap().as_str(), expected, "{header} {value:?}");
        }
    }
}

#[test]
fn the_headers_are_asked_in_their_order() {
    let all: [(&str, &[u8]); 3] = [("id", b"c"), ("eventId", b"b"), ("ce_id", b"a")];
    let id = |headers: &[(&str, &[u8])]| with(headers).event_id().unwrap().to_string();
    assert_eq!(id(&all), "a");
    assert_eq!(id(&all[..2]), "b");
    assert_eq!(id(&all[..1]), "c");

    let debezium = Envelope::new().id_headers(["id", "eventId"]);
    let id = |headers: &[(&str, &[u8])]| debezium.id(&with(headers)).unwrap().to_string();
    assert_eq!(id(&all), "a");
    assert_eq!(id(&all[..2]), "c");
}

#[test]
fn a_record_without_a_usable_id_says_where_it_was_looked_for() {
    for (headers, sentence) in [
        (
            &[][..],
            "it has no id: none of the headers ce_id, eventId, id is there",
        ),
        (
            &[("eventid", &b"a"[..])],
            "it has no id: none of the headers",
        ),
        (&[("eventId", b"")], "its header eventId is empty"),
        (&[("id", b"\"\"")], "its header id is empty"),
        (
            &[("id", &[0xff; 15])],
            "its header id is neither a text nor the 16 bytes of a UUID",
        ),
        (
            &[("id", b"a\0")],
            "its header id is neither a text nor the 16 bytes of a UUID",
        ),
    ] {
        let why = why(with(headers).event_id().unwrap_err());
        assert!(why.contains(sentence), "{why}");
    }
    let record = with(&[("id", b"a")]);
    let why = why(Envelope::new()
        .id_headers(["messageId"])
        .id(&record)
        .unwrap_err());
    assert!(
        why.ends_with("none of the headers ce_id, messageId is there"),
        "{why}"
    );
}

#[test]
fn an_id_that_is_made_is_a_uuid_that_begins_with_its_time() {
    let bytes = |ms| EventId::v7(ms).uuid().unwrap();
    // The time of RFC 9562's example.
    let id = bytes(0x017f_22e2_79b0);
    assert_eq!(id[..6], [0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0]);
    for _ in 0..64 {
        let id = bytes(0x017f_22e2_79b0);
        assert_eq!((id[6] >> 4, id[8] >> 6), (7, 0b10), "version and variant");
    }
    assert!(EventId::v7(1_700_000_000_000) < EventId::v7(1_700_000_000_001));
    assert_eq!(bytes(-1)[..6], [0; 6]);
    assert_eq!(bytes(i64::MAX)[..6], [0xff; 6]);

    let mut ids: Vec<EventId> = (0..1000).map(|_| EventId::v7(0)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1000);
}
