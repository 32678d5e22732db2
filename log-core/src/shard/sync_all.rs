//! Syncs the files of several logs at the same time.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - `Ok` means that every file is synced. After a failure no further sync begins.
//! - A panic of one sync is the caller's panic.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::LogError;
use crate::log::SyncTarget;

/// Syncs them all, at most `threads_max` at a time, the caller's thread included.
pub(super) fn sync_all(targets: &[&SyncTarget], threads_max: usize) -> Result<(), LogError> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            target
                .sync()
                .inspect_err(|_| next.store(targets.len(), Ordering::Relaxed))?;
        }
        Ok(())
    };
    let helpers = targets.len().min(threads_max).saturating_sub(1);
    if helpers == 0 {
        return work();
    }
    thread::scope(|scope| {
        let spawn = |_| {
            thread::Builder::new()
                .name(NAME.to_owned())
                .spawn_scoped(scope, work)
        };
        // Where no thread is to be had, the others do its part.
        let helpers: Vec<_> = (0..helpers).map_while(|n| spawn(n).ok()).collect();
        let own = work();
        let all = helpers.into_iter().map(|helper| match helper.join() {
            Ok(outcome) => outcome,
            Err(panic) => resume_unwind(panic),
        });
        all.fold(own, Result::and)
    })
}

const NAME: &str = "highwater-sync";
