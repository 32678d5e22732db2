//! Damage is looked for where nobody reads, before somebody does.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - At most `log.scrub.bytes.per.second` are read, one segment at a time. Nothing is written
//!   unless damage is found.
//! - What is found is told and noted once: a wrong first read with a right second one is not noted.

use std::time::Duration;

use highwater_log::error::LogError;
use highwater_log::types::{LogId, Offset};

use crate::service::Service;

impl Service {
    /// Checks every segment once in `log.scrub.interval.ms`, until the broker shuts down.
    pub(super) async fn scrubbing(&self) {
        let interval = Duration::from_millis(self.config().log_scrub_interval_ms);
        if interval.is_zero() || self.config().log_scrub_bytes_per_second == 0 {
            return;
        }
        let mut closing = self.closing();
        let mut next = self.clock().now().mono.plus(FIRST_AFTER);
        loop {
            tokio::select! {
                biased;
                () = self.clock().sleep_until(next) => {}
                () = closing.begun() => return,
            }
            let begun = self.clock().now().mono;
            tokio::select! {
                biased;
                () = self.scrub() => {}
                () = closing.begun() => return,
            }
            next = begun.plus(interval);
        }
    }

    /// Checks every segment that does not change any more, at the pace that is configured, as the
    /// broker does by itself every `log.scrub.interval.ms`.
    pub async fn scrub(&self) {
        for id in self.inner.shard.log_ids() {
            let Some(reader) = self.inner.shard.reader(id) else {
                continue;
            };
            for segment in reader.sealed_segments() {
                if let Err(error) = self.scrub_segment(id, segment).await {
                    self.inner.metrics.scrub_errors.increment();
                    tracing::error!(log = %id, %segment, %error, "a segment could not be checked");
                }
            }
        }
    }

    async fn scrub_segment(&self, id: LogId, segment: Offset) -> Result<(), LogError> {
        let (shard, metrics) = (&self.inner.shard, &self.inner.metrics);
        let rate = self.config().log_scrub_bytes_per_second.max(1);
        let Some(mut scrub) = shard.scrub(id, segment).await? else {
            return Ok(());
        };
        loop {
            let (rest, step) = shard.scrub_step(scrub, STEP_BYTES).await?;
            scrub = rest;
            metrics.scrub_bytes.add(step.bytes);
            if step.is_damaged {
                let found = shard.quarantine(id, segment).await?;
                metrics.scrub_errors.add(found.len().max(1) as u64);
                if found.is_empty() {
                    tracing::warn!(log = %id, %segment, "a read was wrong once and then right");
                }
                // All of the segment was read for that.
                return Ok(());
            }
            let pause = step.bytes.saturating_mul(1_000_000) / rate;
            let next = self.clock().now().mono.plus(Duration::from_micros(pause));
            self.clock().sleep_until(next).await;
            if step.is_over {
                return Ok(());
            }
        }
    }
}

/// A command that opens a directory for a moment need not read it all, and a start has other work.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// A tenth of a second at the default pace.
const STEP_BYTES: u64 = 512 << 10;
