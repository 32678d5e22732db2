//! Values with a type: JSON behind the feature `json`, protobuf behind the feature `protobuf`.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - A thin layer: the value of a record is what the format makes of it, and no header is added.
//! - What cannot be read says at which record that was.

#[cfg(feature = "json")]
mod json;
#[cfg(feature = "protobuf")]
mod protobuf;
#[cfg(test)]
mod tests;

use crate::error::ClientError;
use crate::record::ConsumerRecord;

/// The value of a record, or the error of one that has none.
fn value_of<'a>(record: &'a ConsumerRecord, format: &'static str) -> Result<&'a [u8], ClientError> {
    let value = record.value.as_deref();
    value.ok_or_else(|| not_a(record, format, "it has no value: it is a tombstone"))
}

fn not_a(record: &ConsumerRecord, format: &'static str, why: impl ToString) -> ClientError {
    ClientError::Undecodable {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        format,
        why: why.to_string(),
    }
}
