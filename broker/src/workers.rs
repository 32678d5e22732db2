//! Where the broker's tasks run, and its slow work.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - Work that was begun is done also when nobody waits for it any more.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A runtime, and what becomes of work that blocks.
#[derive(Clone, Debug)]
pub struct Workers {
    runtime: Handle,
    slow: Slow,
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
    pub const fn new(runtime: Handle, slow: Slow) -> Self {
        Self { runtime, slow }
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
        self.runtime.spawn(task)
    }

    /// Runs work that blocks.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self.slow {
            Slow::Threads => self.runtime.spawn_blocking(work),
            Slow::Tasks => self.runtime.spawn(async move { work() }),
        }
    }
}
