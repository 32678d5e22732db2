//! Counters of what the broker did.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - A counter only grows; reading one takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters of one broker since its start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Batches that were appended or recognised as duplicates.
    pub produced_batches: Counter,
    /// Bytes of those batches.
    pub produced_bytes: Counter,
    /// Batches that were refused.
    pub refused_batches: Counter,
    /// Fetches that were answered.
    pub fetches: Counter,
    /// Fetches that had to wait for records.
    pub parked_fetches: Counter,
    /// Bytes of records that were handed out.
    pub fetched_bytes: Counter,
    /// Connections that were accepted.
    pub connections: Counter,
    /// Connections that were refused or closed because of what came over them.
    pub refused_connections: Counter,
    /// Requests that were answered.
    pub requests: Counter,
    /// Checks of retention.
    pub retention_checks: Counter,
}
