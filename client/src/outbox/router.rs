//! `Router`: which record a row becomes.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - The same row becomes the same record, with the same event id, however often it is asked.
//! - A row that cannot become a record says why; it is never left out in silence.

mod cloud_events;
mod debezium;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::sync::Arc;

use self::cloud_events::CloudEvents;
use self::debezium::Debezium;
use super::error::OutboxError;
use crate::envelope::{Envelope, EventId};
use crate::record::Record;
use crate::sql::{SqlRow, SqlValue};

pub(super) use cloud_events::{headers_of, row_id};

/// Says which record a row of an outbox becomes.
///
/// ```
/// use highwater_client::{Envelope, Router};
///
/// // Rows of `Outbox`: events, with their id in a further header for consumers that look there.
/// let router = Router::cloud_events(Envelope::new().alias("eventId"));
///
/// // Rows for Debezium's outbox event router, with its properties.
/// let router = Router::debezium([
///     ("route.topic.replacement", "${routedByValue}.events"),
///     ("table.fields.additional.placement", "type:header:eventType"),
/// ])?;
/// # Ok::<(), highwater_client::OutboxError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Router {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    CloudEvents(CloudEvents),
    Debezium(Box<Debezium>),
}

impl Router {
    /// For rows that [`Outbox`](super::Outbox) has written, or another program into the same
    /// columns: the topic is `aggregatetype`, the key `aggregateid`, and the record that of the
    /// event, as the envelope says. What a row does not tell of the event is filled in: its source
    /// is then the topic.
    pub const fn cloud_events(envelope: Envelope) -> Self {
        Self {
            kind: Kind::CloudEvents(CloudEvents::new(envelope)),
        }
    }

    /// For rows that were written for Debezium's outbox event router, by the properties of its
    /// documentation, without the `transforms.outbox.` before them.
    ///
    /// The topic is `outbox.event.` with `aggregatetype` behind it, the key `aggregateid`, the
    /// header `id` the event's id, the value `payload` as it is stored. Differences: a payload
    /// that is null becomes an empty value, and a tombstone only with
    /// `route.tombstone.on.empty.payload`; a tracing column is read if it is named.
    ///
    /// # Errors
    /// `Invalid` if a property is not known or its value cannot be right.
    pub fn debezium<K, V>(properties: impl IntoIterator<Item = (K, V)>) -> Result<Self, OutboxError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        Ok(Self {
            kind: Kind::Debezium(Box::new(Debezium::new(properties)?)),
        })
    }

    /// The columns that it needs of a row.
    pub(super) fn columns(&self) -> Vec<String> {
        match &self.kind {
            Kind::CloudEvents(_) => cloud_events::columns(),
            Kind::Debezium(router) => router.columns().to_vec(),
        }
    }

    /// The column that says when a row was written.
    pub(super) const fn created(&self) -> Option<&'static str> {
        match self.kind {
            Kind::CloudEvents(_) => Some("created_at"),
            Kind::Debezium(_) => None,
        }
    }

    /// What the row waits behind; nothing, if it has no key.
    pub(super) fn lane(&self, values: &SqlRow) -> Option<Lane> {
        let (route, key) = match &self.kind {
            Kind::CloudEvents(_) => cloud_events::lane(values),
            Kind::Debezium(router) => router.lane(values),
        };
        let key = shown(key).filter(|key| !key.is_empty())?;
        Some(Lane::new(shown(route).unwrap_or_default(), key))
    }

    /// The record of a row.
    pub(super) fn record(&self, values: &SqlRow) -> Result<Record, String> {
        match &self.kind {
            Kind::CloudEvents(router) => router.record(values),
            Kind::Debezium(router) => router.record(values),
        }
    }
}

/// Events, by the default envelope.
impl Default for Router {
    fn default() -> Self {
        Self::cloud_events(Envelope::default())
    }
}

/// Rows of one lane are published in their order: those with one key and one value of the column
/// that the topic follows from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane(Arc<(String, String)>);

impl Lane {
    pub(super) fn new(route: String, key: String) -> Self {
        Self(Arc::new((route, key)))
    }

    pub(super) fn route(&self) -> &str {
        &self.0.0
    }

    pub(super) fn key(&self) -> &str {
        &self.0.1
    }
}

/// A value as text: bytes that are no text as hexadecimal digits.
fn shown(value: &SqlValue) -> Option<String> {
    match value {
        SqlValue::Null => None,
        SqlValue::Integer(number) => Some(number.to_string()),
        SqlValue::Text(text) => Some(text.clone()),
        SqlValue::Bytes(bytes) => Some(match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("\\x{}", hex(bytes)),
        }),
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing into a text cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// A value as the bytes that a record holds.
fn bytes_of(value: &SqlValue) -> Option<bytes::Bytes> {
    match value {
        SqlValue::Null => None,
        SqlValue::Integer(number) => Some(number.to_string().into()),
        SqlValue::Text(text) => Some(text.clone().into()),
        SqlValue::Bytes(bytes) => Some(bytes.clone().into()),
    }
}

/// The text of a column that has to have one.
fn text_of<'a>(value: &'a SqlValue, column: &str) -> Result<&'a str, String> {
    let text = match value {
        SqlValue::Text(text) => Some(text.as_str()),
        SqlValue::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        SqlValue::Null | SqlValue::Integer(_) => None,
    };
    text.ok_or_else(|| format!("its {column} is no text"))
}

/// The event id of a column: the 16 bytes of a UUID, or text.
fn id_of(value: &SqlValue, column: &str) -> Result<EventId, String> {
    if let SqlValue::Bytes(bytes) = value
        && let Ok(uuid) = <[u8; 16]>::try_from(bytes.as_slice())
    {
        return Ok(EventId::from(uuid));
    }
    match shown(value) {
        Some(text) if !text.is_empty() => Ok(EventId::from(text)),
        _ => Err(format!("its {column} is empty")),
    }
}

/// The partition of a column.
fn partition_of(value: &SqlValue, column: &str) -> Result<Option<i32>, String> {
    match value {
        SqlValue::Null => Ok(None),
        SqlValue::Integer(number) => match i32::try_from(*number) {
            Ok(partition) if partition >= 0 => Ok(Some(partition)),
            _ => Err(format!("its {column} is {number}, which is no partition")),
        },
        _ => Err(format!("its {column} is no whole number")),
    }
}
