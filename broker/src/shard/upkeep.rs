//! The shard's background work: syncs of page-cache logs, recovery points, freeing the journal.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - An idle shard is not ticked: the shard says when it wants to be, and when that has changed.

use std::sync::Arc;

use highwater_proto::clock::Mono;

use crate::shard::Shard;

impl Shard {
    /// Ticks the shard whenever it wants to be, until it is closed or poisoned.
    pub async fn upkeep(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            let ticked = self.blocking(move |core| Ok(core.tick(now))).await;
            let next = ticked.unwrap_or(Mono::NEVER);
            if next == Mono::NEVER {
                self.is_over.send_replace(true);
                return;
            }
            tokio::select! {
                biased;
                () = self.clock.sleep_until(next) => {}
                () = self.work.notified() => {}
            }
        }
    }
}
