//! What a user sends and what a user gets.
//!
//! Floor 0 of client.

use std::sync::Arc;

use bytes::Bytes;

/// A header of a record. Keys may repeat, and their order is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub key: String,
    /// The value; absent is not the same as empty.
    pub value: Option<Bytes>,
}

/// A record to be sent.
///
/// ```
/// use highwater_client::Record;
///
/// let record = Record::to("flights").key("N14228").value("{\"dep_delay\":2}");
/// assert_eq!(record.topic, "flights");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: String,
    /// The partition; chosen by the key if absent.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; the time of `send` if absent.
    pub timestamp: Option<i64>,
    /// Records with one key go to one partition and keep their order.
    pub key: Option<Bytes>,
    /// The payload; absent is a tombstone.
    pub value: Option<Bytes>,
    /// The headers in their order.
    pub headers: Vec<Header>,
}

impl Record {
    /// An empty record for a topic.
    pub fn to(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            ..Self::default()
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the payload.
    #[must_use]
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Sets the partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp in milliseconds since 1970.
    #[must_use]
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Adds a header behind those that are there.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header {
            key: key.into(),
            value: Some(value.into()),
        });
        self
    }
}

/// Where a record stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition.
    pub partition: i32,
    /// The offset; -1 if the broker did not tell it, as with `acks=0`.
    pub offset: i64,
    /// Milliseconds since 1970: the record's own, or the time at which it was stored if the topic
    /// stamps its records itself.
    pub timestamp: i64,
}

/// A record that was read.
///
/// Key, value and headers are slices of the answer that they came in: who keeps a few of many
/// records for long copies them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The payload; absent is a tombstone.
    pub value: Option<Bytes>,
    /// The headers in their order.
    pub headers: Vec<Header>,
}
