//! Where the broker's tasks run, and its slow work.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - Work that was begun is done also when nobody waits for it any more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A runtime, and what becomes of work that blocks.
#[derive(Clone, Debug)]
pub struct Workers {
    runtime: Handle,
    slow: Slow,
    /// Counts the turns of tasks, where that is of use.
    turns: Option<Arc<AtomicU64>>,
}

/// Where work runs that blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// On threads beside the runtime's own.
    Threads,
    /// In tasks of the runtime, which stands still meanwhile: on a runtime of one thread, all that
    /// happens has an order.
    Tasks,
}

impl Workers {
    /// Tasks run on this runtime.
    #[must_use]
    pub fn new(runtime: Handle, slow: Slow) -> Self {
        let turns = (slow == Slow::Tasks).then(Arc::default);
        Self {
            runtime,
            slow,
            turns,
        }
    }

    /// The runtime.
    #[must_use]
    pub const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where work runs that blocks.
    #[must_use]
    pub const fn slow(&self) -> Slow {
        self.slow
    }

    /// Runs a task.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match self.turns.clone() {
            None => self.runtime.spawn(task),
            Some(turns) => self.runtime.spawn(async move {
                let mut task = pin!(task);
                let turn = poll_fn(|context| {
                    turns.fetch_add(1, Ordering::Relaxed);
                    task.as_mut().poll(context)
                });
                turn.await
            }),
        }
    }

    /// How often tasks had a turn since the start, where slow work runs in tasks, too; 0 elsewhere.
    /// As long as the number stands, nothing has happened.
    #[must_use]
    pub fn turns(&self) -> u64 {
        let turns = self.turns.as_ref();
        turns.map_or(0, |turns| turns.load(Ordering::Relaxed))
    }

    /// Runs work that blocks.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self.slow {
            Slow::Threads => self.runtime.spawn_blocking(work),
            Slow::Tasks => self.spawn(async move { work() }),
        }
    }
}
