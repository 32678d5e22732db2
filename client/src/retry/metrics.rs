//! What a handler has done so far, for monitoring while it runs.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A count only grows; reading them stops nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::handling::HandlerSummary;
use crate::exposition::{Figures, Samples};
use crate::failure::FailureClass;

/// The counts of a handler, which go on while it runs; by
/// [`Handling::metrics`](super::Handling::metrics).
#[derive(Clone, Debug, Default)]
pub struct HandlerMetrics {
    counts: Arc<Counts>,
}

/// A handler's counts at one moment, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerCounts {
    /// `handled_total`: records that the handler took.
    pub handled: u64,
    /// `skipped_total`: records that it dropped.
    pub skipped: u64,
    /// `failures_total`: calls that failed, of all classes but skips.
    pub failures: u64,
    /// `panics_total`: failures that were panics.
    pub panics: u64,
    /// `retry_attempts_total`: calls for a record that had failed before.
    pub retries: u64,
    /// `dead_letters_total`: records that were stored among the dead letters.
    pub dead_letters: u64,
    /// `halted_partitions`: those that have stopped at a record that could not be handled.
    pub halted: u64,
    /// `handler_outage`: whether something that all records need seems to be down, so that only
    /// probes are called.
    pub is_outage: bool,
}

impl Figures for HandlerCounts {
    fn tell(&self, samples: &mut Samples<'_>) {
        let what = "Records that the handler took";
        samples.counter("handled_total", what, self.handled);
        let what = "Records that the handler dropped";
        samples.counter("skipped_total", what, self.skipped);
        let what = "Calls of the handler that failed";
        samples.counter("failures_total", what, self.failures);
        let what = "Calls of the handler that panicked";
        samples.counter("panics_total", what, self.panics);
        let what = "Calls for a record that had failed before";
        samples.counter("retry_attempts_total", what, self.retries);
        let what = "Records that were stored among the dead letters";
        samples.counter("dead_letters_total", what, self.dead_letters);
        let what = "Partitions that have stopped at a record: raise an alarm on it";
        samples.gauge("halted_partitions", what, self.halted as f64);
        let what = "Whether only probes are called, because what all records need seems to be down";
        samples.gauge("handler_outage", what, f64::from(self.is_outage));
    }
}

#[derive(Debug, Default)]
struct Counts {
    handled: AtomicU64,
    skipped: AtomicU64,
    failures: AtomicU64,
    panics: AtomicU64,
    retries: AtomicU64,
    dead_letters: AtomicU64,
    halted: AtomicU64,
    is_outage: AtomicBool,
}

impl HandlerMetrics {
    /// The counts of now.
    #[must_use]
    pub fn snapshot(&self) -> HandlerCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        HandlerCounts {
            handled: read(&counts.handled),
            skipped: read(&counts.skipped),
            failures: read(&counts.failures),
            panics: read(&counts.panics),
            retries: read(&counts.retries),
            dead_letters: read(&counts.dead_letters),
            halted: read(&counts.halted),
            is_outage: counts.is_outage.load(Ordering::Relaxed),
        }
    }

    pub(super) fn handled(&self, count: usize) {
        add(&self.counts.handled, count as u64);
    }

    /// A call begins, for the first time or again.
    pub(super) fn called(&self, attempt: u32) {
        add(&self.counts.retries, u64::from(attempt > 1));
    }

    pub(super) fn failed(&self, class: FailureClass) {
        let counts = &self.counts;
        match class {
            FailureClass::Skip => add(&counts.skipped, 1),
            class => {
                add(&counts.failures, 1);
                add(&counts.panics, u64::from(class == FailureClass::Panic));
            }
        }
    }

    pub(super) fn recorded(&self, count: u64) {
        add(&self.counts.dead_letters, count);
    }

    pub(super) fn halted(&self) {
        add(&self.counts.halted, 1);
    }

    pub(super) fn outage(&self, is_outage: bool) {
        self.counts.is_outage.store(is_outage, Ordering::Relaxed);
    }

    /// Writes them into the summary of the run.
    pub(super) fn sum_up(&self, summary: &mut HandlerSummary) {
        let counts = self.snapshot();
        summary.handled = counts.handled;
        summary.skipped = counts.skipped;
        summary.failures = counts.failures;
        summary.panics = counts.panics;
        summary.dead_letters = counts.dead_letters;
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
