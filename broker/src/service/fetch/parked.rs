//! The wait of a fetch: for enough bytes, an error, its time, or the end of the broker.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - The wait registers first, then looks again, then sleeps: what comes in between wakes it.
//! - No record is held while it waits, and each one is looked at once.

use std::time::Duration;

use highwater_log::reader::Minimum;
use highwater_log::types::{LogId, Offset};
use highwater_proto::batch::HEADER_BYTES;
use highwater_proto::clock::Mono;

use crate::error::FetchError;
use crate::service::Service;
use crate::service::fetch::round::min_bytes;
use crate::service::fetch::{FetchCall, FetchPartition};

/// A fetch that waits.
pub(super) struct LongPoll<'a> {
    service: &'a Service,
    deadline: Mono,
    /// The bytes that are still missing.
    missing: usize,
    partitions: Vec<Counted<'a>>,
}

/// How far one partition has been counted.
struct Counted<'a> {
    asked: &'a FetchPartition,
    log: LogId,
    next: Offset,
    /// What more may count: a partition counts up to its own limit.
    left: usize,
}

impl<'a> LongPoll<'a> {
    /// Begins to wait. What was found before is counted again: it is less than is waited for.
    pub(super) fn new(service: &'a Service, call: &'a FetchCall) -> Self {
        let wait = Duration::from_millis(u64::try_from(call.max_wait_ms).unwrap_or(0));
        let mut poll = Self {
            service,
            deadline: service.clock().now().mono.plus(wait),
            // One batch is an answer, whatever the limits say.
            missing: min_bytes(service, call).max(1),
            partitions: Vec::new(),
        };
        for asked in &call.partitions {
            let Ok(partition) = service.fetch_target(asked) else {
                // An error since the look: enough has come.
                poll.missing = 0;
                break;
            };
            let left = usize::try_from(asked.max_bytes).unwrap_or(0).max(1);
            let (log, next) = (partition.id(), asked.fetch_offset);
            poll.partitions.push(Counted {
                asked,
                log,
                next,
                left,
            });
        }
        poll
    }

    /// Waits until it is worth looking again.
    pub(super) async fn enough(mut self) {
        let logs: Vec<LogId> = self.partitions.iter().map(|counted| counted.log).collect();
        let mut closing = self.service.closing();
        let mut timeout = self.service.clock().sleep_until(self.deadline);
        loop {
            let Some(parked) = self.service.inner.shard.waiters().park(logs.clone()) else {
                return;
            };
            if self.is_enough() {
                return;
            }
            tokio::select! {
                biased;
                () = parked.woken() => {}
                () = &mut timeout => return,
                () = closing.begun() => return,
            }
        }
    }

    /// Counts what is new. An error is enough.
    fn is_enough(&mut self) -> bool {
        let (service, missing) = (self.service, &mut self.missing);
        *missing == 0
            || self
                .partitions
                .iter_mut()
                .any(|counted| match counted.count(service, *missing) {
                    Ok(bytes) => {
                        *missing = missing.saturating_sub(bytes);
                        *missing == 0
                    }
                    Err(_) => true,
                })
    }
}

impl Counted<'_> {
    /// The new bytes of the partition; `missing` of them are enough.
    fn count(&mut self, service: &Service, missing: usize) -> Result<usize, FetchError> {
        let partition = service.fetch_target(self.asked)?;
        let start = partition.start();
        if self.asked.fetch_offset < start {
            let (asked, end) = (self.asked.fetch_offset, partition.end());
            return Err(FetchError::OffsetOutOfRange { asked, start, end });
        }
        // Damage that is passed over is nothing to wake up for.
        self.next = partition.behind_gap(self.next);
        if self.left == 0 || partition.high_watermark() <= self.next {
            return Ok(0);
        }
        if missing <= HEADER_BYTES {
            // No batch is smaller than its header.
            return Ok(missing);
        }
        let Some(slice) = partition.read(self.next, self.left, Minimum::OneBatch)? else {
            return Ok(0);
        };
        let bytes = slice.bytes.min(self.left);
        self.next = slice.next_offset;
        self.left -= bytes;
        Ok(bytes)
    }
}
