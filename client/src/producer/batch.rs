//! A batch of one partition, from its first record to its answer.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Once built, its records never change; only the producer's stamp in the header does, and only
//!   when no answer to the old stamp is due.
//! - Its fate is told once, also if it is dropped, and everybody who sent one of its records sees
//!   it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use highwater_proto::batch::{BatchError, BatchHeader, HEADER_BYTES, crc_of, sequence_add};
use highwater_proto::batch_builder::{BatchBuilder, BuildError, HeaderRef, Producer};
use highwater_proto::clock::Mono;
use highwater_proto::compress::Codec;
use highwater_proto::record::RecordIter;

use super::delivery::{Fate, Promise};
use crate::error::ClientError;
use crate::record::Record;

/// Records of one partition that travel together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Rises with every batch of the producer: the order within a partition. The parts of one that
    /// was too large have its number.
    pub(super) number: u64,
    pub(super) created: Mono,
    /// Bytes of `buffer.memory` that it holds.
    pub(super) held_bytes: usize,
    /// Whether an earlier try may have been stored without an answer.
    pub(super) is_doubtful: bool,
    /// Whether a try of it was never answered: that request may still be executed, late.
    pub(super) is_astray: bool,
    /// Whether a broker has it now and has not answered.
    pub(super) is_out: bool,
    stamp: Option<Producer>,
    content: Content,
    records_count: i32,
    promise: Arc<Promise>,
}

#[derive(Debug)]
enum Content {
    Filling(BatchBuilder),
    /// The whole batch, under the stamp that stands in its header.
    Built(Bytes, Option<Producer>),
}

impl Batch {
    /// An empty batch with room for so many bytes.
    pub(super) fn new(number: u64, created: Mono, codec: Codec, bytes: usize) -> Self {
        Self {
            number,
            created,
            held_bytes: 0,
            is_doubtful: false,
            is_astray: false,
            is_out: false,
            stamp: None,
            content: Content::Filling(BatchBuilder::with_capacity(codec, bytes)),
            records_count: 0,
            promise: Arc::default(),
        }
    }

    /// Adds a record that holds so many bytes of `buffer.memory`; gives its index.
    pub(super) fn append(
        &mut self,
        record: &Record,
        bytes: usize,
        timestamp: i64,
    ) -> Result<i32, ClientError> {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let headers: Vec<HeaderRef<'_>> = record
            .headers
            .iter()
            .map(|header| (header.key.as_str(), header.value.as_deref()))
            .collect();
        let index = self.put(timestamp, key, value, &headers)?;
        self.held_bytes += bytes;
        Ok(index)
    }

    fn put(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) -> Result<i32, ClientError> {
        let Content::Filling(builder) = &mut self.content else {
            return Err(ClientError::Invalid(
                "the batch is built already".to_owned(),
            ));
        };
        builder
            .append(timestamp, key, value, headers)
            .map_err(|error| ClientError::Invalid(error.to_string()))?;
        let index = self.records_count;
        self.records_count += 1;
        Ok(index)
    }

    pub(super) const fn records_count(&self) -> i32 {
        self.records_count
    }

    /// The size on the wire; before it is built, that without a codec.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Content::Filling(builder) => builder.bytes(),
            Content::Built(bytes, _) => bytes.len(),
        }
    }

    pub(super) const fn is_stamped(&self) -> bool {
        self.stamp.is_some()
    }

    /// Sets under which sequence number it is sent.
    pub(super) const fn stamp(&mut self, stamp: Option<Producer>) {
        self.stamp = stamp;
    }

    /// The whole batch: compressed at the first call, with a new header if the stamp has changed.
    pub(super) fn build(&mut self) -> Result<Bytes, ClientError> {
        let unusable =
            |why: String| ClientError::Invalid(format!("the batch cannot be built: {why}"));
        let bytes = match &mut self.content {
            Content::Filling(builder) => {
                builder.set_producer(self.stamp);
                builder
                    .build()
                    .map_err(|error: BuildError| unusable(error.to_string()))?
            }
            Content::Built(bytes, stamp) if *stamp == self.stamp => return Ok(bytes.clone()),
            Content::Built(bytes, _) => {
                restamped(bytes, self.stamp).map_err(|error| unusable(error.to_string()))?
            }
        };
        self.content = Content::Built(bytes.clone(), self.stamp);
        Ok(bytes)
    }

    pub(super) const fn promise(&self) -> &Arc<Promise> {
        &self.promise
    }

    /// Makes two batches of its records, of about the same size; `None` if it has only one. They
    /// have its number and its sequence numbers: the broker has not stored it.
    pub(super) fn split(&mut self, codec: Codec) -> Result<Option<(Self, Self)>, ClientError> {
        if self.records_count < 2 {
            return Ok(None);
        }
        let unusable =
            |error: String| ClientError::Invalid(format!("the batch cannot be split: {error}"));
        // It was built here, so it decompresses to what `batch.size` allows.
        let records = RecordIter::new(self.build()?, usize::MAX);
        let records = records.map_err(|error| unusable(error.to_string()))?;
        let mut first = Self::new(self.number, self.created, codec, self.bytes());
        let mut second = Self::new(self.number, self.created, codec, self.bytes());
        let first_count = self.records_count / 2;
        for (index, record) in (0..).zip(records) {
            let record = record.map_err(|error| unusable(error.to_string()))?;
            let part = match index < first_count {
                true => &mut first,
                false => &mut second,
            };
            part.append_again(&record)?;
        }
        first.held_bytes = self.held_bytes / 2;
        second.held_bytes = self.held_bytes - first.held_bytes;
        first.stamp = self.stamp;
        second.stamp = self.stamp.map(|stamp| Producer {
            base_sequence: sequence_add(stamp.base_sequence, first_count),
            ..stamp
        });
        Ok(Some((first, second)))
    }

    fn append_again(
        &mut self,
        record: &highwater_proto::record::Record,
    ) -> Result<(), ClientError> {
        let headers: Vec<_> = record.headers.iter().collect();
        let names: Vec<_> = headers.iter().map(|header| header.name()).collect();
        let headers: Vec<HeaderRef<'_>> = names
            .iter()
            .zip(&headers)
            .map(|(name, header)| (&**name, header.value.as_deref()))
            .collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        self.put(record.timestamp, key, value, &headers)?;
        Ok(())
    }

    /// The error of a batch that is given up: whether it may be stored.
    pub(super) fn failure(&self, why: String) -> ClientError {
        if self.is_doubtful || self.is_astray || self.is_out {
            ClientError::Unknown(why)
        } else {
            ClientError::NotSent(why)
        }
    }

    /// Ends it: tells everybody who waits.
    pub(super) fn finish(self, fate: Fate) {
        self.promise.tell(fate);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Told already, unless the sending task ends before the answer.
        let why = "the producer ended before the answer: it was closed, or its runtime has ended";
        self.promise
            .tell(Fate::Failed(self.failure(why.to_owned())));
    }
}

/// What a record takes at most in a batch, in bytes.
pub(super) fn record_bytes(record: &Record) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|header| header.key.len() + value_bytes(header.value.as_ref()) + 2 * VARINT_BYTES_MAX)
        .sum();
    FIXED_BYTES_MAX
        + value_bytes(record.key.as_ref())
        + value_bytes(record.value.as_ref())
        + headers
}

fn value_bytes(value: Option<&Bytes>) -> usize {
    value.map_or(0, Bytes::len)
}

/// The same batch under another sequence number.
fn restamped(batch: &[u8], stamp: Option<Producer>) -> Result<Bytes, BatchError> {
    let stamp = stamp.unwrap_or(Producer {
        id: -1,
        epoch: -1,
        base_sequence: -1,
    });
    let mut header = BatchHeader {
        producer_id: stamp.id,
        producer_epoch: stamp.epoch,
        base_sequence: stamp.base_sequence,
        ..BatchHeader::parse(batch)?
    };
    let mut bytes = BytesMut::from(batch);
    put_header(&mut bytes, &header);
    header.crc = crc_of(&bytes);
    put_header(&mut bytes, &header);
    Ok(bytes.freeze())
}

fn put_header(batch: &mut [u8], header: &BatchHeader) {
    if let Some(target) = batch.first_chunk_mut::<HEADER_BYTES>() {
        *target = header.to_bytes();
    }
}

/// A length of 31 bits.
const VARINT_BYTES_MAX: usize = 5;

/// Attributes, timestamp delta of 64 bits, and five lengths: of the record, its offset delta, the
/// key, the value, the count of headers.
const FIXED_BYTES_MAX: usize = 1 + 10 + 5 * VARINT_BYTES_MAX;

#[cfg(test)]
mod tests {
    use highwater_proto::batch::check_crc;
    use highwater_proto::record::RecordIter;

    use super::*;

    #[test]
    fn another_stamp_changes_the_header_and_nothing_else() {
        for codec in Codec::ALL {
            let mut batch = Batch::new(0, Mono(0), codec, 0);
            for value in ["a", "b"] {
                batch
                    .append(&Record::to("t").value(value).header("h", "x"), 40, 7)
                    .unwrap();
            }
            batch.stamp(Some(Producer {
                id: 1,
                epoch: 0,
                base_sequence: 5,
            }));
            let first = batch.build().unwrap();
            batch.stamp(Some(Producer {
                id: 2,
                epoch: 3,
                base_sequence: 0,
            }));
            let second = batch.build().unwrap();
            check_crc(&second).unwrap();
            let header = BatchHeader::parse(&second).unwrap();
            assert_eq!(
                (
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence
                ),
                (2, 3, 0)
            );
            let records =
                |bytes: Bytes| RecordIter::new(bytes, 1 << 20).unwrap().collect::<Vec<_>>();
            assert_eq!(records(second), records(first));
        }
    }

    #[test]
    fn the_estimate_of_a_record_is_never_too_small() {
        let record = Record::to("t")
            .key("k")
            .value(vec![0; 300])
            .header("a", "b")
            .header("", "");
        let mut batch = Batch::new(0, Mono(0), Codec::None, 0);
        let empty = batch.bytes();
        batch.append(&record, 0, i64::MAX).unwrap();
        assert!(batch.bytes() - empty <= record_bytes(&record));
    }
}
