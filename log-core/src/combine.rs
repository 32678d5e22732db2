//! How threads share one piece of work: a queue whose first caller drives for all, a bell, and a
//! reply that is waited for, by a thread that can be called to work meanwhile.
//!
//! Floor 0 of log-core. Modelled with loom in `combine/models.rs`.
//!
//! Invariants
//! - At most one driver at a time, and no item waits without one: an item is taken by the driver
//!   that runs while it is pushed, or by whoever pushed it.
//! - A driver that panics takes the queue with it: what is queued is dropped, what comes is
//!   refused, nobody hangs. An item therefore answers its caller in its `Drop`.
//! - The callers bound the queue (the broker's semaphore of bytes); this file does not.

#[cfg(test)]
#[cfg(loom)]
mod models;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::error::LogError;
use crate::sync::{Condvar, Mutex, lock};

/// A queue that the first caller who finds it idle works off, for itself and for those who come
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Combine<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    queued: Vec<T>,
    driven: bool,
    refused: Option<LogError>,
}

impl<T> Combine<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            queued: Vec::new(),
            driven: false,
            refused: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Queues an item; the caller then offers to drive. A refused item comes back.
    pub(crate) fn push(&self, item: T) -> Result<(), (T, LogError)> {
        let mut state = lock(&self.state);
        if let Some(why) = &state.refused {
            let why = why.clone();
            drop(state);
            return Err((item, why));
        }
        state.queued.push(item);
        Ok(())
    }

    /// The right to take what is queued, if something is and nobody else has that right.
    pub(crate) fn drive(&self) -> Option<Driver<'_, T>> {
        let mut state = lock(&self.state);
        if state.driven || state.queued.is_empty() {
            return None;
        }
        state.driven = true;
        Some(Driver {
            combine: self,
            idle: false,
        })
    }

    /// Refuses everything from now on, for the first reason given. What was queued stays queued.
    pub(crate) fn close(&self, why: LogError) {
        lock(&self.state).refused.get_or_insert(why);
    }

    /// Refuses everything from now on and gives back what was queued, which nobody will drive.
    #[must_use]
    pub(crate) fn abandon(&self, why: LogError) -> Vec<T> {
        let mut state = lock(&self.state);
        state.refused = Some(why);
        std::mem::take(&mut state.queued)
    }
}

/// The one thread that works for all. Dropped before the queue is idle, it abandons the queue.
#[derive(Debug)]
pub(crate) struct Driver<'a, T> {
    combine: &'a Combine<T>,
    idle: bool,
}

impl<T> Driver<'_, T> {
    /// All that is queued, in order. Nothing means that the queue is idle from now on: the next
    /// item finds its driver in its own caller.
    pub(crate) fn take(&mut self) -> Vec<T> {
        let mut state = lock(&self.combine.state);
        if state.queued.is_empty() {
            state.driven = false;
            self.idle = true;
        }
        std::mem::take(&mut state.queued)
    }

    /// Stops driving; the caller has somebody else drive what is queued.
    pub(crate) fn leave(mut self) {
        lock(&self.combine.state).driven = false;
        self.idle = true;
    }
}

impl<T> Drop for Driver<'_, T> {
    fn drop(&mut self) {
        if self.idle {
            return;
        }
        let abandoned = {
            let mut state = lock(&self.combine.state);
            state.driven = false;
            state.refused = Some(LogError::Poisoned {
                why: PANICKED.to_owned(),
            });
            std::mem::take(&mut state.queued)
        };
        // Outside the lock: an item calls its owner when it is dropped.
        drop(abandoned);
    }
}

/// A wake-up that is not lost when nobody waits yet.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            rung: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    /// Wakes the waiting thread, or keeps the next one from waiting.
    pub(crate) fn ring(&self) {
        let mut rung = lock(&self.rung);
        if !*rung {
            *rung = true;
            self.wake.notify_one();
        }
    }

    /// Waits for a ring since the last wait returned.
    pub(crate) fn wait(&self) {
        let mut rung = lock(&self.rung);
        while !*rung {
            rung = self
                .wake
                .wait(rung)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *rung = false;
    }

    /// The same, but no longer than `at_most`, and it may return early without a ring.
    pub(crate) fn wait_at_most(&self, at_most: Duration) {
        let mut rung = lock(&self.rung);
        if !*rung {
            let waited = self.wake.wait_timeout(rung, at_most);
            rung = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        *rung = false;
    }
}

/// A value that one thread waits for and another one gives. Until it is given, the thread that
/// waits can be called to do something for all first.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    state: Mutex<Awaited<T>>,
    woken: Condvar,
}

#[derive(Debug)]
struct Awaited<T> {
    value: Option<T>,
    is_waited_for: bool,
    is_called: bool,
}

/// Why a thread that waited for a reply goes on.
#[derive(Debug)]
pub(crate) enum Woken<T> {
    /// Here is the value.
    Given(T),
    /// It was called; the value is still to come, or waits to be taken.
    Called,
}

impl<T> Reply<T> {
    pub(crate) fn new() -> Self {
        let state = Awaited {
            value: None,
            is_waited_for: false,
            is_called: false,
        };
        Self {
            state: Mutex::new(state),
            woken: Condvar::new(),
        }
    }

    /// Gives the value; called once.
    pub(crate) fn give(&self, value: T) {
        lock(&self.state).value = Some(value);
        self.woken.notify_one();
    }

    /// Calls the thread that waits, if one does: then it goes on with [`Woken::Called`], once.
    /// The caller sees to it that the value is given later than this.
    pub(crate) fn call(&self) -> bool {
        let mut state = lock(&self.state);
        if state.is_waited_for {
            state.is_called = true;
            self.woken.notify_one();
        }
        state.is_waited_for
    }

    /// Waits until the value is given, or the thread is called.
    pub(crate) fn wait(&self) -> Woken<T> {
        let mut state = lock(&self.state);
        state.is_waited_for = true;
        loop {
            if state.is_called {
                (state.is_called, state.is_waited_for) = (false, false);
                return Woken::Called;
            }
            if let Some(value) = state.value.take() {
                return Woken::Given(value);
            }
            state = self
                .woken
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
impl<T> Woken<T> {
    /// The value, of a thread that nobody calls.
    pub(crate) fn given(self) -> T {
        match self {
            Self::Given(value) => value,
            Self::Called => unreachable!("nobody calls it"),
        }
    }
}

const PANICKED: &str = "the thread that wrote for all panicked";
