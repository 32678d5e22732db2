//! Appends that are sent again: by the place that they name, for ever; by their ids alone, for a
//! while.

use std::time::Duration;

use highwater_proto::native::v1;
use highwater_proto::native::v1::expect::What;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use crate::kit::{Client, Rig};
use crate::streams::{append, appended, check, conflict, event, events, no_stream, read, rig};

/// Far beyond what any id is remembered for.
const LONG: Duration = Duration::from_secs(20 * 60);

fn header(name: &str, value: &str) -> v1::Header {
    v1::Header {
        name: name.to_owned(),
        value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())),
    }
}

/// The same as the first time.
fn repeated(client: &mut Client, call: Call, first: &v1::Appended) {
    let again = appended(client, call);
    let wanted = v1::Appended {
        is_duplicate: true,
        log_append_time_ms: None,
        ..first.clone()
    };
    assert_eq!(again, wanted);
}

fn mismatch(client: &mut Client, call: Call) -> u64 {
    match client.call(call, b"") {
        (Answer::IdMismatch(mismatch), _) => {
            assert_eq!(mismatch.key, "a");
            mismatch.revision
        }
        other => panic!("{other:?}"),
    }
}

/// A stream that is at revision 1, and has events of others behind each of its own.
fn with_two(rig: &Rig) -> Client {
    let mut client = rig.client();
    for n in ["0", "1"] {
        for key in ["a", "other"] {
            let event = event(key, &format!("before-{n}"), Some("x"));
            appended(&mut client, append(&[], &[event]));
        }
    }
    client
}

#[test]
fn no_stream_again_is_where_it_was_however_late() {
    let rig = rig();
    let mut client = rig.client();
    let two = [event("a", "1", Some("x")), event("a", "2", Some("y"))];
    let call = append(&[check("a", no_stream())], &two);
    let first = appended(&mut client, call.clone());
    appended(&mut client, append(&[], &[event("a", "3", None)]));
    repeated(&mut client, call.clone(), &first);
    rig.clock.advance(LONG);
    repeated(&mut rig.client(), call, &first);
}

#[test]
fn a_revision_again_is_where_it_was_however_late() {
    let rig = rig();
    let mut client = with_two(&rig);
    let two = [event("a", "1", Some("x")), event("a", "2", Some("y"))];
    let call = append(&[check("a", What::Revision(1))], &two);
    let first = appended(&mut client, call.clone());
    assert_eq!((first.base_offset, &first.revisions[..]), (4, &[2, 3][..]));
    appended(&mut client, append(&[], &[event("a", "3", None)]));
    rig.clock.advance(LONG);
    repeated(&mut rig.client(), call, &first);
}

#[test]
fn a_part_of_them_is_an_id_mismatch() {
    let rig = rig();
    let mut client = with_two(&rig);
    for (what, at) in [(What::Revision(1), 2), (no_stream(), 0)] {
        let call = |ids: &[&str]| {
            let events: Vec<_> = ids.iter().map(|id| event("a", id, Some("x"))).collect();
            append(&[check("a", what)], &events)
        };
        let first = match at {
            0 => ["before-0", "before-1"],
            _ => ["1", "2"],
        };
        if at == 2 {
            appended(&mut client, call(&first));
        }
        assert_eq!(mismatch(&mut client, call(&[first[0], "9"])), at + 1);
        let longer = mismatch(&mut client, call(&[first[0], first[1], "9"]));
        assert!(longer > at, "{longer}");
    }
    assert_eq!(events(&mut client, read("a")).events.len(), 4);
}

#[test]
fn other_ids_or_none_in_their_place_are_a_conflict() {
    let rig = rig();
    let mut client = with_two(&rig);
    let mut unnamed = event("a", "", Some("x"));
    unnamed.headers.clear();
    for event in [event("a", "other", Some("x")), unnamed] {
        for what in [no_stream(), What::Revision(0)] {
            let call = append(&[check("a", what)], std::slice::from_ref(&event));
            let told = conflict(&mut client, call);
            assert_eq!(told.actual.map(|head| head.revision), Some(1));
        }
    }
}

/// What names no place, for a stream that is at revision 1 by offset 2.
fn vague() -> [(&'static str, Vec<v1::StreamCheck>); 5] {
    let recreated = What::NoStream(v1::NoStream {
        allow_recreate: true,
    });
    [
        ("any", vec![check("a", What::Any(true))]),
        ("unchecked", vec![]),
        ("exists", vec![check("a", What::Exists(true))]),
        ("last offset", vec![check("a", What::LastOffset(2))]),
        // The revision of a stream that gets no event.
        (
            "beside",
            vec![
                check("other", What::Revision(1)),
                check("absent", recreated),
            ],
        ),
    ]
}

#[test]
fn without_a_place_their_ids_are_remembered_for_ten_minutes() {
    for (name, checks) in vague() {
        let rig = rig();
        let mut client = with_two(&rig);
        let two = [event("a", "1", Some("x")), event("b", "2", Some("y"))];
        let call = append(&checks, &two);
        let first = appended(&mut client, call.clone());
        assert_eq!(
            (first.base_offset, first.is_duplicate),
            (4, false),
            "{name}"
        );
        // Whatever has become of what was expected.
        appended(&mut client, append(&[], &[event("a", "3", None)]));
        repeated(&mut client, call.clone(), &first);
        rig.clock.advance(LONG / 2 - Duration::from_millis(1));
        repeated(&mut rig.client(), call, &first);
        assert_eq!(events(&mut rig.client(), read("b")).events.len(), 1);
    }
}

#[test]
fn an_id_that_was_forgotten_is_that_of_a_new_event() {
    let rig = rig();
    let call = append(
        &[check("a", What::Any(true))],
        &[event("a", "1", Some("x"))],
    );
    appended(&mut rig.client(), call.clone());
    rig.clock.advance(LONG);
    let again = appended(&mut rig.client(), call.clone());
    assert_eq!((again.revisions, again.is_duplicate), (vec![1], false));
    // And remembered anew.
    assert_eq!(appended(&mut rig.client(), call).revisions, [1]);
}

#[test]
fn another_stream_partition_or_source_has_ids_of_its_own() {
    let rig = rig();
    rig.topic_with("more", 2, crate::streams::STORE);
    let mut client = rig.client();
    let base = event("a", "1", Some("x"));
    let mut sourced = base.clone();
    sourced.headers.push(header("ce_source", "/shop"));
    let mut other_source = base.clone();
    other_source.headers.push(header("ce_source", "/bank"));
    let mut unnamed = base.clone();
    unnamed.headers.clear();
    let other_key = event("b", "1", Some("x"));
    for event in [
        &base,
        &sourced,
        &other_source,
        &unnamed,
        &unnamed,
        &other_key,
    ] {
        let call = append(&[], std::slice::from_ref(event));
        assert!(!appended(&mut client, call).is_duplicate, "{event:?}");
    }
    for partition in [0, 1] {
        let call = v1::Append {
            topic: "more".to_owned(),
            partition: Some(partition),
            events: vec![base.clone()],
            ..v1::Append::default()
        };
        assert!(!appended(&mut client, Call::Append(call)).is_duplicate);
    }
    for event in [&base, &sourced, &other_source, &other_key] {
        let call = append(&[], std::slice::from_ref(event));
        assert!(appended(&mut client, call).is_duplicate, "{event:?}");
    }
}

#[test]
fn a_part_of_what_is_remembered_is_an_id_mismatch() {
    let rig = rig();
    let mut client = rig.client();
    let event = |id| event("a", id, Some("x"));
    appended(&mut client, append(&[], &[event("1"), event("2")]));
    assert_eq!(
        mismatch(&mut client, append(&[], &[event("1"), event("9")])),
        1
    );
    let longer = [event("1"), event("2"), event("9")];
    assert_eq!(mismatch(&mut client, append(&[], &longer)), 2);
    mismatch(&mut client, append(&[], &[event("9"), event("1")]));
    // One of them is a whole repeat of itself.
    let second = appended(&mut client, append(&[], &[event("2")]));
    assert_eq!((second.base_offset, second.is_duplicate), (1, true));
    assert_eq!(events(&mut client, read("a")).events.len(), 2);
}

#[test]
fn what_was_refused_was_never_there() {
    let rig = rig();
    let mut client = rig.client();
    let call = append(
        &[check("a", What::Exists(true))],
        &[event("a", "1", Some("x"))],
    );
    conflict(&mut client, call.clone());
    conflict(&mut client, call.clone());
    appended(&mut client, append(&[], &[event("a", "0", Some("x"))]));
    let stored = appended(&mut client, call);
    assert_eq!((stored.revisions, stored.is_duplicate), (vec![1], false));
}

/// Each is sent twice before anything is answered, on one connection, whose requests wait for the
/// one before them.
#[test]
fn a_repeat_that_is_sent_ahead_waits_for_what_it_repeats() {
    const COUNT: usize = 20;
    let rig = rig();
    let mut client = rig.client();
    let mut together = Vec::new();
    for n in 0..COUNT {
        for _ in 0..2 {
            let event = event("a", &n.to_string(), Some("x"));
            together.extend(client.frame(append(&[], &[event]), b"").1);
        }
    }
    client.write(&together);
    let mut seen = Vec::new();
    for _ in 0..2 * COUNT {
        match client.receive() {
            (_, Answer::Appended(appended), _) => {
                seen.push((appended.base_offset, appended.is_duplicate));
            }
            other => panic!("{other:?}"),
        }
    }
    seen.sort_unstable();
    let wanted = (0..COUNT as i64).flat_map(|offset| [(offset, false), (offset, true)]);
    assert_eq!(seen, wanted.collect::<Vec<_>>());
}
