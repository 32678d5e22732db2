//! The readers that wait for records: the registry behind a lock, and a future for each.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - A reader that registers, looks again and then waits misses no record.
//! - A waiting future that is dropped leaves nothing behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_log::types::LogId;
use tokio::sync::oneshot;

use crate::waiting::{Ticket, Waiting};

/// The registry of a shard.
#[derive(Debug)]
pub struct Waiters {
    registry: Mutex<Waiting<oneshot::Sender<()>>>,
}

impl Waiters {
    /// Room for this many.
    #[must_use]
    pub fn new(parked_max: usize) -> Self {
        Self {
            registry: Mutex::new(Waiting::new(parked_max)),
        }
    }

    /// Registers for these logs. `None` when there is no room, or everything is being closed.
    #[must_use]
    pub fn park(self: &Arc<Self>, logs: Vec<LogId>) -> Option<Parked> {
        let (waker, woken) = oneshot::channel();
        let ticket = self.registry().park(logs, waker).ok()?;
        Some(Parked {
            waiters: Arc::clone(self),
            ticket,
            woken,
        })
    }

    /// Wakes everyone who waits for one of these logs.
    pub fn moved(&self, logs: impl IntoIterator<Item = LogId>) {
        let woken: Vec<_> = {
            let mut registry = self.registry();
            if registry.count() == 0 {
                return;
            }
            logs.into_iter()
                .flat_map(|log| registry.moved(log))
                .collect()
        };
        wake(woken);
    }

    /// Wakes everyone, and lets nobody in any more.
    pub fn close(&self) {
        let woken = self.registry().close();
        wake(woken);
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.registry().count()
    }

    fn registry(&self) -> MutexGuard<'_, Waiting<oneshot::Sender<()>>> {
        // Every change of the registry is whole, so that a panic elsewhere leaves it usable.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(woken: Vec<oneshot::Sender<()>>) {
    for waker in woken {
        // A reader that is gone needs no waking.
        let _is_gone = waker.send(());
    }
}

/// One reader's stay in the registry.
#[derive(Debug)]
pub struct Parked {
    waiters: Arc<Waiters>,
    ticket: Ticket,
    woken: oneshot::Receiver<()>,
}

impl Parked {
    /// Completes when one of the logs has moved since the registration.
    pub async fn woken(mut self) {
        // An error means that the registry is gone: that is a reason to look, too.
        drop((&mut self.woken).await);
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.waiters.registry().cancel(self.ticket);
    }
}
