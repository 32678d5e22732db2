//! The checks of one produced batch, in the order in which their errors are answered.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Compressed records are opened only where a check needs them. Those that come to more than
//!   [`INFLATION_MAX`] times what was sent are counted, and told of.

use bytes::Bytes;
use highwater_log::config::TimestampType as StampedBy;
use highwater_proto::batch::{
    BatchError, BatchHeader, ProduceLimits, ProducedBatch, TimestampType, validate_produced,
};
use highwater_proto::clock::Wall;
use highwater_proto::compress::{Codec, CodecError};
use highwater_proto::record::RecordIter;

use crate::config::topic::TopicSettings;
use crate::config::{BrokerConfig, Validation};
use crate::error::{ProduceError, RefusedRecord};
use crate::metrics::Metrics;
use crate::service::produce::ZstdAllowed;

/// What does not depend on the topic.
#[derive(Debug)]
pub(super) struct Checks<'a> {
    zstd: ZstdAllowed,
    now: Wall,
    validation: Validation,
    decompressed_bytes_max: usize,
    metrics: &'a Metrics,
}

impl<'a> Checks<'a> {
    pub(super) fn new(
        config: &BrokerConfig,
        metrics: &'a Metrics,
        zstd: ZstdAllowed,
        now: Wall,
    ) -> Self {
        let decompressed_bytes_max = config.max_decompressed_message_bytes;
        Self {
            zstd,
            now,
            validation: config.validate,
            decompressed_bytes_max,
            metrics,
        }
    }

    /// The batch, if this topic may store it.
    pub(super) fn validate(
        &self,
        records: Option<Bytes>,
        topic: &TopicSettings,
    ) -> Result<ProducedBatch, ProduceError> {
        let records = records.ok_or_else(|| ProduceError::invalid("there are no records"))?;
        self.check_codec(&records)?;
        let segment_bytes = usize::try_from(topic.log.segment_bytes).unwrap_or(usize::MAX);
        // The records of a topic with streams are opened for their keys, once.
        let is_deep = self.validation == Validation::Deep && !topic.log.key_index;
        let deep = is_deep.then_some(self.decompressed_bytes_max);
        let limits = ProduceLimits {
            batch_bytes_max: topic.message_bytes_max.min(segment_bytes),
            decompressed_bytes_max: deep,
        };
        let opened = validate_produced(&records, &limits);
        self.watch(records.len(), &opened, |batch| batch.unpacked_bytes());
        let batch = opened.map_err(|error| refusal(error, topic))?;
        if topic.log.timestamp_type == StampedBy::CreateTime {
            self.check_timestamps(&batch, topic)?;
        }
        if topic.compacted && !topic.log.key_index {
            self.check_keys(&batch)?;
        }
        Ok(batch)
    }

    fn check_codec(&self, records: &[u8]) -> Result<(), ProduceError> {
        let codec = BatchHeader::parse(records).and_then(|header| header.codec());
        match (codec, self.zstd) {
            (Ok(Codec::Zstd), ZstdAllowed::No) => Err(ProduceError::UnsupportedCompression),
            // What else may be wrong is found by the checks that follow.
            _ => Ok(()),
        }
    }

    fn check_timestamps(
        &self,
        batch: &ProducedBatch,
        topic: &TopicSettings,
    ) -> Result<(), ProduceError> {
        let refuse = |why: String| Err(ProduceError::InvalidTimestamp { why });
        let header = batch.header();
        if header.timestamp_type() == TimestampType::LogAppendTime {
            return refuse(
                "the client stamped it LogAppendTime, the topic is CreateTime".to_owned(),
            );
        }
        let latest = self.now.0.saturating_add(topic.timestamp_after_max_ms);
        if header.max_timestamp > latest {
            let (max, limit) = (header.max_timestamp, topic.timestamp_after_max_ms);
            return refuse(format!(
                "{max} is more than message.timestamp.after.max.ms ({limit}) in the future"
            ));
        }
        if topic.timestamp_before_max_ms == i64::MAX {
            return Ok(());
        }
        let earliest = self.now.0.saturating_sub(topic.timestamp_before_max_ms);
        for record in self.records(batch)? {
            let timestamp = record.map_err(|error| refusal(error, topic))?.timestamp;
            if timestamp != NO_TIMESTAMP && !(earliest..=latest).contains(&timestamp) {
                return refuse(format!(
                    "{timestamp} is outside of {earliest} to {latest}, the bounds of \
                     message.timestamp.before.max.ms and message.timestamp.after.max.ms"
                ));
            }
        }
        Ok(())
    }

    fn check_keys(&self, batch: &ProducedBatch) -> Result<(), ProduceError> {
        let mut refused = Vec::new();
        for (index, record) in (0..).zip(self.records(batch)?) {
            let record = record.map_err(|error| ProduceError::invalid(error.to_string()))?;
            if record.key.is_none() {
                let why = "a record of a compacted topic needs a key".to_owned();
                refused.push(RefusedRecord { index, why });
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let why = "a compacted topic needs a key in each record".to_owned();
        Err(ProduceError::InvalidRecord {
            why,
            records: refused,
        })
    }

    pub(super) fn records(&self, batch: &ProducedBatch) -> Result<RecordIter, ProduceError> {
        let opened = RecordIter::new(batch.bytes().clone(), self.decompressed_bytes_max);
        let unpacked_bytes = |records: &RecordIter| Some(records.unpacked_bytes());
        self.watch(batch.bytes().len(), &opened, unpacked_bytes);
        opened.map_err(|error| ProduceError::invalid(error.to_string()))
    }

    /// Counts a batch that was opened and came to far more than was sent, and tells of it: ever
    /// more rarely, so that nobody fills a log with such batches.
    fn watch<T>(
        &self,
        sent_bytes: usize,
        opened: &Result<T, BatchError>,
        unpacked_bytes: impl Fn(&T) -> Option<usize>,
    ) {
        let unpacked_bytes = match opened {
            Ok(opened) => unpacked_bytes(opened).unwrap_or(0),
            // So much it was at least.
            Err(BatchError::Codec(CodecError::TooLarge { max })) => *max,
            Err(_) => 0,
        };
        if unpacked_bytes / INFLATION_MAX <= sent_bytes {
            return;
        }
        self.metrics.inflated_batches.increment();
        let count = self.metrics.inflated_batches.value();
        if count.is_power_of_two() {
            tracing::warn!(
                sent_bytes,
                unpacked_bytes,
                count,
                "a producer sends batches that come to more than 1,000 times their size; each \
                 costs up to max.decompressed.message.bytes: shut it out if nobody means to"
            );
        }
    }
}

/// The answer to a batch that is none, or none that may be stored.
pub(super) fn refusal(error: BatchError, topic: &TopicSettings) -> ProduceError {
    let why = error.to_string();
    match error {
        BatchError::TooLarge { bytes, .. } if bytes > topic.message_bytes_max => {
            ProduceError::MessageTooLarge {
                bytes,
                bytes_max: topic.message_bytes_max,
            }
        }
        BatchError::TooLarge { bytes, .. } => ProduceError::RecordListTooLarge {
            bytes,
            segment_bytes: topic.log.segment_bytes,
        },
        // Bytes that changed on their way are sent again by every client.
        BatchError::BadLength { .. }
        | BatchError::Truncated { .. }
        | BatchError::CrcMismatch { .. }
        | BatchError::UnknownCodec { .. } => ProduceError::Corrupt { why },
        BatchError::BadRecords { index, source } => {
            let index = i32::try_from(index).unwrap_or(i32::MAX);
            let records = vec![RefusedRecord {
                index,
                why: source.to_string(),
            }];
            ProduceError::InvalidRecord { why, records }
        }
        _ => ProduceError::invalid(why),
    }
}

/// How many times what was sent a batch may come to unnoticed: what people write stays far below.
const INFLATION_MAX: usize = 1_000;
/// A record without a time.
const NO_TIMESTAMP: i64 = -1;
