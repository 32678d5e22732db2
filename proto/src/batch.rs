//! The record batch, format v2: its header, its checksum, and what may be rewritten in it.
//!
//! Floor 3 of proto.
//!
//! A batch is wire format and disk format at once: what a producer sends is what a log stores and
//! what a consumer gets, but for the first 16 bytes ([`prefix`]), which no checksum covers.
//!
//! Invariants
//! - [`BatchHeader::parse`] gives a header only if magic and length are plausible; every other
//!   field is as it was found.
//! - A [`ProducedBatch`] has passed every check of [`validate_produced`], and never changes.
//! - The CRC-32C covers everything from the attributes (byte 21) to the end.
//!
//! ```text
//!  0 baseOffset i64      21 attributes i16        43 producerId i64
//!  8 batchLength i32     23 lastOffsetDelta i32   51 producerEpoch i16
//! 12 leaderEpoch i32     27 baseTimestamp i64     53 baseSequence i32
//! 16 magic i8            35 maxTimestamp i64      57 recordsCount i32
//! 17 crc u32                                      61 records
//! ```

mod error;
mod produced;
mod scan;

use bytes::{Buf, BufMut};

pub use error::BatchError;
pub use produced::{ProduceLimits, ProducedBatch, set_log_append_time, validate_produced};
pub use scan::{Batches, ScannedBatch};

use crate::compress::Codec;

/// The size of a batch's header: everything before its records.
pub const HEADER_BYTES: usize = 61;
/// The bytes that the broker writes and no checksum covers: base offset, length, leader epoch.
pub const PREFIX_BYTES: usize = 16;
/// The bytes that the length field does not count: base offset and the field itself.
pub const OVERHEAD_BYTES: usize = 12;

/// The header of a batch, each field as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record; 0 when a client sends the batch.
    pub base_offset: i64,
    /// The bytes of the batch after this field.
    pub batch_length: i32,
    /// The leader epoch under which the batch was appended.
    pub leader_epoch: i32,
    /// CRC-32C of everything from the attributes to the end.
    pub crc: u32,
    /// Codec (bits 0 to 2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// The offset of the last record minus the base offset.
    pub last_offset_delta: i32,
    /// The timestamp that the records' timestamps are counted from, in milliseconds.
    pub base_timestamp: i64,
    /// The largest timestamp of the records in milliseconds; that of all records if the log stamps
    /// them.
    pub max_timestamp: i64,
    /// The id of an idempotent producer, or -1.
    pub producer_id: i64,
    /// The epoch of that producer, or -1.
    pub producer_epoch: i16,
    /// The sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// How many records follow; compaction may leave fewer than the offsets span, even none.
    pub records_count: i32,
}

/// Who sets the timestamps of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer.
    #[default]
    CreateTime,
    /// The log, when it appends.
    LogAppendTime,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which need not hold the records.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Self::too_short(bytes));
        };
        // The chunk holds all 61 bytes, so no read below can come to its end.
        let mut fields = header.as_slice();
        let base_offset = fields.get_i64();
        let batch_length = fields.get_i32();
        let leader_epoch = fields.get_i32();
        let magic = fields.get_i8();
        if magic != MAGIC {
            return Err(BatchError::BadMagic { magic });
        }
        if batch_length < LENGTH_MIN {
            return Err(BatchError::BadLength {
                announced: batch_length,
                actual: bytes.len(),
            });
        }
        Ok(Self {
            base_offset,
            batch_length,
            leader_epoch,
            crc: fields.get_u32(),
            attributes: fields.get_i16(),
            last_offset_delta: fields.get_i32(),
            base_timestamp: fields.get_i64(),
            max_timestamp: fields.get_i64(),
            producer_id: fields.get_i64(),
            producer_epoch: fields.get_i16(),
            base_sequence: fields.get_i32(),
            records_count: fields.get_i32(),
        })
    }

    /// Why less than a header is no batch: an old format is named before the missing bytes are.
    #[cold]
    fn too_short(bytes: &[u8]) -> BatchError {
        match bytes.get(MAGIC_POSITION).map(|byte| byte.cast_signed()) {
            _ if bytes.is_empty() => BatchError::Empty,
            Some(magic) if magic != MAGIC => BatchError::BadMagic { magic },
            _ => BatchError::Truncated {
                wanted: HEADER_BYTES,
                left: bytes.len(),
            },
        }
    }

    /// The header's 61 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        // The fields are 61 bytes together, so the slice takes them all.
        let mut target = bytes.as_mut_slice();
        target.put_i64(self.base_offset);
        target.put_i32(self.batch_length);
        target.put_i32(self.leader_epoch);
        target.put_i8(MAGIC);
        target.put_u32(self.crc);
        target.put_i16(self.attributes);
        target.put_i32(self.last_offset_delta);
        target.put_i64(self.base_timestamp);
        target.put_i64(self.max_timestamp);
        target.put_i64(self.producer_id);
        target.put_i16(self.producer_epoch);
        target.put_i32(self.base_sequence);
        target.put_i32(self.records_count);
        bytes
    }

    /// The size of the whole batch in bytes.
    #[inline]
    #[must_use]
    pub const fn total_bytes(&self) -> usize {
        // `parse` refuses a length below 49, so nothing is lost here.
        OVERHEAD_BYTES + self.batch_length.cast_unsigned() as usize
    }

    /// The offset of the last record.
    #[inline]
    #[must_use]
    pub const fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(self.last_offset_delta as i64)
    }

    /// The codec of the records.
    #[inline]
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes).ok_or(BatchError::UnknownCodec {
            id: (self.attributes & CODEC_BITS) as u8,
        })
    }

    /// Who set the timestamps of the records.
    #[inline]
    #[must_use]
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[inline]
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the batch holds a marker of the broker instead of records.
    #[inline]
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether a producer with an id sent the batch.
    #[inline]
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// The sequence number of the last record, or -1 if there are no sequence numbers.
    #[inline]
    #[must_use]
    pub const fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NO_SEQUENCE;
        }
        sequence_add(self.base_sequence, self.last_offset_delta)
    }
}

/// A sequence number some records later: after 2147483647 comes 0.
///
/// ```
/// use highwater_proto::batch::sequence_add;
///
/// assert_eq!(sequence_add(i32::MAX, 1), 0);
/// assert_eq!(sequence_add(5, 3), 8);
/// ```
#[inline]
#[must_use]
pub const fn sequence_add(sequence: i32, count: i32) -> i32 {
    // Modulo 2^31: a wrapped sum differs from the true one by a multiple of 2^32.
    sequence.wrapping_add(count) & i32::MAX
}

/// The CRC-32C of a whole batch: of its bytes from the attributes on. That of a batch which ends
/// before them is 0, the checksum of nothing.
#[inline]
#[must_use]
pub fn crc_of(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(batch.get(CRC_FROM..).unwrap_or_default())
}

/// Compares the stored checksum of a whole batch with that of its bytes.
pub fn check_crc(batch: &[u8]) -> Result<(), BatchError> {
    let Some(mut field) = batch.get(CRC_POSITION..CRC_FROM) else {
        return Err(BatchError::Truncated {
            wanted: HEADER_BYTES,
            left: batch.len(),
        });
    };
    let (stored, computed) = (field.get_u32(), crc_of(batch));
    if stored == computed {
        Ok(())
    } else {
        Err(BatchError::CrcMismatch { stored, computed })
    }
}

/// The first 16 bytes of a batch as a log stores it. The rest stays as its producer sent it.
#[must_use]
pub const fn prefix(base_offset: i64, batch_length: i32, leader_epoch: i32) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d, e, f, g, h] = base_offset.to_be_bytes();
    let [i, j, k, l] = batch_length.to_be_bytes();
    let [m, n, o, p] = leader_epoch.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// The only format that is supported, as in Kafka 4.
pub(crate) const MAGIC: i8 = 2;
const MAGIC_POSITION: usize = 16;
pub(crate) const CRC_POSITION: usize = 17;
const CRC_FROM: usize = 21;
/// The length of a batch without records.
const LENGTH_MIN: i32 = 49;
const _: () = assert!(HEADER_BYTES == OVERHEAD_BYTES + LENGTH_MIN as usize);

pub(crate) const CODEC_BITS: i16 = 0b111;
pub(crate) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
/// The bits that mean something.
const KNOWN_BITS: i16 = 0b111_1111;
/// Set by compaction only.
const DELETE_HORIZON: i16 = 1 << 6;

pub(crate) const NO_SEQUENCE: i32 = -1;

#[cfg(test)]
mod tests;
