//! What the rows are measured with notices a store that does not do what it says.

use std::sync::{Mutex, PoisonError};

use super::*;

/// Takes what is expected, but for one thing.
#[derive(Default)]
struct Faulty {
    /// Forgets this revision of every stream.
    forgets: Option<u64>,
    /// Takes an event whatever is expected.
    is_careless: bool,
    events: Mutex<Vec<(String, u64, Note)>>,
}

impl Store for Faulty {
    fn append<'a>(
        &'a self,
        stream: &'a str,
        revision: u64,
        note: Note,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = events
            .iter()
            .any(|(other, at, _)| other == stream && *at == revision);
        let taken = match is_there && !self.is_careless {
            true => Err("it is there".into()),
            false => Ok(()),
        };
        if taken.is_ok() && self.forgets != Some(revision) {
            events.push((stream.to_owned(), revision, note));
        }
        Box::pin(async move { taken })
    }

    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Notes, Failure>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes = Notes::default();
        let of_stream = events.iter().filter(|(other, ..)| other == stream);
        of_stream.for_each(|(_, _, note)| notes.take(note));
        Box::pin(async move { Ok(notes) })
    }
}

fn rows() -> Rows {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Rows {
        runtime: builder.worker_threads(2).enable_all().build().unwrap(),
        meter: Meter::new(),
    }
}

const PLAN: Plan = Plan {
    writers: 4,
    streams: 2,
    events: 5,
};

fn faulty(forgets: Option<u64>, is_careless: bool) -> Entry<'static> {
    Entry::of("faulty", move |_| {
        Ok(Arc::new(Faulty {
            forgets,
            is_careless,
            events: Mutex::default(),
        }))
    })
}

#[test]
fn a_store_that_loses_an_event_or_takes_a_wrong_one_fails_the_run() {
    let rows = rows();
    let why = |entry| rows.pass(&entry, &PLAN).map(drop).unwrap_err().to_string();
    let lost = why(faulty(Some(3), false));
    assert!(lost.starts_with("(0, 0) is Notes { count: 4"), "{lost}");
    assert_eq!(why(faulty(None, true)), "it takes a first event twice");
    assert!(rows.pass(&faulty(None, false), &PLAN).is_ok());
}

#[test]
fn every_store_holds_all_and_keeps_to_what_is_expected() {
    let rows = rows();
    let ours = Entry::of("highwater", highwater::open);
    for entry in peers().iter().chain([&ours]) {
        let pass = rows.pass(entry, &PLAN);
        let pass = pass.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        assert_eq!(pass.records, PLAN.total());
    }
}

#[test]
fn what_a_stream_folds_to_tells_order_and_content() {
    let folded = |numbers: &[u64]| {
        let mut notes = Notes::default();
        let numbered = numbers.iter().copied().map(Note::numbered);
        numbered.for_each(|note| notes.take(&note));
        notes
    };
    assert_eq!(folded(&[1, 2]), folded(&[1, 2]));
    assert_ne!(folded(&[1, 2]), folded(&[2, 1]));
    assert_ne!(folded(&[1, 2]), folded(&[1, 3]));
    assert_ne!(folded(&[1]), folded(&[1, 1]));
}
