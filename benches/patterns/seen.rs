//! The time between the first record of a run and the last.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater::client::SystemClock;
use highwater_proto::clock::{Clock as _, Mono};
use tokio::sync::Notify;

pub(crate) struct Seen {
    clock: Arc<SystemClock>,
    records: usize,
    count: AtomicUsize,
    /// The moments of the first and of the last.
    bounds: Mutex<(Mono, Mono)>,
    has_all: Notify,
}

impl Seen {
    pub(crate) fn new(clock: &Arc<SystemClock>, records: usize) -> Self {
        Self {
            clock: Arc::clone(clock),
            records,
            count: AtomicUsize::new(0),
            bounds: Mutex::new((Mono(0), Mono(0))),
            has_all: Notify::new(),
        }
    }

    /// A record comes.
    pub(crate) fn note(&self) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count == 1 {
            self.lock().0 = self.clock.now().mono;
        }
        if count == self.records {
            self.lock().1 = self.clock.now().mono;
            self.has_all.notify_one();
        }
    }

    /// Ends when the last one has come.
    pub(crate) async fn all(&self) {
        self.has_all.notified().await;
    }

    pub(crate) fn seconds(&self) -> f64 {
        let (first, last) = *self.lock();
        last.since(first).as_secs_f64().max(1e-9)
    }

    fn lock(&self) -> MutexGuard<'_, (Mono, Mono)> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
