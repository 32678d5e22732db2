//! Batches as the clients send them, and records as they get them back.

use bytes::Bytes;
use highwater_proto::batch::{BatchHeader, Batches};
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::compress::Codec;
use highwater_proto::record::RecordIter;

use crate::broker_life::model::{Found, Value};

/// A batch of values, each padded with so many bytes.
pub(in crate::broker_life) fn batch(
    values: &[Value],
    producer: Option<Producer>,
    now_ms: i64,
    padding: usize,
) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.set_producer(producer);
    for value in values {
        let text = format!("{}.{}.{}", value.client, value.number, "-".repeat(padding));
        builder
            .append(now_ms, None, Some(text.as_bytes()), &[])
            .expect("a small record fits into a batch");
    }
    builder
        .build()
        .expect("a batch of some records can be built")
}

/// The records of whole batches, from an offset on, or what is wrong with them.
pub(in crate::broker_life) fn read(parts: &[Bytes], from: i64) -> Result<Vec<Found>, String> {
    let bytes = parts.concat();
    let mut found = Vec::new();
    for batch in Batches::new(&bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        let bytes = Bytes::copy_from_slice(batch.bytes);
        let header = BatchHeader::parse(&bytes).map_err(|error| error.to_string())?;
        highwater_proto::batch::check_crc(&bytes).map_err(|error| error.to_string())?;
        let records = RecordIter::new(bytes, usize::MAX).map_err(|error| error.to_string())?;
        for record in records {
            let record = record.map_err(|error| error.to_string())?;
            if record.offset < from {
                continue;
            }
            let text = record.value.as_deref().unwrap_or_default();
            let index = i32::try_from(record.offset - header.base_offset).unwrap_or(i32::MAX);
            let is_idempotent = header.producer_id >= 0;
            found.push(Found {
                offset: record.offset,
                value: value_of(text).ok_or_else(|| {
                    format!("offset {} holds {text:?}, which nobody sent", record.offset)
                })?,
                timestamp: record.timestamp,
                epoch: header.leader_epoch,
                producer: is_idempotent.then(|| {
                    let sequence = header.base_sequence + index;
                    (header.producer_id, header.producer_epoch, sequence)
                }),
            });
        }
    }
    Ok(found)
}

fn value_of(text: &[u8]) -> Option<Value> {
    let mut parts = std::str::from_utf8(text).ok()?.split('.');
    let client = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    parts.next()?;
    Some(Value { client, number })
}
