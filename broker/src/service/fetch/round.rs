//! One look at every partition of a fetch, within its limits.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Partitions are served in request order; one after the first with data gets what is left.

use highwater_log::reader::Minimum;

use crate::error::FetchError;
use crate::ids::TopicRef;
use crate::partition::Partition;
use crate::service::Service;
use crate::service::fetch::{EpochEnd, FetchCall, FetchPartition, Fetched, FetchedPartition};

/// What one look has found.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) partitions: Vec<FetchedPartition>,
    /// The bytes of all records.
    pub(super) bytes: usize,
    /// How many records stand in them from the asked offsets on.
    pub(super) records: u64,
    /// The partitions that have any, each with its bytes.
    pub(super) served: Vec<(Partition, u64)>,
    /// Something must be told at once: an error, or a diverging epoch.
    is_urgent: bool,
}

impl Round {
    /// Looks at every partition.
    pub(super) fn read(service: &Service, call: &FetchCall) -> Self {
        let mut round = Self {
            partitions: Vec::new(),
            bytes: 0,
            records: 0,
            served: Vec::new(),
            is_urgent: false,
        };
        let bytes_max = bytes_max(service, call);
        for asked in &call.partitions {
            let left = bytes_max.saturating_sub(round.bytes);
            // The first partition with data ignores both limits.
            let minimum = if round.bytes == 0 {
                Minimum::OneBatch
            } else {
                Minimum::None
            };
            let result = service.fetch_target(asked).and_then(|partition| {
                let (fetched, count) = read_partition(&partition, asked, left, minimum)?;
                round.records += count;
                let bytes = fetched.records_bytes() as u64;
                if bytes > 0 {
                    round.served.push((partition, bytes));
                }
                Ok(fetched)
            });
            match &result {
                Ok(fetched) => {
                    round.bytes += fetched.records_bytes();
                    round.is_urgent |= fetched.diverging.is_some();
                }
                Err(_) => round.is_urgent = true,
            }
            let (topic, partition) = (asked.topic.clone(), asked.partition);
            round.partitions.push(FetchedPartition {
                topic,
                partition,
                result,
            });
        }
        round
    }

    /// Whether this answers the call without waiting.
    pub(super) fn answers(&self, service: &Service, call: &FetchCall) -> bool {
        call.max_wait_ms <= 0
            || call.partitions.is_empty()
            || self.is_urgent
            || self.bytes >= min_bytes(service, call)
    }
}

impl Service {
    /// The partition that a fetch asks for, if the reader's epoch is the current one.
    pub(super) fn fetch_target(&self, asked: &FetchPartition) -> Result<Partition, FetchError> {
        let topic = self.topic(&asked.topic).ok_or(match asked.topic {
            TopicRef::Name(_) => FetchError::UnknownTopicOrPartition,
            TopicRef::Id(_) => FetchError::UnknownTopicId,
        })?;
        let partition = self.partition(&topic, asked.partition);
        let partition = partition.ok_or(FetchError::UnknownTopicOrPartition)?;
        partition.check_epoch(asked.current_leader_epoch)?;
        Ok(partition)
    }
}

/// The bytes that are waited for: never more than an answer may have.
pub(super) fn min_bytes(service: &Service, call: &FetchCall) -> usize {
    usize::try_from(call.min_bytes)
        .unwrap_or(0)
        .min(bytes_max(service, call))
}

/// The limit of the whole answer.
fn bytes_max(service: &Service, call: &FetchCall) -> usize {
    usize::try_from(call.max_bytes)
        .unwrap_or(0)
        .min(service.config().fetch_max_bytes)
}

fn read_partition(
    partition: &Partition,
    asked: &FetchPartition,
    left: usize,
    minimum: Minimum,
) -> Result<(Fetched, u64), FetchError> {
    // The marks are taken before the read: what they promise is there.
    let mut fetched = Fetched {
        high_watermark: partition.high_watermark(),
        last_stable_offset: partition.last_stable(),
        log_start_offset: partition.start(),
        diverging: diverging(partition, asked)?,
        next_offset: asked.fetch_offset,
        records: Vec::new(),
    };
    if fetched.diverging.is_some() {
        return Ok((fetched, 0));
    }
    let (offset, start, end) = (asked.fetch_offset, partition.start(), partition.end());
    if offset < start || offset > end {
        return Err(FetchError::OffsetOutOfRange {
            asked: offset,
            start,
            end,
        });
    }
    let mut count = 0;
    let bytes_max = usize::try_from(asked.max_bytes).unwrap_or(0).min(left);
    if (bytes_max > 0 || minimum == Minimum::OneBatch)
        && let Some(slice) = partition.read(offset, bytes_max, minimum)?
    {
        let first = slice.first_offset.max(offset);
        count = u64::try_from(slice.next_offset.0 - first.0).unwrap_or(0);
        fetched.next_offset = slice.next_offset;
        fetched.records = slice.parts;
    }
    Ok((fetched, count))
}

/// Where the reader's last epoch ended, if that is below what it has read.
fn diverging(
    partition: &Partition,
    asked: &FetchPartition,
) -> Result<Option<EpochEnd>, FetchError> {
    if asked.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let (epoch, end_offset) = partition.epoch_end(asked.last_fetched_epoch);
    if epoch < 0 || end_offset.0 < 0 {
        let (start, end) = (partition.start(), partition.end());
        return Err(FetchError::OffsetOutOfRange {
            asked: asked.fetch_offset,
            start,
            end,
        });
    }
    let is_behind = epoch < asked.last_fetched_epoch || end_offset < asked.fetch_offset;
    Ok(is_behind.then_some(EpochEnd { epoch, end_offset }))
}
