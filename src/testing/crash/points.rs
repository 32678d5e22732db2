//! The commit points of one process: counted, and at one of them it crashes.
//!
//! Invariants
//! - A point is a name and a number: the how-manieth time the name is reached. Names say what was
//!   done, so that a number means the same in every run, however the rest falls out.
//! - Whoever reaches a point behind the crash never comes back from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Clones are of one process.
#[derive(Clone, Debug)]
pub(super) struct Points {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    crash_at: Option<(String, u64)>,
    state: Mutex<State>,
    life: watch::Sender<Life>,
}

#[derive(Debug)]
struct State {
    reached: BTreeMap<String, u64>,
    has_crashed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    has_crashed: bool,
    is_finished: bool,
}

impl Points {
    pub(super) fn new(crash_at: Option<(String, u64)>) -> Self {
        let state = State {
            reached: BTreeMap::new(),
            has_crashed: false,
        };
        Self {
            shared: Arc::new(Shared {
                crash_at,
                state: Mutex::new(state),
                life: watch::Sender::default(),
            }),
        }
    }

    /// Reaches a point; whether the process lives on.
    pub(super) fn pass(&self, name: impl FnOnce() -> String) -> bool {
        let mut state = self.state();
        if state.has_crashed {
            return false;
        }
        let name = name();
        let crash_at = self.shared.crash_at.as_ref();
        let number = state.reached.entry(name.clone()).or_insert(0);
        *number += 1;
        if crash_at.is_none_or(|it| (&it.0, it.1) != (&name, *number)) {
            return true;
        }
        state.has_crashed = true;
        drop(state);
        self.shared.life.send_modify(|life| life.has_crashed = true);
        false
    }

    /// Reaches a point, and comes back from it only alive.
    pub(super) async fn reach(&self, name: impl FnOnce() -> String) {
        if !self.pass(name) {
            std::future::pending().await
        }
    }

    /// Everything is handled.
    pub(super) fn finish(&self) {
        self.shared.life.send_modify(|life| life.is_finished = true);
    }

    pub(super) async fn crashed(&self) {
        self.wait_for(|life| life.has_crashed).await;
    }

    pub(super) async fn finished(&self) {
        self.wait_for(|life| life.is_finished).await;
    }

    async fn wait_for(&self, is_so: impl Fn(&Life) -> bool) {
        let mut life = self.shared.life.subscribe();
        // The sender lives as long as we do.
        drop(life.wait_for(|life| is_so(life)).await);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.shared.life.borrow().is_finished
    }

    /// Where it crashed, if it did.
    pub(super) fn crash(&self) -> Option<String> {
        let has_crashed = self.state().has_crashed;
        let (name, number) = self.shared.crash_at.as_ref().filter(|_| has_crashed)?;
        Some(format!("{name}, number {number}"))
    }

    /// Which points were reached, and how often.
    pub(super) fn reached(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let reached = state.reached.iter();
        reached
            .map(|(name, count)| (name.clone(), *count))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one step, so that a panic elsewhere leaves it whole.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
