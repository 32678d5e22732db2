//! What each request is answered.

use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use crate::kit::{Client, Rig, batch, code, fetch, produce, stored};

#[test]
fn a_welcome_says_where_all_else_is() {
    let rig = Rig::new();
    let welcome = Client::connect(rig.address).welcomed();
    let expected = v1::Welcome {
        version: 1,
        cluster_id: rig.service.cluster().id,
        bootstrap_servers: rig.broker.bootstrap_servers(),
        frame_bytes_max: 100 << 20,
    };
    assert_eq!(welcome, expected);
}

#[test]
fn a_client_of_a_later_version_is_welcome_and_one_of_none_is_not() {
    let rig = Rig::new();
    let hello = |version_max| {
        Call::Hello(v1::Hello {
            version_max,
            client_id: String::new(),
        })
    };
    let mut later = Client::connect(rig.address);
    let (answer, _) = later.call(hello(7), b"");
    assert!(matches!(answer, Answer::Welcome(welcome) if welcome.version == 1));
    let mut none = Client::connect(rig.address);
    let failure = none.refused(hello(0), b"");
    assert_eq!(failure.code, code(ErrorCode::UnsupportedVersion));
    none.is_closed();
}

#[test]
fn what_is_produced_is_fetched_as_it_was_sent() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let (first, second) = (batch(&["a", "b"]), batch(&["c"]));
    assert_eq!(client.produced("orders", &first), 0);
    assert_eq!(client.produced("orders", &second), 2);
    let (answer, body) = client.call(fetch("orders", 0, 0), b"");
    let fetched = v1::Fetched {
        next_offset: 3,
        high_watermark: 3,
        log_start_offset: 0,
    };
    assert_eq!(answer, Answer::Fetched(fetched));
    assert_eq!(body, [stored(&first, 0), stored(&second, 2)].concat());
    // From the middle of a batch: it comes whole.
    let (_, body) = client.call(fetch("orders", 1, 0), b"");
    assert_eq!(body.len(), first.len() + second.len());
    let (answer, body) = client.call(fetch("orders", 3, 0), b"");
    assert_eq!(answer, Answer::Fetched(fetched));
    assert!(body.is_empty());
}

#[test]
fn the_first_batch_comes_whatever_the_limit_is() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    client.produced("orders", &batch(&["a"]));
    client.produced("orders", &batch(&["b"]));
    let call = Call::Fetch(v1::Fetch {
        topic: "orders".to_owned(),
        bytes_max: 1,
        ..v1::Fetch::default()
    });
    let (answer, body) = client.call(call, b"");
    assert!(matches!(answer, Answer::Fetched(fetched) if fetched.next_offset == 1));
    assert_eq!(body, stored(&batch(&["a"]), 0));
}

#[test]
fn an_error_is_a_code_and_a_sentence() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let good = batch(&["a"]);
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    for (call, body, expected, is_retriable) in [
        (
            produce("no"),
            &good[..],
            ErrorCode::UnknownTopicOrPartition,
            true,
        ),
        (produce("orders"), &damaged, ErrorCode::CorruptMessage, true),
        (produce("orders"), b"", ErrorCode::InvalidRecord, false),
        (
            produce("orders"),
            b"\0\x01",
            ErrorCode::CorruptMessage,
            true,
        ),
        (
            fetch("no", 0, 0),
            b"",
            ErrorCode::UnknownTopicOrPartition,
            true,
        ),
        (
            fetch("orders", 9, 0),
            b"",
            ErrorCode::OffsetOutOfRange,
            false,
        ),
        (
            fetch("orders", 0, 0),
            b"x",
            ErrorCode::InvalidRequest,
            false,
        ),
    ] {
        let failure = client.refused(call.clone(), body);
        assert_eq!(failure.code, code(expected), "{call:?}: {failure:?}");
        assert_eq!(failure.is_retriable, is_retriable, "{failure:?}");
        assert!(failure.message.len() > 15, "{failure:?}");
    }
    let acks = Call::Produce(v1::Produce {
        topic: "orders".to_owned(),
        partition: 0,
        acks: 7,
    });
    let failure = client.refused(acks, &good);
    assert_eq!(failure.code, code(ErrorCode::InvalidRequiredAcks));
    assert_eq!(client.produced("orders", &good), 0, "nothing was stored");
}

#[test]
fn a_stream_of_a_topic_without_streams_is_refused() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let append = v1::Append {
        topic: "orders".to_owned(),
        events: vec![v1::NewEvent {
            key: "k".into(),
            value: Some("{}".into()),
            headers: Vec::new(),
        }],
        ..v1::Append::default()
    };
    let failure = client.refused(Call::Append(append), b"");
    assert_eq!(failure.code, code(ErrorCode::PolicyViolation));
    assert!(
        failure.message.contains("append.conditional"),
        "{failure:?}"
    );
    let read = v1::ReadStream {
        topic: "orders".to_owned(),
        key: "k".into(),
        ..v1::ReadStream::default()
    };
    let failure = client.refused(Call::ReadStream(read), b"");
    assert_eq!(failure.code, code(ErrorCode::PolicyViolation));
}

#[test]
fn an_expectation_has_no_default() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    for what in [None, Some(v1::expect::What::Any(false))] {
        let append = v1::Append {
            topic: "orders".to_owned(),
            checks: vec![v1::StreamCheck {
                key: "k".into(),
                expect: Some(v1::Expect { what }),
            }],
            ..v1::Append::default()
        };
        let failure = client.refused(Call::Append(append), b"");
        assert_eq!(failure.code, code(ErrorCode::InvalidRequest));
    }
}
