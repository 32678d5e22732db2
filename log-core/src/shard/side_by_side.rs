//! Does the same for several logs at the same time: the disk joins the syncs of concurrent callers.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - `Ok` means that the work is done for every log. After a failure none is begun.
//! - A panic of one is the caller's panic.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::LogError;

/// Does `work` for each item, at most `threads_max` at a time, the caller's thread included; the
/// results are in the order of the items.
pub(super) fn side_by_side<I: Sync, T: Send>(
    items: &[I],
    threads_max: usize,
    work: impl Fn(&I) -> Result<T, LogError> + Sync,
) -> Result<Vec<T>, LogError> {
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return Ok(done);
            };
            let result = work(item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
            done.push((index, result));
        }
    };
    let helpers = items.len().min(threads_max).saturating_sub(1);
    let mut done = thread::scope(|scope| {
        let spawn = |_| {
            let named = thread::Builder::new().name(NAME.to_owned());
            named.spawn_scoped(scope, share)
        };
        // Where no thread is to be had, the others do its part.
        let helpers: Vec<_> = (0..helpers).map_while(|n| spawn(n).ok()).collect();
        let own = share();
        let shares = helpers.into_iter().map(|helper| match helper.join() {
            Ok(outcome) => outcome,
            Err(panic) => resume_unwind(panic),
        });
        shares.fold(own, |all: Result<Vec<_>, LogError>, share| {
            let mut all = all?;
            all.extend(share?);
            Ok(all)
        })
    })?;
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

const NAME: &str = "highwater-sync";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_are_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        let doubled = side_by_side(&items, 4, |item| Ok(item * 2)).unwrap();
        assert_eq!(
            doubled,
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
    }
}
