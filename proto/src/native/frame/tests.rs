//! Floor 6 of proto; compiled for its tests only.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::hex;
use crate::native::v1::request::Call;
use crate::native::v1::response::Answer;

fn whole(head: &impl Message, body: &[u8]) -> Bytes {
    let first = encode(head, body.len()).unwrap();
    [&first[..], body].concat().into()
}

fn inner(frame: &Bytes, bytes_max: usize) -> Bytes {
    let size = frame_size(*frame.first_chunk().unwrap(), bytes_max).unwrap();
    assert_eq!(size, frame.len() - SIZE_BYTES);
    frame.slice(SIZE_BYTES..)
}

/// A change of any of these bytes breaks every client that there is.
#[test]
fn golden_bytes() {
    let hello = v1::Request {
        correlation: 1,
        call: Some(Call::Hello(v1::Hello {
            version_max: 1,
            client_id: "py".to_owned(),
        })),
    };
    let produce = v1::Request {
        correlation: 300,
        call: Some(Call::Produce(v1::Produce {
            topic: "t".to_owned(),
            partition: 2,
            acks: v1::Acks::Leader.into(),
        })),
    };
    let append = v1::Request {
        correlation: 3,
        call: Some(Call::Append(v1::Append {
            topic: "o".to_owned(),
            partition: None,
            checks: vec![v1::StreamCheck {
                key: Bytes::from_static(b"k"),
                expect: Some(v1::Expect {
                    what: Some(v1::expect::What::Revision(6)),
                }),
            }],
            events: vec![v1::NewEvent {
                key: Bytes::from_static(b"k"),
                value: Some(Bytes::from_static(b"{}")),
                headers: vec![v1::Header {
                    name: "ce_id".to_owned(),
                    value: Some(Bytes::from_static(b"a")),
                }],
            }],
        })),
    };
    let conflict = v1::Response {
        correlation: 3,
        answer: Some(Answer::Conflict(v1::Conflict {
            key: Bytes::from_static(b"k"),
            expected: None,
            actual: Some(v1::Head {
                revision: 7,
                offset: 41,
                is_tombstone: false,
            }),
        })),
    };
    for (frame, expected) in [
        (whole(&hello, b""), "0000000e0100000a08011206080112027079"),
        (
            whole(&produce, b"batch"),
            "000000150100000c08ac021a070a0174100218016261746368",
        ),
        (
            whole(&append, b""),
            "0000002901000025080342210a016f1a070a016b120220062213\
             0a016b12027b7d1a0a0a0563655f6964120161",
        ),
        (
            whole(&conflict, b""),
            "000000110100000d08034a090a016b1a0408071029",
        ),
    ] {
        assert_eq!(frame, hex::unhex(expected), "{frame:02x?}");
    }
}

#[test]
fn sizes_are_judged() {
    let size = |size: u32| frame_size(size.to_be_bytes(), 1000);
    assert_eq!(size(4), Ok(4));
    assert_eq!(size(1000), Ok(1000));
    assert_eq!(size(3), Err(NativeFrameError::TooSmall { size: 3 }));
    let too_large = |size| NativeFrameError::TooLarge {
        size,
        bytes_max: 1000,
    };
    assert_eq!(size(1001), Err(too_large(1001)));
    assert_eq!(size(u32::MAX), Err(too_large(u64::from(u32::MAX))));
}

#[test]
fn other_protocols_are_named() {
    let all = usize::MAX;
    let http = frame_size(*b"GET ", all).unwrap_err().to_string();
    assert!(http.contains("HTTP"), "{http}");
    let tls = frame_size([0x16, 3, 1, 2], all).unwrap_err().to_string();
    assert!(tls.contains("TLS"), "{tls}");
    // ApiVersions v3, the first request of most Kafka clients.
    let kafka = [0, 18, 0, 3, 0, 0, 0, 0, 0, 5, b'r'];
    assert!(is_of_kafka(&kafka));
    let refused = decode_request(Bytes::copy_from_slice(&kafka));
    assert_eq!(refused, Err(NativeFrameError::Version { version: 0 }));
    let ours = inner(&whole(&v1::Request::default(), b""), all);
    assert!(!is_of_kafka(&ours));
}

#[test]
fn a_head_that_does_not_fit_is_refused() {
    let frame = inner(
        &whole(
            &v1::Request {
                correlation: 5,
                call: None,
            },
            b"x",
        ),
        100,
    );
    assert!(decode_request(frame.clone()).is_ok());
    for end in 0..frame.len() - 1 {
        assert!(decode_request(frame.slice(..end)).is_err(), "{end}");
    }
    let refused = decode_request(Bytes::from_static(&[1, 0, 0, 4, 1, 2, 3]));
    let error = NativeFrameError::HeadTooLarge { head: 4, frame: 7 };
    assert_eq!(refused, Err(error));
    let refused = decode_request(Bytes::from_static(&[2, 0, 0, 0]));
    assert_eq!(refused, Err(NativeFrameError::Version { version: 2 }));
}

#[test]
fn a_head_larger_than_its_size_can_say_is_refused() {
    let append = v1::Append {
        topic: "x".repeat(HEAD_BYTES_MAX),
        ..v1::Append::default()
    };
    let request = v1::Request {
        correlation: 1,
        call: Some(Call::Append(append)),
    };
    let refused = encode(&request, 0);
    assert!(matches!(refused, Err(NativeFrameError::TooLarge { .. })));
}

#[test]
fn a_body_is_a_slice_of_its_frame() {
    let frame = inner(&whole(&v1::Request::default(), b"batch"), 100);
    let (_, body) = decode_request(frame.clone()).unwrap();
    assert_eq!(&body[..], b"batch");
    assert_eq!(body.as_ptr(), frame[frame.len() - 5..].as_ptr());
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn headers() -> impl Strategy<Value = Vec<v1::Header>> {
    let header = ("[a-z_]{1,9}", option::of(bytes()));
    vec(
        header.prop_map(|(name, value)| v1::Header { name, value }),
        0..4,
    )
}

fn append() -> impl Strategy<Value = v1::Append> {
    let event = (bytes(), option::of(bytes()), headers());
    let event = event.prop_map(|(key, value, headers)| v1::NewEvent {
        key,
        value,
        headers,
    });
    let check = (bytes(), option::of(any::<u64>())).prop_map(|(key, revision)| v1::StreamCheck {
        key,
        expect: revision.map(|revision| v1::Expect {
            what: Some(v1::expect::What::Revision(revision)),
        }),
    });
    let parts = (
        "[a-z]{0,9}",
        option::of(any::<i32>()),
        vec(check, 0..9),
        vec(event, 0..9),
    );
    parts.prop_map(|(topic, partition, checks, events)| v1::Append {
        topic,
        partition,
        checks,
        events,
    })
}

fn stream_events() -> impl Strategy<Value = v1::StreamEvents> {
    let event = (any::<u64>(), any::<i64>(), option::of(bytes()), headers());
    let event = event.prop_map(|(revision, offset, value, headers)| v1::StreamEvent {
        revision,
        offset,
        timestamp_ms: offset,
        value,
        headers,
    });
    (vec(event, 0..9), any::<bool>()).prop_map(|(events, is_complete)| v1::StreamEvents {
        partition: 1,
        events,
        head: None,
        is_complete,
    })
}

proptest! {
    #[test]
    fn a_request_is_read_back(correlation: u64, append in append(), body in bytes()) {
        let call = Some(Call::Append(append));
        let request = v1::Request { correlation, call };
        let frame = inner(&whole(&request, &body), 1 << 20);
        prop_assert_eq!(decode_request(frame), Ok((request, body)));
    }

    #[test]
    fn a_response_is_read_back(correlation: u64, events in stream_events(), body in bytes()) {
        let answer = Some(Answer::StreamEvents(events));
        let response = v1::Response { correlation, answer };
        let frame = inner(&whole(&response, &body), 1 << 20);
        prop_assert_eq!(decode_response(frame), Ok((response, body)));
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(bytes in vec(any::<u8>(), 0..200), preamble: bool) {
        let bytes = if preamble {
            let size = u8::try_from(bytes.len()).unwrap_or(0);
            [&[VERSION, 0, 0, size][..], &bytes].concat()
        } else {
            bytes
        };
        let refused = [
            decode_request(bytes.clone().into()).err(),
            decode_response(bytes.into()).err(),
        ];
        for error in refused.into_iter().flatten() {
            prop_assert!(error.to_string().len() > 20, "an error is a sentence");
        }
    }

    #[test]
    fn a_frame_with_a_wrong_byte_is_a_frame_or_an_error(
        append in append(),
        position: u16,
        byte: u8,
    ) {
        let request = v1::Request { correlation: 1, call: Some(Call::Append(append)) };
        let mut frame = inner(&whole(&request, b"b"), 1 << 20).to_vec();
        let position = usize::from(position) % frame.len();
        frame[position] = byte;
        if let Ok((request, body)) = decode_request(frame.into()) {
            let frame = inner(&whole(&request, &body), 1 << 20);
            prop_assert_eq!(decode_request(frame), Ok((request, body)));
        }
    }
}
