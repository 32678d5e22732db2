//! Records that are called together.
//!
//! Floor 6 of client, tests only.

use super::*;

/// Records behind a first one, which is called alone since nothing else was there.
fn behind_one(together_max: usize, keys: &[&str]) -> Run {
    let mut run = Run::new(Rules {
        concurrency: 1,
        together_max,
        ..rules()
    });
    run.arrive(0, key("first"));
    for (offset, name) in (1..).zip(keys) {
        run.arrive(offset, key(name));
    }
    assert_eq!(run.called(), [0]);
    run
}

#[test]
fn what_is_there_is_called_together_and_finished_together() {
    let mut run = behind_one(4, &["a", "a", "b", "a", "c"]);
    run.end(0, Ok(()));
    assert_eq!(run.called_together(), [1, 2, 3, 4]);
    assert_eq!((run.committable(), run.called()), (Some(1), vec![]));
    run.end_together(0, Ok(()));
    assert_eq!((run.committable(), run.called()), (Some(5), vec![5]));
    run.end(5, Ok(()));
    assert_eq!((run.committable(), run.machine.bytes), (Some(6), 0));
}

#[test]
fn what_was_undone_together_is_called_one_by_one_and_that_was_no_attempt() {
    let mut run = behind_one(4, &["a", "a", "b", "a", "c"]);
    run.end(0, Ok(()));
    run.end_together(0, Err(Undone));
    let mut calls = Vec::new();
    while let Some(offset) = run.called().pop() {
        let result = match offset {
            2 => Err(FailureClass::Retry),
            _ => Ok(()),
        };
        calls.push((offset, run.end(offset, result)));
    }
    // 5 was never called together with others; 4 waits behind 2.
    assert_eq!(calls, [(3, 1), (5, 1), (1, 1), (2, 1)]);
    assert!(run.together.is_empty());
    assert_eq!(run.committable(), Some(2));
    run.arrive(6, key("d"));
    run.end(6, Ok(()));
    run.pass(SECOND);
    assert_eq!(run.end(2, Ok(())), 2, "its second attempt");
    assert_eq!(run.end(4, Ok(())), 1);
    assert_eq!(run.committable(), Some(7));
}

#[test]
fn a_key_that_waits_is_not_called_together_with_others() {
    let mut run = behind_one(10, &["a", "b", "a", "b"]);
    run.end(0, Ok(()));
    run.end_together(0, Err(Undone));
    run.end(2, Ok(()));
    run.end(1, Err(FailureClass::Retry));
    for (offset, name) in (5..).zip(["a", "c", "b", "a", "c"]) {
        run.arrive(offset, key(name));
    }
    assert_eq!(run.called(), [4], "it was set apart");
    run.end(4, Ok(()));
    assert_eq!(run.called_together(), [6, 7, 9]);
}

#[test]
fn a_partition_that_goes_waits_for_what_is_called_together() {
    for (result, committed) in [(Ok(()), 3), (Err(Undone), 1)] {
        let mut run = behind_one(10, &["a", "b"]);
        run.end(0, Ok(()));
        run.input(Input::Revoked(place(0)));
        assert!(run.others.is_empty(), "{:?}", run.others);
        run.end_together(0, result);
        let released = Effect::Released(place(0), Some(committed));
        assert_eq!(run.others, [released]);
        assert!(run.machine.is_idle() && run.called().is_empty());
    }
}

#[test]
fn in_an_outage_nothing_is_called_together() {
    let mut run = behind_one(10, &["a", "b", "c"]);
    run.end(0, Err(FailureClass::Systemic));
    run.pass(SECOND);
    assert_eq!((run.called(), run.together.len()), (vec![1], 0));
    run.end(1, Ok(()));
    assert_eq!(run.called_together(), [2, 3]);
}
