//! Events on the wire: written with their envelope, read with or without it.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - To fold an event its type and its data are enough: nothing else is read.

use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::native::v1;

use super::aggregate::{DomainEvent, EventData};
use super::error::EventsError;
use super::reader::REVISION;
use crate::envelope::{Envelope, Event};
use crate::error::ClientError;
use crate::record::{ConsumerRecord, Header, Record};
use crate::trace;

/// An event of a stream, with all that was written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded<E> {
    /// Its place in the stream.
    pub revision: u64,
    /// Its place in the partition.
    pub offset: i64,
    /// When it was stored, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The envelope: id, type, source, time, what caused it. Its data is as it was stored.
    pub envelope: Event,
    /// What happened, brought up to date; `None` if it deletes the stream, or is of a type that the
    /// aggregate does not have and skips.
    pub event: Option<E>,
}

/// An event that is about to be appended.
pub(super) fn envelope(source: &str, now_ms: i64, key: &Bytes, data: EventData) -> Event {
    let event = Event::at(now_ms, source, data.event_type).key(key.clone());
    Event {
        content_type: data.content_type.map(Into::into),
        data: Some(data.data),
        ..event
    }
}

/// The event as it goes to the broker; with its revision, if that is known.
pub(super) fn to_wire(
    topic: &str,
    event: &Event,
    revision: Option<u64>,
) -> Result<v1::NewEvent, ClientError> {
    let mut record = Envelope::new().tombstones().record(topic, event)?;
    if let Some(revision) = revision {
        record = record.header(REVISION, revision.to_string());
    }
    trace::stamp(&mut record);
    let Record {
        key,
        value,
        headers,
        ..
    } = record;
    let header = |Header { key, value }| v1::Header { name: key, value };
    Ok(v1::NewEvent {
        key: key.unwrap_or_default(),
        value,
        headers: headers.into_iter().map(header).collect(),
    })
}

/// Where a stream is, for records and errors.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) topic: Arc<str>,
    pub(super) key: Bytes,
}

impl Stream {
    /// The type and the data of an event that is no tombstone.
    pub(super) fn type_and_data(
        &self,
        partition: i32,
        event: &v1::StreamEvent,
        data: &Bytes,
    ) -> Result<(String, Bytes), EventsError> {
        let is_plain = header(event, CONTENT_TYPE)
            .is_none_or(|it| !it.to_ascii_lowercase().starts_with(STRUCTURED));
        let event_type = header(event, TYPE).and_then(|it| std::str::from_utf8(it).ok());
        match event_type {
            Some(event_type) if is_plain => Ok((event_type.to_owned(), data.clone())),
            _ => {
                // Something else wrote it, or the data is the whole event.
                let read = self.envelope(partition, event)?;
                Ok((read.event_type, read.data.unwrap_or_default()))
            }
        }
    }

    /// The event with its envelope.
    pub(super) fn envelope(
        &self,
        partition: i32,
        event: &v1::StreamEvent,
    ) -> Result<Event, EventsError> {
        let header = |it: &v1::Header| Header {
            key: it.name.clone(),
            value: it.value.clone(),
        };
        let record = ConsumerRecord {
            topic: Arc::clone(&self.topic),
            partition,
            offset: event.offset,
            timestamp: event.timestamp_ms,
            key: Some(self.key.clone()),
            value: event.value.clone(),
            headers: event.headers.iter().map(header).collect(),
        };
        let read = Envelope::new().read(&record);
        read.map_err(|why| self.undecodable(event.revision, why.to_string()))
    }

    pub(super) fn undecodable(&self, revision: u64, why: String) -> EventsError {
        EventsError::Undecodable {
            topic: self.topic.to_string(),
            key: self.key.clone(),
            revision,
            why,
        }
    }

    /// What happened, if the aggregate has its type.
    pub(super) fn decode<E: DomainEvent>(
        &self,
        revision: u64,
        event_type: &str,
        data: &Bytes,
    ) -> Result<Option<E>, EventsError> {
        E::from_data(event_type, data)
            .map_err(|why| self.undecodable(revision, format!("it is no {event_type}: {why}")))
    }
}

/// The value of the last header of that name.
pub(super) fn header<'a>(event: &'a v1::StreamEvent, name: &str) -> Option<&'a Bytes> {
    let mut headers = event.headers.iter().rev();
    headers.find(|header| header.name == name)?.value.as_ref()
}

/// The header with the type of an event.
const TYPE: &str = "ce_type";

const CONTENT_TYPE: &str = "content-type";

/// How the content type of a record begins whose value is the whole event.
const STRUCTURED: &[u8] = b"application/cloudevents";
