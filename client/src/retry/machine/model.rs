//! The machine against a model, on random histories.
//!
//! Floor 6 of client: tests.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;
use proptest::prelude::*;

use super::tests::{Run, SECOND, place, rules};
use super::{Effect, Input, Order, Rules, Stored};
use crate::failure::FailureClass;
use crate::handler::Undone;
use crate::retry::backoff::Backoff;

#[derive(Clone, Debug)]
enum Op {
    Arrive(u8),
    /// Ends one of the calls.
    End(usize, Result<(), FailureClass>),
    /// Ends one of the calls of several records.
    EndTogether(usize, Result<(), Undone>),
    Store(Stored),
    Pass(u64),
    /// The partition goes, and comes back at what was committed.
    Drop,
    Revoke,
}

fn op() -> impl Strategy<Value = Op> {
    let class = prop_oneof![
        Just(FailureClass::Retry),
        Just(FailureClass::RetryAfter(3 * SECOND)),
        Just(FailureClass::Dead),
        Just(FailureClass::Panic),
        Just(FailureClass::Systemic),
    ];
    let result = prop_oneof![Just(Ok(())), class.prop_map(Err)];
    prop_oneof![
        8 => (0..6_u8).prop_map(Op::Arrive),
        8 => (any::<usize>(), result).prop_map(|(at, result)| Op::End(at, result)),
        4 => (any::<usize>(), prop_oneof![2 => Just(Ok(())), 1 => Just(Err(Undone))])
            .prop_map(|(at, result)| Op::EndTogether(at, result)),
        2 => prop_oneof![3 => Just(Stored::Yes), 1 => Just(Stored::No)].prop_map(Op::Store),
        4 => (0..40_000_u64).prop_map(Op::Pass),
        1 => Just(Op::Drop),
        1 => Just(Op::Revoke),
    ]
}

/// What a run must have done, kept apart from the machine.
struct Model {
    run: Run,
    /// The key of every record of the log.
    log: Vec<u8>,
    order: Order,
    committed: i64,
    /// From where on the records of this assignment are.
    start: i64,
    taken: usize,
    /// Finished records of this assignment.
    done: BTreeSet<i64>,
    ever_done: BTreeSet<i64>,
}

impl Model {
    fn new(rules: Rules) -> Self {
        Self {
            run: Run::new(rules),
            log: Vec::new(),
            order: rules.order,
            committed: 0,
            start: 0,
            taken: 0,
            done: BTreeSet::new(),
            ever_done: BTreeSet::new(),
        }
    }

    fn key(&self, offset: i64) -> Option<Bytes> {
        // 0 is a record without a key.
        let name = self.log[usize::try_from(offset).unwrap()];
        (name > 0).then(|| Bytes::copy_from_slice(&[name]))
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Arrive(name) => {
                self.log.push(name);
                let offset = i64::try_from(self.log.len()).unwrap() - 1;
                self.run.arrive(offset, self.key(offset));
            }
            Op::End(at, result) if !self.run.calls.is_empty() => {
                let at = at % self.run.calls.len();
                let (id, _) = self.run.calls.remove(at);
                self.run.input(Input::Called(id, result));
            }
            Op::EndTogether(at, result) if !self.run.together.is_empty() => {
                self.run.end_together(at % self.run.together.len(), result);
            }
            Op::Store(stored) if !self.run.recordings.is_empty() => self.run.store(stored),
            Op::Pass(ms) => self.run.pass(Duration::from_millis(ms)),
            Op::Drop => self.assign_anew(Input::Dropped(place(0))),
            Op::Revoke => {
                self.run.input(Input::Revoked(place(0)));
                while let Some((id, _)) = self.run.calls.pop() {
                    self.run.input(Input::Called(id, Ok(())));
                }
                while !self.run.together.is_empty() {
                    self.run.end_together(0, Ok(()));
                }
                while !self.run.recordings.is_empty() {
                    self.run.store(Stored::Yes);
                }
                self.check();
                let released = self
                    .run
                    .others
                    .iter()
                    .rev()
                    .find_map(|effect| match effect {
                        Effect::Released(_, offset) => Some(*offset),
                        _ => None,
                    });
                let offset = released.expect("nothing is under way: it is released");
                self.commit(offset);
                self.assign_anew(Input::Tick);
            }
            Op::End(..) | Op::EndTogether(..) | Op::Store(_) => {}
        }
        self.check();
        self.commit(self.run.committable());
    }

    /// Commits, as a runner would at any moment.
    fn commit(&mut self, offset: Option<i64>) {
        if let Some(offset) = offset {
            assert!(offset >= self.committed, "a commit goes back");
            let is_done = |it| self.ever_done.contains(&it);
            assert!(
                (self.committed..offset).all(is_done),
                "a record would be lost"
            );
            self.committed = offset;
        }
    }

    fn assign_anew(&mut self, how: Input) {
        self.run.input(how);
        self.check();
        self.run.input(Input::Assigned(place(0)));
        self.start = self.committed;
        self.done.clear();
        for offset in self.committed..i64::try_from(self.log.len()).unwrap() {
            self.run.arrive(offset, self.key(offset));
        }
    }

    /// What must hold at any moment.
    fn check(&mut self) {
        let epoch = self.run.machine.epoch;
        for id in &self.run.finished[self.taken..] {
            assert!(self.done.insert(id.offset), "{id:?} is finished twice");
            self.ever_done.insert(id.offset);
            self.assert_is_first(id.offset, "is finished");
        }
        self.taken = self.run.finished.len();
        for (id, _) in self.run.calls.iter().filter(|(id, _)| id.epoch == epoch) {
            assert!(!self.done.contains(&id.offset), "{id:?} is called again");
            self.assert_is_first(id.offset, "is called");
        }
        for ids in &self.run.together {
            assert!((2..=self.run.machine.rules.together_max).contains(&ids.len()));
            let mut done = self.done.clone();
            for id in ids.iter().filter(|id| id.epoch == epoch) {
                // As if those ahead of it in the call were done.
                self.assert_is_first_after(&done, id.offset, "is called together");
                assert!(done.insert(id.offset), "{id:?} is called again");
            }
        }
        let limit = self.run.machine.rules.concurrency;
        let live = self.run.calls.len() + self.run.together.len();
        assert!(live <= limit, "{live} calls");
    }

    /// Whatever it has to wait for is finished.
    fn assert_is_first(&self, offset: i64, what: &str) {
        self.assert_is_first_after(&self.done, offset, what);
    }

    fn assert_is_first_after(&self, done: &BTreeSet<i64>, offset: i64, what: &str) {
        let key = self.key(offset);
        for before in self.start..offset {
            let waits = match self.order {
                Order::Partition => true,
                Order::Key => key.is_some() && self.key(before) == key,
            };
            assert!(
                !waits || done.contains(&before),
                "{offset} {what} before {before}"
            );
        }
    }

    /// Everything succeeds from now on.
    fn recover(&mut self) {
        for _ in 0..10_000 {
            while let Some((id, _)) = self.run.calls.pop() {
                self.run.input(Input::Called(id, Ok(())));
                self.check();
            }
            while !self.run.together.is_empty() {
                self.run.end_together(0, Ok(()));
                self.check();
            }
            while !self.run.recordings.is_empty() {
                self.run.store(Stored::Yes);
                self.check();
            }
            if self.run.machine.unfinished() == 0 {
                break;
            }
            let at = self.run.machine.wakes_at();
            let is_under_way = !self.run.calls.is_empty() || !self.run.together.is_empty();
            assert!(at < Mono::NEVER || is_under_way, "it hangs");
            self.run.now = self.run.now.max(at);
            self.run.input(Input::Tick);
        }
        self.commit(self.run.committable());
        assert_eq!(self.committed, i64::try_from(self.log.len()).unwrap());
        assert_eq!(self.run.machine.bytes, 0);
        assert!(self.run.machine.is_idle());
    }
}

proptest! {
    #[test]
    fn each_record_is_finished_in_the_order_of_its_key_and_none_is_lost(
        ops in proptest::collection::vec(op(), 0..200),
        in_order: bool,
        concurrency in 1..5_usize,
        together_max in 1..5_usize,
        attempts in 1..4_u32,
    ) {
        let order = if in_order { Order::Partition } else { Order::Key };
        let backoff = Backoff::exponential(SECOND).jitter().max_attempts(attempts);
        let mut model = Model::new(Rules {
            order,
            backoff,
            concurrency,
            together_max,
            ..rules()
        });
        for op in ops {
            model.apply(op);
        }
        model.recover();
    }
}
