//! The records of a batch, one after another.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Keys, values and headers are slices of the batch, or of its decompressed records: no record
//!   is copied.
//! - Headers keep their order and their repeats.
//! - Any bytes give records or one error; offsets rise, and none passes the batch's last offset.

mod headers;

use bytes::Bytes;

pub use headers::{Header, Headers};

use crate::batch::{BatchError, BatchHeader, HEADER_BYTES, TimestampType};
use crate::compress::{Codec, decompress};
use crate::error::DecodeError;
use crate::layout::{self, Layout};

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The place of the record in its log.
    pub offset: i64,
    /// Milliseconds since 1970; set by the producer or the log, see [`RecordIter::header`].
    pub timestamp: i64,
    /// The key, or none.
    pub key: Option<Bytes>,
    /// The value, or none: a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

/// Gives the records of one batch.
///
/// ```
/// use highwater_proto::batch_builder::BatchBuilder;
/// use highwater_proto::compress::Codec;
/// use highwater_proto::record::RecordIter;
///
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.append(1_700_000_000_000, Some(b"order-7"), Some(b"paid"), &[("by", Some(b"card"))])?;
/// builder.append(1_700_000_000_005, Some(b"order-8"), None, &[])?;
///
/// let records: Vec<_> = RecordIter::new(builder.build()?, 1 << 20)?.collect::<Result<_, _>>()?;
/// assert_eq!(records[0].headers.iter().next().unwrap().name(), "by");
/// assert_eq!((records[1].offset, &records[1].value), (1, &None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordIter {
    header: BatchHeader,
    /// The records, not compressed.
    section: Bytes,
    position: usize,
    /// How many records were given.
    index: i32,
    /// The smallest offset delta that the next record may have.
    delta_min: i32,
    failed: bool,
}

impl RecordIter {
    /// Opens a whole batch. Compressed records are decompressed to at most
    /// `decompressed_bytes_max` bytes. The checksum is not compared.
    pub fn new(batch: Bytes, decompressed_bytes_max: usize) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(&batch)?;
        let total = header.total_bytes();
        if batch.len() < total {
            return Err(BatchError::Truncated {
                wanted: total,
                left: batch.len(),
            });
        }
        let BatchHeader {
            last_offset_delta,
            records_count,
            ..
        } = header;
        if records_count < 0 || last_offset_delta < 0 {
            return Err(BatchError::BadCount {
                last_offset_delta,
                records_count,
            });
        }
        let packed = batch.slice(HEADER_BYTES..total);
        let section = match header.codec()? {
            Codec::None => packed,
            // Compaction can leave a batch without any records, and then nothing is compressed.
            _ if packed.is_empty() && records_count == 0 => packed,
            codec => decompress(codec, &packed, decompressed_bytes_max)?.into(),
        };
        Ok(Self {
            header,
            section,
            position: 0,
            index: 0,
            delta_min: 0,
            failed: false,
        })
    }

    /// The header of the batch.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// What the records come to without compression, in bytes.
    #[must_use]
    pub const fn unpacked_bytes(&self) -> usize {
        self.section.len()
    }

    fn read(&mut self) -> Result<Record, DecodeError> {
        let layout = Layout::read(&self.section, self.position)?;
        if !(self.delta_min..=self.header.last_offset_delta).contains(&layout.offset_delta) {
            return Err(DecodeError::new(
                "an offset out of order or range",
                self.position,
            ));
        }
        self.delta_min = layout.offset_delta.saturating_add(1);
        self.position = layout.end;
        Ok(Record {
            offset: self
                .header
                .base_offset
                .saturating_add(i64::from(layout.offset_delta)),
            timestamp: match self.header.timestamp_type() {
                // The difference was taken modulo 2^64, so the sum is, too.
                TimestampType::CreateTime => self
                    .header
                    .base_timestamp
                    .wrapping_add(layout.timestamp_delta),
                TimestampType::LogAppendTime => self.header.max_timestamp,
            },
            key: layout.key.map(|range| self.section.slice(range)),
            value: layout.value.map(|range| self.section.slice(range)),
            headers: Headers::new(layout.headers_count, self.section.slice(layout.headers)),
        })
    }

    fn malformed(&self, source: DecodeError) -> BatchError {
        BatchError::BadRecords {
            index: self.index.unsigned_abs(),
            source,
        }
    }
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.index == self.header.records_count {
            self.failed = true;
            let end = layout::check_end(&self.section, self.position);
            return end.err().map(|error| Err(self.malformed(error)));
        }
        let record = self.read().map_err(|error| self.malformed(error));
        match &record {
            Ok(_) => self.index += 1,
            Err(_) => self.failed = true,
        }
        Some(record)
    }
}

impl std::iter::FusedIterator for RecordIter {}

#[cfg(test)]
mod tests;
