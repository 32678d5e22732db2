//! A batch of one partition, from its first record to its answer.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Once built, its records never change; only the producer's stamp in the header does, and only
//!   when no answer to the old stamp is due.
//! - Its fate is set once, and everybody who sent one of its records sees it.

use bytes::{Bytes, BytesMut};
use highwater_proto::batch::{BatchError, BatchHeader, HEADER_BYTES, crc_of};
use highwater_proto::batch_builder::{BatchBuilder, BuildError, HeaderRef, Producer};
use highwater_proto::clock::Mono;
use highwater_proto::compress::Codec;
use tokio::sync::watch;

use crate::error::ClientError;
use crate::record::Record;

/// What became of a batch.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// No answer yet.
    Open,
    /// It is stored from this offset on; -1 if the broker did not tell.
    Stored(i64),
    /// It is given up.
    Failed(ClientError),
}

/// Records of one partition that travel together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Rises with every batch of the producer: the order within a partition.
    pub(super) number: u64,
    pub(super) created: Mono,
    /// Bytes of `buffer.memory` that it holds.
    pub(super) held_bytes: usize,
    /// Whether an earlier try may have been stored without an answer.
    pub(super) is_doubtful: bool,
    stamp: Option<Producer>,
    content: Content,
    records_count: i32,
    fate: watch::Sender<Fate>,
}

#[derive(Debug)]
enum Content {
    Filling(BatchBuilder),
    /// The whole batch, under the stamp that stands in its header.
    Built(Bytes, Option<Producer>),
}

impl Batch {
    pub(super) fn new(number: u64, created: Mono, codec: Codec) -> Self {
        Self {
            number,
            created,
            held_bytes: 0,
            is_doubtful: false,
            stamp: None,
            content: Content::Filling(BatchBuilder::new(codec)),
            records_count: 0,
            fate: watch::Sender::new(Fate::Open),
        }
    }

    /// Adds a record that holds so many bytes of `buffer.memory`; gives its index.
    pub(super) fn append(
        &mut self,
        record: &Record,
        bytes: usize,
        wall_ms: i64,
    ) -> Result<i32, ClientError> {
        let Content::Filling(builder) = &mut self.content else {
            return Err(ClientError::Invalid(
                "the batch is built already".to_owned(),
            ));
        };
        let headers: Vec<HeaderRef<'_>> = record
            .headers
            .iter()
            .map(|header| (header.key.as_str(), header.value.as_deref()))
            .collect();
        let timestamp = record.timestamp.unwrap_or(wall_ms);
        builder
            .append(
                timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            )
            .map_err(|error| ClientError::Invalid(error.to_string()))?;
        let index = self.records_count;
        self.records_count += 1;
        self.held_bytes += bytes;
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

    pub(super) fn watch(&self) -> watch::Receiver<Fate> {
        self.fate.subscribe()
    }

    /// Ends it: tells everybody who waits.
    pub(super) fn finish(self, fate: Fate) {
        self.fate.send_replace(fate);
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
            let mut batch = Batch::new(0, Mono(0), codec);
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
        let mut batch = Batch::new(0, Mono(0), Codec::None);
        let empty = batch.bytes();
        batch.append(&record, 0, i64::MAX).unwrap();
        assert!(batch.bytes() - empty <= record_bytes(&record));
    }
}
