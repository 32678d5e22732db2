//! Producers and consumers on a cluster whose leaders and coordinators move and whose brokers are
//! restarted, slow or stopped: nothing is lost, nothing comes twice, order holds.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod fake;
mod front;
mod place;
mod rules;
mod weather;

use std::time::Duration;

/// Runs a future on a clock that jumps.
fn paused<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
