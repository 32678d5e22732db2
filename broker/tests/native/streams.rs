//! Events under conditions, and streams that are read by their key.

use bytes::Bytes;
use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1;
use highwater_proto::native::v1::expect::What;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use crate::kit::{Client, Rig, code, fetch};

pub(crate) fn rig() -> Rig {
    let rig = Rig::new();
    rig.topic_with("events", 1, STORE);
    rig
}

pub(crate) fn event(key: &str, id: &str, value: Option<&str>) -> v1::NewEvent {
    v1::NewEvent {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        headers: vec![v1::Header {
            name: "ce_id".to_owned(),
            value: Some(Bytes::copy_from_slice(id.as_bytes())),
        }],
    }
}

pub(crate) fn check(key: &str, what: What) -> v1::StreamCheck {
    v1::StreamCheck {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect: Some(v1::Expect { what: Some(what) }),
    }
}

pub(crate) fn append(checks: &[v1::StreamCheck], events: &[v1::NewEvent]) -> Call {
    Call::Append(v1::Append {
        topic: "events".to_owned(),
        partition: None,
        checks: checks.to_vec(),
        events: events.to_vec(),
    })
}

pub(crate) fn read(key: &str) -> v1::ReadStream {
    v1::ReadStream {
        topic: "events".to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..v1::ReadStream::default()
    }
}

pub(crate) fn no_stream() -> What {
    What::NoStream(v1::NoStream::default())
}

pub(crate) fn appended(client: &mut Client, call: Call) -> v1::Appended {
    match client.call(call, b"") {
        (Answer::Appended(appended), _) => appended,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn conflict(client: &mut Client, call: Call) -> v1::Conflict {
    match client.call(call, b"") {
        (Answer::Conflict(conflict), _) => conflict,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn events(client: &mut Client, read: v1::ReadStream) -> v1::StreamEvents {
    match client.call(Call::ReadStream(read), b"") {
        (Answer::StreamEvents(events), _) => events,
        other => panic!("{other:?}"),
    }
}

fn revisions(events: &v1::StreamEvents) -> Vec<u64> {
    events.events.iter().map(|event| event.revision).collect()
}

#[test]
fn events_are_appended_and_read_by_their_key() {
    let rig = rig();
    let mut client = rig.client();
    let two = [event("a", "1", Some("x")), event("a", "2", Some("y"))];
    let first = appended(&mut client, append(&[check("a", no_stream())], &two));
    let expected = v1::Appended {
        partition: 0,
        base_offset: 0,
        last_offset: 1,
        revisions: vec![0, 1],
        is_duplicate: false,
        log_append_time_ms: first.log_append_time_ms,
    };
    assert_eq!(first, expected);
    appended(&mut client, append(&[], &[event("b", "3", Some("z"))]));
    let third = [event("a", "4", None)];
    let third = appended(
        &mut client,
        append(&[check("a", What::Revision(1))], &third),
    );
    assert_eq!((third.base_offset, third.revisions), (3, vec![2]));
    let all = events(&mut client, read("a"));
    assert_eq!(revisions(&all), [0, 1, 2]);
    assert_eq!(all.events[0].value.as_deref(), Some(&b"x"[..]));
    assert_eq!(all.events[0].headers, two[0].headers);
    assert_eq!(all.events[2].value, None);
    let head = v1::Head {
        revision: 2,
        offset: 3,
        is_tombstone: true,
    };
    assert_eq!((all.head, all.is_complete), (Some(head), true));
    let none = events(&mut client, read("c"));
    assert_eq!((none.events.len(), none.head), (0, None));
}

/// The same records are a topic for everybody who fetches.
#[test]
fn what_was_appended_is_one_batch_of_the_topic() {
    let rig = rig();
    let mut client = rig.client();
    let two = [event("a", "1", Some("x")), event("b", "2", Some("y"))];
    appended(&mut client, append(&[], &two));
    let (answer, body) = client.call(fetch("events", 0, 0), b"");
    assert!(matches!(answer, Answer::Fetched(fetched) if fetched.next_offset == 2));
    // The offset of the last record within its batch.
    assert_eq!(body[23..27], 1_i32.to_be_bytes());
}

#[test]
fn a_conflict_says_what_was_expected_and_what_is_there() {
    let rig = rig();
    let mut client = rig.client();
    let absent = [What::Exists(true), What::Revision(0), What::LastOffset(0)];
    for what in absent {
        let call = append(&[check("a", what)], &[event("a", "1", Some("x"))]);
        let refused = conflict(&mut client, call);
        assert_eq!(refused.key, Bytes::from("a"));
        assert_eq!(refused.expected, Some(v1::Expect { what: Some(what) }));
        assert_eq!(refused.actual, None);
    }
    appended(&mut client, append(&[], &[event("a", "1", Some("x"))]));
    let head = Some(v1::Head {
        revision: 0,
        offset: 0,
        is_tombstone: false,
    });
    for what in [no_stream(), What::Revision(1), What::LastOffset(1)] {
        let call = append(&[check("a", what)], &[event("a", "2", Some("x"))]);
        assert_eq!(conflict(&mut client, call).actual, head, "{what:?}");
    }
    // A key that gets no event is checked, too, and then nothing is stored at all.
    let checks = [
        check("a", What::Revision(0)),
        check("b", What::Exists(true)),
    ];
    let call = append(&checks, &[event("a", "3", Some("x"))]);
    assert_eq!(conflict(&mut client, call).key, Bytes::from("b"));
    assert_eq!(events(&mut client, read("a")).head, head);
}

#[test]
fn a_stream_is_read_from_and_up_to_a_moment_and_in_parts() {
    let rig = rig();
    let mut client = rig.client();
    for n in 0..4 {
        let event = event("a", &n.to_string(), Some("0123456789"));
        appended(&mut client, append(&[], &[event]));
    }
    let up_to = |as_of| v1::ReadStream {
        from_revision: 1,
        as_of: Some(as_of),
        ..read("a")
    };
    use v1::read_stream::AsOf;
    for as_of in [AsOf::Revision(2), AsOf::Offset(2)] {
        let part = events(&mut client, up_to(as_of));
        assert_eq!((revisions(&part), part.is_complete), (vec![1, 2], true));
        assert_eq!(part.head.map(|head| head.revision), Some(3));
    }
    let call = v1::ReadStream {
        bytes_max: 1,
        ..read("a")
    };
    let part = events(&mut client, call);
    assert_eq!((revisions(&part), part.is_complete), (vec![0], false));
    let (answer, _) = client.call(Call::ReadStream(up_to(AsOf::Offset(-1))), b"");
    let invalid = code(ErrorCode::InvalidRequest);
    assert!(matches!(answer, Answer::Failure(failure) if failure.code == invalid));
}

/// Each is sent before the one before it is answered, and expects what that one leaves; the first
/// of them makes the partition's files.
#[test]
fn appends_that_are_sent_ahead_find_those_before_them() {
    let rig = rig();
    let mut client = rig.client();
    let mut together = Vec::new();
    for n in 0..40_u64 {
        let expected = match n.checked_sub(1) {
            None => no_stream(),
            Some(before) => What::Revision(before),
        };
        let event = event("a", &n.to_string(), Some("x"));
        let (_, frame) = client.frame(append(&[check("a", expected)], &[event]), b"");
        together.extend(frame);
    }
    client.write(&together);
    let mut seen = Vec::new();
    for _ in 0..40 {
        match client.receive() {
            (_, Answer::Appended(appended), _) => seen.extend(appended.revisions),
            other => panic!("{other:?}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..40).collect::<Vec<u64>>());
}

#[test]
fn an_append_without_an_event_or_over_two_partitions_is_refused() {
    let rig = Rig::new();
    rig.topic_with("events", 50, STORE);
    let mut client = rig.client();
    let keys: Vec<v1::NewEvent> = (0..20)
        .map(|n| event(&n.to_string(), &n.to_string(), Some("x")))
        .collect();
    for events in [&[][..], &keys] {
        let failure = client.refused(append(&[], events), b"");
        assert_eq!(failure.code, code(ErrorCode::InvalidRequest), "{failure:?}");
    }
}

#[test]
fn a_session_in_this_process_says_the_same() {
    let rig = rig();
    let native = rig.broker.native();
    let expect = [check("a", no_stream())];
    let first = native.call(append(&expect, &[event("a", "1", Some("x"))]), Bytes::new());
    let second = native.call(append(&expect, &[event("a", "2", Some("x"))]), Bytes::new());
    let read = native.call(Call::ReadStream(read("a")), Bytes::new());
    let answers = rig.broker.block_on(async move {
        let (second, first) = (second.await, first.await);
        (first.unwrap().0, second.unwrap().0, read.await.unwrap().0)
    });
    let (first, second, _) = answers.unwrap();
    assert!(matches!(first, Answer::Appended(appended) if appended.revisions == [0]));
    assert!(matches!(second, Answer::Conflict(conflict) if conflict.actual.is_some()));
}

/// What makes a topic an event store; one whose events go by themselves is refused.
pub(crate) const STORE: &[(&str, &str)] = &[("append.conditional", "true"), ("retention.ms", "-1")];
