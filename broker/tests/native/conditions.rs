//! What an append may expect of a stream: each cell of the table, by the native protocol.

use bytes::Bytes;
use highwater_proto::native::v1;
use highwater_proto::native::v1::expect::What;

use crate::streams::{append, appended, check, conflict, event, events, no_stream, read, rig};

/// What was there before.
#[derive(Clone, Copy)]
enum Before {
    Absent,
    /// At revision 1, offset 1.
    Present,
    /// By revision 2, offset 2.
    Deleted,
}

#[derive(Clone, Copy)]
enum Wanted {
    Stored,
    /// And it says what was expected and what is there.
    Conflict,
}

/// One cell: what an event of a stream meets under an expectation; a conflict stores nothing.
fn cell(what: What, before: Before, wanted: Wanted) {
    let rig = rig();
    let mut client = rig.client();
    let (count, is_tombstone) = match before {
        Before::Absent => (0, false),
        Before::Present => (2, false),
        Before::Deleted => (3, true),
    };
    let history = [Some("0"), Some("1"), None];
    for (value, id) in history.into_iter().take(count).zip(["0", "1", "2"]) {
        appended(&mut client, append(&[], &[event("k", id, value)]));
    }
    let head = count.checked_sub(1).map(|last| v1::Head {
        revision: last as u64,
        offset: i64::try_from(last).unwrap(),
        is_tombstone,
    });
    // Another stream is nobody's business.
    appended(&mut client, append(&[], &[event("other", "1", Some("x"))]));
    let call = append(&[check("k", what)], &[event("k", "new", Some("new"))]);
    let after = match wanted {
        Wanted::Stored => {
            let stored = appended(&mut client, call);
            let offset = i64::try_from(count).unwrap() + 1;
            assert_eq!((stored.base_offset, stored.last_offset), (offset, offset));
            assert_eq!(stored.revisions, [count as u64]);
            assert!(!stored.is_duplicate);
            Some(v1::Head {
                revision: count as u64,
                offset,
                is_tombstone: false,
            })
        }
        Wanted::Conflict => {
            let told = v1::Conflict {
                key: Bytes::from("k"),
                expected: Some(v1::Expect { what: Some(what) }),
                actual: head,
            };
            assert_eq!(conflict(&mut client, call), told);
            head
        }
    };
    assert_eq!(events(&mut client, read("k")).head, after);
}

const fn recreated() -> What {
    What::NoStream(v1::NoStream {
        allow_recreate: true,
    })
}

macro_rules! cells {
    ($($name:ident: $what:expr, $before:ident, $wanted:ident;)*) => {
        $(#[test] fn $name() { cell($what, Before::$before, Wanted::$wanted); })*
    };
}

cells! {
    any_of_an_absent_stream: What::Any(true), Absent, Stored;
    any_of_a_stream_that_is_there: What::Any(true), Present, Stored;
    any_of_a_deleted_stream: What::Any(true), Deleted, Stored;
    no_stream_of_an_absent_stream: no_stream(), Absent, Stored;
    no_stream_of_a_stream_that_is_there: no_stream(), Present, Conflict;
    no_stream_of_a_deleted_stream: no_stream(), Deleted, Conflict;
    a_new_stream_in_the_place_of_an_absent_stream: recreated(), Absent, Stored;
    a_new_stream_in_the_place_of_a_stream_that_is_there: recreated(), Present, Conflict;
    a_new_stream_in_the_place_of_a_deleted_stream: recreated(), Deleted, Stored;
    exists_of_an_absent_stream: What::Exists(true), Absent, Conflict;
    exists_of_a_stream_that_is_there: What::Exists(true), Present, Stored;
    exists_of_a_deleted_stream: What::Exists(true), Deleted, Conflict;
    a_revision_of_an_absent_stream: What::Revision(0), Absent, Conflict;
    the_last_revision_of_a_stream_that_is_there: What::Revision(1), Present, Stored;
    a_lower_revision_of_a_stream_that_is_there: What::Revision(0), Present, Conflict;
    a_higher_revision_of_a_stream_that_is_there: What::Revision(2), Present, Conflict;
    the_last_revision_of_a_deleted_stream: What::Revision(2), Deleted, Conflict;
    a_last_offset_of_an_absent_stream: What::LastOffset(0), Absent, Conflict;
    the_last_offset_of_a_stream_that_is_there: What::LastOffset(1), Present, Stored;
    a_lower_offset_of_a_stream_that_is_there: What::LastOffset(0), Present, Conflict;
    a_higher_offset_of_a_stream_that_is_there: What::LastOffset(2), Present, Conflict;
    the_last_offset_of_a_deleted_stream: What::LastOffset(2), Deleted, Conflict;
}
