//! What an event store has done so far, for monitoring.
//!
//! Floor 6 of client.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exposition::{Figures, Samples};
use crate::histogram::Histogram;

/// An event store's figures since it was opened; by
/// [`EventStore::metrics`](super::EventStore::metrics). The label `topic` is
/// [`EventStore::topic`](super::EventStore::topic).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EventsMetrics {
    /// `events_appended_total{topic}`: events that were stored, not those that were stored already.
    pub appended: u64,
    /// `events_conflicts_total{topic}`: appends that were refused because a stream was not as
    /// expected.
    pub conflicts: u64,
    /// `events_load_seconds`: how long loads took, also those of an update.
    pub load_seconds: Histogram,
}

impl Figures for EventsMetrics {
    fn tell(&self, samples: &mut Samples<'_>) {
        let what = "Events that were stored";
        samples.counter("events_appended_total", what, self.appended);
        let what = "Appends that were refused because a stream was not as expected";
        samples.counter("events_conflicts_total", what, self.conflicts);
        let what = "How long the load of a stream took";
        samples.histogram("events_load_seconds", what, &self.load_seconds);
    }
}

/// Where they are counted.
#[derive(Debug)]
pub(super) struct Metrics(Mutex<EventsMetrics>);

impl Metrics {
    pub(super) fn new() -> Self {
        Self(Mutex::new(EventsMetrics {
            load_seconds: Histogram::new(&SECONDS),
            ..EventsMetrics::default()
        }))
    }

    pub(super) fn snapshot(&self) -> EventsMetrics {
        self.lock().clone()
    }

    pub(super) fn appended(&self, events: usize) {
        self.lock().appended += events as u64;
    }

    pub(super) fn conflict(&self) {
        self.lock().conflicts += 1;
    }

    pub(super) fn loaded(&self, took: Duration) {
        self.lock().load_seconds.add(took.as_secs_f64());
    }

    fn lock(&self) -> MutexGuard<'_, EventsMetrics> {
        // Nothing that can panic happens under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bounds of loads, in seconds: from one of a short stream to one without a snapshot.
const SECONDS: [f64; 11] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0,
];
