//! `ProducedBatch`: one batch as a producer sent it, proven valid.
//!
//! Floor 3 of proto.
//!
//! Invariants
//! - The constructor is private: whoever holds a `ProducedBatch` need not check it again.
//! - `header` is what `bytes` says, and `bytes` is exactly one batch.
//! - Compressed records are opened only if the limits ask for it.

use bytes::{Bytes, BytesMut};

use super::{
    BatchError, BatchHeader, CRC_FROM, CRC_POSITION, DELETE_HORIZON, HEADER_BYTES, KNOWN_BITS,
    LOG_APPEND_TIME, MAGIC, MAGIC_POSITION, check_crc, crc_of,
};
use crate::compress::{Codec, decompress};
use crate::layout;

/// What a produced batch may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceLimits {
    /// The largest batch in bytes (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// Whether compressed records are opened and checked too, and up to how many bytes. Without
    /// it a client can store a compressed payload that nobody can decode.
    pub decompressed_bytes_max: Option<usize>,
}

impl Default for ProduceLimits {
    /// Kafka's default of `max.message.bytes`; compressed records stay closed.
    fn default() -> Self {
        Self {
            batch_bytes_max: 1_048_588,
            decompressed_bytes_max: None,
        }
    }
}

/// One batch as a producer sent it, which has passed [`validate_produced`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducedBatch {
    header: BatchHeader,
    bytes: Bytes,
    unpacked_bytes: Option<usize>,
}

impl ProducedBatch {
    /// The header as it was sent: its base offset is 0.
    #[inline]
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What its records come to without compression, in bytes, if they were opened.
    #[inline]
    #[must_use]
    pub const fn unpacked_bytes(&self) -> Option<usize> {
        self.unpacked_bytes
    }

    /// The whole batch, without another reference to it.
    #[inline]
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The same records, stamped by the log: see [`set_log_append_time`].
    #[must_use]
    pub fn with_log_append_time(self, timestamp_ms: i64) -> Self {
        let mut header = self.header;
        header.attributes |= LOG_APPEND_TIME;
        header.max_timestamp = timestamp_ms;
        let bytes = restamped(self.bytes, &mut header);
        Self {
            header,
            bytes,
            ..self
        }
    }
}

/// Checks that `bytes` is exactly one batch that a client may produce.
///
/// The checks stand in the order in which Kafka answers them: format, length and size, checksum,
/// then what the header says, then the records. Records that are not compressed are walked, so
/// that every stored record can be read; see [`ProduceLimits`] for the others. Whether the topic
/// allows the timestamps, keys or the transaction is not decided here.
///
/// ```
/// use bytes::Bytes;
/// use highwater_proto::batch::{BatchError, ProduceLimits, validate_produced};
/// use highwater_proto::batch_builder::BatchBuilder;
/// use highwater_proto::compress::Codec;
///
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), &[])?;
/// let bytes = builder.build()?;
///
/// let batch = validate_produced(&bytes, &ProduceLimits::default())?;
/// assert_eq!(batch.header().records_count, 1);
///
/// let small = ProduceLimits { batch_bytes_max: 64, ..ProduceLimits::default() };
/// assert_eq!(
///     validate_produced(&bytes, &small),
///     Err(BatchError::TooLarge { bytes: bytes.len(), max: 64 }),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn validate_produced(
    bytes: &Bytes,
    limits: &ProduceLimits,
) -> Result<ProducedBatch, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    check_extent(&header, bytes)?;
    if bytes.len() > limits.batch_bytes_max {
        return Err(BatchError::TooLarge {
            bytes: bytes.len(),
            max: limits.batch_bytes_max,
        });
    }
    check_crc(bytes)?;
    check_header(&header)?;
    let records = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let unpacked_bytes = match (header.codec()?, limits.decompressed_bytes_max) {
        (Codec::None, _) => Some(check_records(records, &header)?),
        (codec, Some(max)) => Some(check_records(&decompress(codec, records, max)?, &header)?),
        (_, None) => None,
    };
    Ok(ProducedBatch {
        header,
        bytes: bytes.clone(),
        unpacked_bytes,
    })
}

/// Marks a whole batch as stamped by the log: every record then has `timestamp_ms`. Sets the
/// attribute and the largest timestamp, and recomputes the checksum. The buffer is changed in
/// place if nobody else refers to it, and copied otherwise. What is no batch stays as it is.
#[must_use]
pub fn set_log_append_time(batch: Bytes, timestamp_ms: i64) -> Bytes {
    let Ok(mut header) = BatchHeader::parse(&batch) else {
        return batch;
    };
    header.attributes |= LOG_APPEND_TIME;
    header.max_timestamp = timestamp_ms;
    restamped(batch, &mut header)
}

/// Puts a changed header before the same records, and its new checksum into both.
fn restamped(batch: Bytes, header: &mut BatchHeader) -> Bytes {
    let mut bytes = batch
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    if let Some(target) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        *target = header.to_bytes();
    }
    header.crc = crc_of(&bytes);
    if let Some(target) = bytes.get_mut(CRC_POSITION..CRC_FROM) {
        target.copy_from_slice(&header.crc.to_be_bytes());
    }
    bytes.freeze()
}

/// The records must be as many as the header says, with offsets that count up; their bytes.
fn check_records(section: &[u8], header: &BatchHeader) -> Result<usize, BatchError> {
    layout::check_produced(section, header.records_count.unsigned_abs())
        .map_err(|(index, source)| BatchError::BadRecords { index, source })?;
    Ok(section.len())
}

/// The length must be that of the bytes: one batch, and nothing after it.
fn check_extent(header: &BatchHeader, bytes: &[u8]) -> Result<(), BatchError> {
    let total = header.total_bytes();
    if total == bytes.len() {
        return Ok(());
    }
    let second_magic = bytes.get(total..).and_then(|rest| rest.get(MAGIC_POSITION));
    if second_magic.is_some_and(|byte| byte.cast_signed() == MAGIC) {
        return Err(BatchError::MultipleBatches);
    }
    Err(BatchError::BadLength {
        announced: header.batch_length,
        actual: bytes.len(),
    })
}

/// What the header of a produced batch must say.
fn check_header(header: &BatchHeader) -> Result<(), BatchError> {
    let BatchHeader {
        base_offset,
        attributes,
        last_offset_delta,
        records_count,
        ..
    } = *header;
    if base_offset != 0 {
        return Err(BatchError::BaseOffsetNotZero { base_offset });
    }
    if records_count <= 0 || last_offset_delta != records_count.wrapping_sub(1) {
        return Err(BatchError::BadCount {
            last_offset_delta,
            records_count,
        });
    }
    if header.is_control() {
        return Err(BatchError::ControlBatch);
    }
    if attributes & (!KNOWN_BITS | DELETE_HORIZON) != 0 {
        return Err(BatchError::ReservedAttributes { attributes });
    }
    let BatchHeader {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence,
        ..
    } = *header;
    let legal = match id {
        0.. => epoch >= 0 && base_sequence >= 0,
        -1 => !header.is_transactional(),
        _ => false,
    };
    if legal {
        Ok(())
    } else {
        Err(BatchError::BadProducer {
            id,
            epoch,
            base_sequence,
        })
    }
}
