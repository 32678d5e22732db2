//! The machine against its promises, one by one.

mod together;

use std::sync::Arc;

use super::*;
use crate::handler::Undone;

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn rules() -> Rules {
    Rules {
        backoff: Backoff::fixed(SECOND).max_attempts(4),
        order: Order::Key,
        exhausted: Exhausted::Record,
        concurrency: 8,
        together_max: 1,
        waiting_max: 100,
        distance_max: 1_000,
        bytes_max: 1_000_000,
    }
}

pub(super) fn place(partition: i32) -> Place {
    Place {
        topic: Arc::from("t"),
        partition,
    }
}

fn key(name: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(name.as_bytes()))
}

/// A machine, its clock, and what it has under way.
pub(super) struct Run {
    pub(super) machine: Machine,
    pub(super) now: Mono,
    pub(super) calls: Vec<(Id, u32)>,
    /// Calls of several records.
    pub(super) together: Vec<Vec<Id>>,
    pub(super) recordings: Vec<Id>,
    pub(super) finished: Vec<Id>,
    recorded: Vec<Id>,
    /// Everything else, in its order.
    pub(super) others: Vec<Effect>,
}

impl Run {
    pub(super) fn new(rules: Rules) -> Self {
        let mut run = Self {
            machine: Machine::new(rules),
            now: Mono(0),
            calls: Vec::new(),
            together: Vec::new(),
            recordings: Vec::new(),
            finished: Vec::new(),
            recorded: Vec::new(),
            others: Vec::new(),
        };
        run.input(Input::Assigned(place(0)));
        run
    }

    pub(super) fn input(&mut self, input: Input) {
        for effect in self.machine.step(self.now, input) {
            match effect {
                Effect::Call { id, attempt } => self.calls.push((id, attempt)),
                Effect::CallTogether(ids) => self.together.push(ids),
                Effect::Record { id, .. } => self.recordings.push(id),
                Effect::Finished(id) => self.finished.push(id),
                other => self.others.push(other),
            }
        }
    }

    pub(super) fn arrive(&mut self, offset: i64, key: Option<Bytes>) {
        self.input(Input::Arrived {
            place: place(0),
            offset,
            key,
            bytes: 100,
        });
    }

    /// Ends the call of an offset.
    fn end(&mut self, offset: i64, result: Result<(), FailureClass>) -> u32 {
        let at = self.calls.iter().position(|(id, _)| id.offset == offset);
        let (id, attempt) = self.calls.remove(at.expect("it is being called"));
        self.input(Input::Called(id, result));
        attempt
    }

    pub(super) fn end_together(&mut self, at: usize, result: Result<(), Undone>) {
        let ids = self.together.remove(at);
        self.input(Input::CalledTogether(ids, result));
    }

    /// The offsets of the only call of several records.
    fn called_together(&self) -> Vec<i64> {
        let [ids] = &self.together[..] else {
            panic!("one call: {:?}", self.together);
        };
        ids.iter().map(|id| id.offset).collect()
    }

    pub(super) fn store(&mut self, stored: Stored) {
        let id = self.recordings.remove(0);
        if stored == Stored::Yes {
            self.recorded.push(id.clone());
        }
        self.input(Input::Recorded(id, stored));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.input(Input::Tick);
    }

    fn called(&self) -> Vec<i64> {
        self.calls.iter().map(|(id, _)| id.offset).collect()
    }

    pub(super) fn committable(&self) -> Option<i64> {
        self.machine.committable().next().map(|(_, offset)| offset)
    }
}

#[test]
fn seed_s09_three_retries_are_four_calls_at_0_1_2_and_3_s() {
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    let mut calls = Vec::new();
    for _ in 0..100 {
        while run.called() == [0] {
            calls.push(run.now.since(Mono(0)).as_millis());
            run.end(0, Err(FailureClass::Retry));
        }
        run.pass(SECOND / 10);
    }
    assert_eq!(calls, [0, 1_000, 2_000, 3_000]);
    assert_eq!(run.recordings.len(), 1);
}

#[test]
fn one_key_waits_while_others_go_on_and_the_commit_stays_below_it() {
    let mut run = Run::new(rules());
    for (offset, name) in (0..).zip(["a", "b", "a", "c"]) {
        run.arrive(offset, key(name));
    }
    assert_eq!(run.called(), [0, 1, 3], "2 is behind 0");
    run.end(0, Err(FailureClass::Retry));
    run.end(1, Ok(()));
    run.end(3, Ok(()));
    assert_eq!((run.called(), run.committable()), (vec![], Some(0)));
    assert_eq!(run.machine.wakes_at(), Mono(0).plus(SECOND));
    run.pass(SECOND);
    assert_eq!(run.end(0, Ok(())), 2, "the second attempt");
    assert_eq!(run.committable(), Some(2));
    run.end(2, Ok(()));
    assert_eq!(run.committable(), Some(4));
}

#[test]
fn a_partition_in_order_waits_as_a_whole() {
    let order = Order::Partition;
    let mut run = Run::new(Rules { order, ..rules() });
    run.arrive(0, key("a"));
    run.arrive(1, key("b"));
    run.arrive(2, None);
    assert_eq!(run.called(), [0]);
    run.end(0, Err(FailureClass::RetryAfter(9 * SECOND)));
    run.pass(8 * SECOND);
    assert!(run.called().is_empty());
    run.pass(SECOND);
    run.end(0, Ok(()));
    assert_eq!(run.called(), [1]);
}

#[test]
fn attempts_count_by_record_whatever_the_error() {
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    let retry_after = FailureClass::RetryAfter(SECOND);
    for class in [FailureClass::Retry, FailureClass::Panic, retry_after] {
        run.end(0, Err(class));
        run.pass(SECOND);
    }
    run.end(0, Err(FailureClass::Panic));
    assert_eq!(run.recordings.len(), 1);
}

#[test]
fn a_dead_letter_that_cannot_be_stored_is_sent_again_and_nothing_overtakes_it() {
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    run.arrive(1, key("a"));
    run.end(0, Err(FailureClass::Dead));
    for failures in 0..50 {
        run.store(Stored::No);
        assert_eq!((run.called(), run.committable()), (vec![], Some(0)));
        assert!(run.recordings.is_empty(), "it waits, {failures}");
        run.pass(60 * SECOND);
    }
    run.store(Stored::Yes);
    assert_eq!((run.called(), run.committable()), (vec![1], Some(1)));
}

#[test]
fn seed_s11_after_a_dead_letter_the_key_goes_on_but_a_stop_lets_nothing_pass() {
    // The seed's logic: the dead letter is published, and the next event of the key is handled
    // though the one before is missing.
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    run.arrive(1, key("a"));
    run.end(0, Err(FailureClass::Dead));
    run.store(Stored::Yes);
    assert_eq!(
        run.called(),
        [1],
        "the event behind the missing one is handled"
    );

    let exhausted = Exhausted::Halt;
    let mut run = Run::new(Rules {
        exhausted,
        ..rules()
    });
    for (offset, name) in (0..).zip(["a", "b", "a", "c"]) {
        run.arrive(offset, key(name));
    }
    run.end(0, Err(FailureClass::Dead));
    run.end(1, Ok(()));
    run.end(3, Err(FailureClass::Retry));
    let halted = |effect: &Effect| matches!(effect, Effect::Halted(id) if id.offset == 0);
    assert!(run.others.iter().any(halted), "{:?}", run.others);
    assert!(run.others.contains(&Effect::Pause(place(0))));
    run.pass(100 * SECOND);
    run.arrive(4, key("d"));
    assert_eq!((run.called(), run.recordings.len()), (vec![], 0));
    assert_eq!(run.committable(), Some(0));
    assert_eq!(run.machine.bytes, 0, "it takes no memory from the others");
}

#[test]
fn a_stop_at_a_record_keeps_back_what_is_ready() {
    let mut run = Run::new(Rules {
        exhausted: Exhausted::Halt,
        concurrency: 1,
        ..rules()
    });
    run.arrive(0, key("a"));
    run.arrive(1, key("b"));
    run.end(0, Err(FailureClass::Dead));
    assert!(run.called().is_empty());
}

#[test]
fn a_handler_that_says_so_stops_the_partition_whatever_is_said_of_dead_letters() {
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    run.arrive(1, key("b"));
    run.end(0, Err(FailureClass::Stop));
    run.end(1, Ok(()));
    let halted = |effect: &Effect| matches!(effect, Effect::Halted(id) if id.offset == 0);
    assert!(run.others.iter().any(halted), "{:?}", run.others);
    run.arrive(2, key("c"));
    run.pass(100 * SECOND);
    assert_eq!((run.called(), run.recordings.len()), (vec![], 0));
    assert_eq!(run.committable(), Some(0));
}

#[test]
fn in_an_outage_one_record_probes_and_the_dead_letters_stay_empty() {
    for class in [FailureClass::Systemic, FailureClass::Retry] {
        let mut run = Run::new(rules());
        for offset in 0..30 {
            run.arrive(offset, key(&offset.to_string()));
        }
        // An hour during which every call fails.
        let (mut calls, end) = (0, Mono(0).plus(3_600 * SECOND));
        while run.now < end {
            for offset in run.called() {
                calls += 1;
                run.end(offset, Err(class));
            }
            run.pass(SECOND / 2);
        }
        assert!((100..200).contains(&calls), "{calls} calls in an hour");
        assert!(run.others.contains(&Effect::OutageBegan));
        assert!(run.others.contains(&Effect::Pause(place(0))));
        assert!(run.recordings.is_empty(), "no dead letter, {class:?}");
        run.pass(30 * SECOND);
        let [(probe, attempt)] = &run.calls[..] else {
            panic!("one probe: {:?}", run.calls);
        };
        assert_eq!(*attempt, 1, "no attempt has counted");
        run.end(probe.offset, Ok(()));
        assert!(run.others.contains(&Effect::OutageEnded));
        assert!(run.others.contains(&Effect::Resume(place(0))));
        run.pass(SECOND);
        while let Some(offset) = run.called().pop() {
            assert_eq!(run.end(offset, Ok(())), 1, "of {offset} neither");
        }
        assert_eq!(run.committable(), Some(30));
    }
}

#[test]
fn an_outage_is_not_over_because_an_older_call_succeeds() {
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    run.arrive(1, key("b"));
    run.arrive(2, key("c"));
    run.end(0, Err(FailureClass::Systemic));
    run.end(1, Ok(()));
    run.end(2, Err(FailureClass::Retry));
    assert!(!run.others.contains(&Effect::OutageEnded));
    assert_eq!(
        (run.called(), run.machine.wakes_at()),
        (vec![], Mono(0).plus(SECOND))
    );
    run.pass(SECOND);
    assert_eq!(run.called(), [0], "one probe");
    run.end(0, Ok(()));
    assert!(run.others.contains(&Effect::OutageEnded));
    assert_eq!(run.called(), [2]);
}

#[test]
fn one_poisoned_key_is_no_outage() {
    let mut run = Run::new(rules());
    for offset in 0..40 {
        let name = if offset % 2 == 0 { "poison" } else { "healthy" };
        run.arrive(offset, key(name));
    }
    for _ in 0..200 {
        for offset in run.called() {
            let is_poison = offset % 2 == 0;
            run.end(
                offset,
                if is_poison {
                    Err(FailureClass::Retry)
                } else {
                    Ok(())
                },
            );
        }
        while !run.recordings.is_empty() {
            run.store(Stored::Yes);
        }
        run.pass(SECOND);
    }
    assert!(!run.others.contains(&Effect::OutageBegan));
    assert_eq!((run.recorded.len(), run.committable()), (20, Some(40)));
}

#[test]
fn half_of_twenty_keys_is_an_outage() {
    let mut run = Run::new(Rules {
        concurrency: 100,
        ..rules()
    });
    for offset in 0..20 {
        run.arrive(offset, key(&offset.to_string()));
    }
    for offset in 0..20 {
        let result = match offset % 2 {
            0 => Ok(()),
            _ => Err(FailureClass::Retry),
        };
        assert!(!run.others.contains(&Effect::OutageBegan), "{offset}");
        run.end(offset, result);
    }
    assert!(run.others.contains(&Effect::OutageBegan));
}

#[test]
fn partitions_are_paused_at_each_limit_and_resumed() {
    let (pause, resume) = (Effect::Pause(place(0)), Effect::Resume(place(0)));
    for limits in [
        Rules {
            waiting_max: 1,
            ..rules()
        },
        Rules {
            distance_max: 2,
            ..rules()
        },
        Rules {
            bytes_max: 150,
            ..rules()
        },
    ] {
        let mut run = Run::new(limits);
        run.arrive(0, key("a"));
        run.arrive(1, key("b"));
        run.end(0, Err(FailureClass::Retry));
        assert_eq!(run.others, std::slice::from_ref(&pause), "{limits:?}");
        run.end(1, Ok(()));
        run.pass(SECOND);
        run.end(0, Ok(()));
        assert_eq!(run.others, [pause.clone(), resume.clone()], "{limits:?}");
    }
}

#[test]
fn a_revoked_partition_is_released_when_nothing_of_it_is_under_way() {
    let mut run = Run::new(rules());
    for offset in 0..4 {
        run.arrive(offset, key(&(offset % 3).to_string()));
    }
    run.end(0, Ok(()));
    run.end(1, Err(FailureClass::Retry));
    assert_eq!(run.called(), [2, 3]);
    run.input(Input::Revoked(place(0)));
    run.pass(60 * SECOND);
    assert_eq!((run.called(), &run.others[..]), (vec![2, 3], &[][..]));
    run.end(2, Ok(()));
    run.end(3, Err(FailureClass::Dead));
    assert_eq!(run.others, [Effect::Released(place(0), Some(1))]);
    assert!(run.recordings.is_empty() && run.machine.is_idle());
    assert_eq!(run.committable(), None);
}

#[test]
fn an_answer_of_an_assignment_that_is_gone_changes_nothing() {
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    run.input(Input::Dropped(place(0)));
    run.input(Input::Assigned(place(0)));
    run.arrive(0, key("a"));
    let [(old, _), (new, _)] = run.calls.clone().try_into().unwrap();
    run.input(Input::Called(old, Ok(())));
    assert_eq!(run.committable(), Some(0));
    run.input(Input::Called(new, Ok(())));
    assert_eq!(run.committable(), Some(1));
}

#[test]
fn a_stop_begins_nothing_and_waits_for_no_delay() {
    let mut run = Run::new(rules());
    run.arrive(0, key("a"));
    run.arrive(1, key("b"));
    run.end(0, Err(FailureClass::Retry));
    run.input(Input::Stop);
    assert!(!run.machine.is_idle());
    run.end(1, Err(FailureClass::Dead));
    run.pass(60 * SECOND);
    assert!(run.machine.is_idle() && run.calls.is_empty() && run.recordings.is_empty());
    assert_eq!((run.committable(), run.machine.unfinished()), (Some(0), 2));
    assert_eq!(run.machine.wakes_at(), Mono::NEVER);
}
