//! `BatchBuilder`: makes a record batch.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - The records stand behind the place of the header from the start: without a codec they are
//!   written once and never moved.
//! - The same appends give the same bytes. A refused append changes nothing.
//! - After [`BatchBuilder::build`] the builder is empty, and uses its buffers again as soon as the
//!   batches that were built from them are gone.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::batch::{
    BatchHeader, CRC_POSITION, HEADER_BYTES, NO_SEQUENCE, OVERHEAD_BYTES, TRANSACTIONAL, crc_of,
};
use crate::compress::{Codec, CodecError, compress_into};
use crate::varint;

/// Makes record batches, one after another.
///
/// ```
/// use highwater_proto::batch::{BatchHeader, check_crc};
/// use highwater_proto::batch_builder::{BatchBuilder, Producer};
/// use highwater_proto::compress::Codec;
///
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.append(1_700_000_000_000, Some(b"k"), Some(b"v"), &[])?;
/// builder.set_producer(Some(Producer { id: 1000, epoch: 0, base_sequence: 0 }));
/// let batch = builder.build()?;
///
/// check_crc(&batch)?;
/// assert_eq!(BatchHeader::parse(&batch)?.producer_id, 1000);
/// assert_eq!(builder.records_count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    codec: Codec,
    producer: Option<Producer>,
    transactional: bool,
    /// The place of the header, and the records behind it, not compressed.
    buffer: BytesMut,
    /// Where compressed batches are put together.
    packed: Vec<u8>,
    records_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// Who sends a batch, for the broker to recognise a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The producer id that the broker gave out.
    pub id: i64,
    /// The epoch of that id.
    pub epoch: i16,
    /// The sequence number of the first record.
    pub base_sequence: i32,
}

/// One header to append: its name, and its value or null.
pub type HeaderRef<'a> = (&'a str, Option<&'a [u8]>);

/// Why a batch cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The batch or one of its parts would not fit the format's lengths of 31 bits.
    #[error("a batch holds at most 2147483647 bytes and as many records")]
    TooLarge,
    /// There are no records.
    #[error("a batch needs at least one record")]
    Empty,
    /// The records cannot be compressed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl BatchBuilder {
    /// A builder of batches that are compressed with `codec`.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self::with_capacity(codec, 0)
    }

    /// A builder with room for a batch of so many bytes, before compression.
    #[must_use]
    pub fn with_capacity(codec: Codec, bytes: usize) -> Self {
        Self {
            codec,
            producer: None,
            transactional: false,
            buffer: BytesMut::with_capacity(bytes),
            packed: Vec::new(),
            records_count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Sets who sends this batch and the following ones; may come after the records, since a
    /// sequence number is given when a batch leaves.
    pub const fn set_producer(&mut self, producer: Option<Producer>) {
        self.producer = producer;
    }

    /// Sets whether this batch and the following ones belong to a transaction.
    pub const fn set_transactional(&mut self, transactional: bool) {
        self.transactional = transactional;
    }

    /// Appends a record. The first one's timestamp (milliseconds since 1970) is that of the batch.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> Result<(), BuildError> {
        let sizes = self.sizes(timestamp, key, value, headers);
        let room = BATCH_BYTES_MAX.saturating_sub(self.bytes());
        if sizes.total() > room || self.records_count == i32::MAX {
            return Err(BuildError::TooLarge);
        }
        if self.records_count == 0 {
            self.buffer.resize(HEADER_BYTES, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let target = &mut self.buffer;
        target.reserve(sizes.total());
        // Put together first: one look at the room in the buffer instead of one for each byte.
        let mut front = [0; FRONT_BYTES_MAX];
        let mut rest = front.as_mut_slice();
        put_length(&mut rest, sizes.body);
        rest.put_u8(NO_ATTRIBUTES);
        varint::put_i64(&mut rest, sizes.timestamp_delta);
        varint::put_i32(&mut rest, self.records_count);
        put_nullable_length(&mut rest, key);
        let used = FRONT_BYTES_MAX - rest.len();
        target.put_slice(front.get(..used).unwrap_or_default());
        target.put_slice(key.unwrap_or_default());
        put_nullable(target, value);
        put_length(target, headers.len());
        for (name, value) in headers {
            put_nullable(target, Some(name.as_bytes()));
            put_nullable(target, *value);
        }
        self.records_count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// How many bytes [`Self::append`] would add before compression.
    #[must_use]
    pub fn record_bytes(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> usize {
        self.sizes(timestamp, key, value, headers).total()
    }

    /// The size of the batch in bytes, header included, before compression.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len().max(HEADER_BYTES)
    }

    /// How many records were appended since the last build.
    #[must_use]
    pub const fn records_count(&self) -> i32 {
        self.records_count
    }

    /// Whether no record was appended since the last build.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// Makes the batch and starts a new one. The producer and the transaction mark stay. If the
    /// records cannot be compressed, they stay, too.
    pub fn build(&mut self) -> Result<Bytes, BuildError> {
        if self.records_count == 0 {
            return Err(BuildError::Empty);
        }
        let batch = if self.codec == Codec::None {
            let header = self.header(self.buffer.len())?;
            seal(&mut self.buffer, &header);
            self.buffer.split().freeze()
        } else {
            self.packed.clear();
            self.packed.resize(HEADER_BYTES, 0);
            let records = self.buffer.get(HEADER_BYTES..).unwrap_or_default();
            compress_into(self.codec, records, &mut self.packed)?;
            let header = self.header(self.packed.len())?;
            seal(&mut self.packed, &header);
            self.buffer.clear();
            Bytes::copy_from_slice(&self.packed)
        };
        self.records_count = 0;
        Ok(batch)
    }

    /// The header of a batch of that many bytes, but for its checksum.
    fn header(&self, total_bytes: usize) -> Result<BatchHeader, BuildError> {
        let length = total_bytes.saturating_sub(OVERHEAD_BYTES);
        let producer = self.producer.unwrap_or(NO_PRODUCER);
        let transactional = if self.transactional { TRANSACTIONAL } else { 0 };
        Ok(BatchHeader {
            base_offset: 0,
            batch_length: i32::try_from(length).map_err(|_| BuildError::TooLarge)?,
            leader_epoch: NO_EPOCH,
            crc: 0,
            attributes: self.codec.attributes() | transactional,
            last_offset_delta: self.records_count.saturating_sub(1),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: producer.base_sequence,
            records_count: self.records_count,
        })
    }

    fn sizes(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> RecordSizes {
        let base = if self.records_count == 0 {
            timestamp
        } else {
            self.base_timestamp
        };
        // Modulo 2^64, as the reader adds it: any two timestamps can stand in one batch.
        let timestamp_delta = timestamp.wrapping_sub(base);
        let headers_bytes: usize = headers
            .iter()
            .map(|(name, value)| nullable_bytes(Some(name.as_bytes())) + nullable_bytes(*value))
            .sum();
        let body = 1
            + varint::size_i64(timestamp_delta)
            + varint::size_i32(self.records_count)
            + nullable_bytes(key)
            + nullable_bytes(value)
            + length_bytes(headers.len())
            + headers_bytes;
        RecordSizes {
            timestamp_delta,
            body,
        }
    }
}

/// What must be known of a record before it is written.
struct RecordSizes {
    timestamp_delta: i64,
    /// The bytes behind the length.
    body: usize,
}

impl RecordSizes {
    const fn total(&self) -> usize {
        length_bytes(self.body) + self.body
    }
}

/// Writes the header before the records, and the checksum of both into it.
fn seal(batch: &mut [u8], header: &BatchHeader) {
    if let Some(target) = batch.first_chunk_mut::<HEADER_BYTES>() {
        *target = header.to_bytes();
    }
    let crc = crc_of(batch);
    if let Some(field) = batch
        .get_mut(CRC_POSITION..)
        .and_then(<[u8]>::first_chunk_mut)
    {
        *field = crc.to_be_bytes();
    }
}

fn put_nullable(target: &mut BytesMut, bytes: Option<&[u8]>) {
    put_nullable_length(target, bytes);
    target.put_slice(bytes.unwrap_or_default());
}

fn put_nullable_length(target: &mut impl BufMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_length(target, bytes.len()),
        None => target.put_u8(NULL_BYTE),
    }
}

/// A length in zigzag. The caller has seen that the whole batch stays below 2 GiB.
fn put_length(target: &mut impl BufMut, length: usize) {
    varint::put_u64(target, (length as u64) << 1);
}

const fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => length_bytes(bytes.len()) + bytes.len(),
        None => 1,
    }
}

const fn length_bytes(length: usize) -> usize {
    varint::size_u64((length as u64) << 1)
}

/// Lengths are signed integers of 32 bits.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;
/// A record up to its key: its length, attributes, two deltas, the length of the key.
const FRONT_BYTES_MAX: usize = 3 * varint::BYTES_MAX_32 + varint::BYTES_MAX_64 + 1;
const NO_ATTRIBUTES: u8 = 0;
const NO_EPOCH: i32 = -1;
const NO_TIMESTAMP: i64 = -1;
const NO_PRODUCER: Producer = Producer {
    id: -1,
    epoch: -1,
    base_sequence: NO_SEQUENCE,
};
/// -1 in zigzag.
const NULL_BYTE: u8 = 1;

#[cfg(test)]
mod tests;
