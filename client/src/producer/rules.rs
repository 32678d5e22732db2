//! What the decisions of a producer depend on besides its batches.
//!
//! Floor 4 of client. Pure: time comes as a value.

use std::time::Duration;

use highwater_proto::clock::Mono;

use super::batch::Batch;
use super::sender::Identity;
use crate::config::ProducerConfig;
use crate::error::ClientError;

/// What the decisions depend on besides the batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) now: Mono,
    pub(super) config: &'a ProducerConfig,
    /// Whether open batches leave without lingering.
    pub(super) hurry: bool,
    /// The newest producer id, if there is one.
    pub(super) identity: Option<Identity>,
    /// What went wrong lately for all partitions, for the words of an error.
    pub(super) trouble: Option<&'a ClientError>,
}

impl Rules<'_> {
    pub(super) const fn linger(&self) -> Duration {
        Duration::from_millis(self.config.linger_ms)
    }

    /// When a batch is given up.
    pub(super) fn deadline(&self, batch: &Batch) -> Mono {
        batch
            .created
            .plus(Duration::from_millis(self.config.delivery_timeout_ms))
    }

    /// Batches of a partition that may be sent from the oldest one without an outcome on. With
    /// sequence numbers, as many as the broker recognises when they come again; without, it could
    /// not tell that one is missing before another.
    pub(super) const fn window_max(&self) -> usize {
        if self.config.is_idempotent() {
            self.config.max_in_flight
        } else {
            1
        }
    }
}
