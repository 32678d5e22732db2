//! The primitives that threads meet at: std's, or loom's when the models are run.
//!
//! Floor 0 of log-core.
//!
//! Invariants
//! - Types only, but for [`lock`]: the code is the same under both.
//! - `Arc` stays std's: nothing here relies on the order of its counts, and loom's cannot hold a
//!   trait object.

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

use std::sync::PoisonError;

/// Takes a lock whatever became of an earlier holder. What a panic means is decided in one place,
/// the poison of the shard, which keeps readers going where std's would spread the panic to them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
