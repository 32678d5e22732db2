//! When something last went over a connection.
//!
//! Floor 2 of broker.

use std::sync::atomic::{AtomicU64, Ordering};

use highwater_proto::clock::Mono;

/// When something last went over the connection.
#[derive(Debug)]
pub(crate) struct Activity(AtomicU64);

impl Activity {
    pub(crate) const fn at(now: Mono) -> Self {
        Self(AtomicU64::new(now.0))
    }

    pub(crate) fn set(&self, now: Mono) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed))
    }
}
