//! Fetched bytes of one partition, and the records that come out of them one by one.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - At most one batch is decompressed at a time.
//! - Records below the position, control batches and gaps are passed over in silence.
//! - Nothing is passed over that cannot be read: that is an error, and the offset stays.

use bytes::Bytes;
use highwater_proto::batch::{BatchError, Batches, check_crc};
use highwater_proto::record::{Record, RecordIter};

use crate::config::ConsumerConfig;

/// What came of one partition and was not handed out yet.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Bytes,
    /// Where the next batch starts.
    position: usize,
    /// The batch at hand.
    records: Option<RecordIter>,
}

impl Buffer {
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            position: 0,
            records: None,
        }
    }

    /// The offset behind the last whole batch, if there is one.
    pub(super) fn next_offset(&self) -> Option<i64> {
        let whole = Batches::new(&self.bytes).map_while(Result::ok);
        whole
            .last()
            .map(|batch| batch.header.last_offset().saturating_add(1))
    }

    /// The next record at or behind `offset`, which moves behind it. `None` at the end.
    pub(super) fn next(
        &mut self,
        offset: &mut i64,
        config: &ConsumerConfig,
    ) -> Result<Option<Record>, BatchError> {
        loop {
            let Some(records) = &mut self.records else {
                if self.open_batch(offset, config)? {
                    continue;
                }
                return Ok(None);
            };
            match records.next() {
                Some(Ok(record)) if record.offset < *offset => {}
                Some(Ok(record)) => {
                    *offset = record.offset.saturating_add(1);
                    return Ok(Some(record));
                }
                Some(Err(error)) => return Err(error),
                None => {
                    *offset = records
                        .header()
                        .last_offset()
                        .saturating_add(1)
                        .max(*offset);
                    self.records = None;
                }
            }
        }
    }

    /// The leader epoch of the batch at hand.
    pub(super) fn leader_epoch(&self) -> Option<i32> {
        let epoch = self.records.as_ref()?.header().leader_epoch;
        (epoch >= 0).then_some(epoch)
    }

    /// Opens the next batch that has something to give; whether there is one.
    fn open_batch(
        &mut self,
        offset: &mut i64,
        config: &ConsumerConfig,
    ) -> Result<bool, BatchError> {
        loop {
            let rest = self.bytes.slice(self.position..);
            let batch = match Batches::new(&rest).next() {
                // A broker may cut the last batch off where the answer was full.
                None | Some(Err(BatchError::Truncated { .. })) => return Ok(false),
                Some(batch) => batch?,
            };
            let (header, size) = (batch.header, batch.bytes.len());
            let is_due = header.last_offset() >= *offset;
            if is_due && config.check_crcs {
                check_crc(batch.bytes)?;
            }
            if is_due && !header.is_control() {
                let limit = config.decompressed_bytes_max;
                self.records = Some(RecordIter::new(rest.slice(..size), limit)?);
                self.position += size;
                return Ok(true);
            }
            if is_due {
                *offset = header.last_offset().saturating_add(1);
            }
            self.position += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_proto::batch_builder::BatchBuilder;
    use highwater_proto::compress::Codec;

    use super::*;

    #[test]
    fn a_bomb_is_an_error_at_its_offset_and_costs_no_more_than_its_cap() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut builder = BatchBuilder::new(codec);
            builder.append(0, None, Some(&[0; 100_000]), &[]).unwrap();
            let batch = builder.build().unwrap();
            assert!(batch.len() < 10_000, "{codec}");
            let read = |bytes_max| {
                let config = ConsumerConfig {
                    decompressed_bytes_max: bytes_max,
                    ..ConsumerConfig::default()
                };
                let mut offset = 0;
                let read = Buffer::new(batch.clone()).next(&mut offset, &config);
                (read.map(|record| record.is_some()), offset)
            };
            let (refused, offset) = read(99_999);
            assert!(refused.is_err() && offset == 0, "{codec}");
            assert_eq!(read(101_000), (Ok(true), 1), "{codec}");
        }
    }
}
