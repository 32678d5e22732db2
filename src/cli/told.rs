//! A record that tells of an event: what its envelope says, as far as it has one.
//!
//! Floor 1 of cli.
//!
//! Invariants
//! - Any record can be told: what has no envelope has no type and no id, which is no failure.

use bytes::Bytes;
use highwater_client::{ConsumerRecord, EventId, EventTime};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::printed::{Data, PrintedHeader};

/// A record, and its place in its stream, where that is known.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) record: ConsumerRecord,
    pub(crate) revision: Option<u64>,
}

/// What an envelope says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) event_type: Option<String>,
    pub(crate) id: Option<EventId>,
    pub(crate) source: Option<String>,
    pub(crate) correlation: Option<String>,
    pub(crate) causation: Option<String>,
    /// The data, where the value is the whole event.
    inner: Option<Bytes>,
}

impl Told {
    /// What its envelope says.
    pub(crate) fn said(&self) -> Said {
        let record = &self.record;
        if let Ok(mut event) = record.event() {
            return Said {
                correlation: event.extensions.remove(CORRELATION),
                causation: event.extensions.remove(CAUSATION),
                event_type: Some(event.event_type),
                id: Some(event.id),
                source: Some(event.source),
                inner: event.data.filter(|_| is_structured(record)),
            };
        }
        let header = |name: &str| text(record, name).map(str::to_owned);
        Said {
            event_type: header("ce_type"),
            id: record.event_id().ok(),
            source: header("ce_source"),
            correlation: header(CE_CORRELATION),
            causation: header("ce_causationid"),
            inner: None,
        }
    }

    /// When it was stored, or sent, as the topic has it.
    pub(crate) fn time(&self) -> String {
        EventTime::from_ms(self.record.timestamp).to_string()
    }

    /// Its revision, if that is known.
    pub(crate) fn revision(&self) -> String {
        let revision = self.revision.map(|revision| revision.to_string());
        revision.unwrap_or_else(|| "-".to_owned())
    }

    /// How many bytes of others it keeps.
    pub(crate) fn bytes(&self) -> usize {
        let of = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.record.headers.iter();
        let headers: usize = headers.map(|it| it.key.len() + of(&it.value)).sum();
        of(&self.record.key) + of(&self.record.value) + headers
    }

    /// The same without a share in the batch that it was read from, which is larger.
    pub(crate) fn alone(mut self) -> Self {
        let alone = |bytes: &mut Option<Bytes>| {
            *bytes = bytes.as_deref().map(Bytes::copy_from_slice);
        };
        let record = &mut self.record;
        alone(&mut record.key);
        alone(&mut record.value);
        for header in &mut record.headers {
            alone(&mut header.value);
        }
        self
    }
}

impl Said {
    /// The data: the record's value, but for the envelope that may be in it.
    pub(crate) fn data<'a>(&'a self, told: &'a Told) -> Option<&'a Bytes> {
        self.inner.as_ref().or(told.record.value.as_ref())
    }

    pub(crate) fn event_type(&self) -> &str {
        self.event_type.as_deref().unwrap_or("-")
    }

    pub(crate) fn id(&self) -> &str {
        self.id.as_ref().map_or("-", EventId::as_str)
    }
}

/// Whether an event belongs to what has this id: by its correlation id, or as the event with which
/// it began.
pub(crate) fn belongs(record: &ConsumerRecord, wanted: &EventId) -> bool {
    let is_wanted = |text: &str| EventId::from(text) == *wanted;
    if is_structured(record) {
        return record.event().is_ok_and(|event| {
            let correlation = event.extensions.get(CORRELATION);
            event.id == *wanted || correlation.is_some_and(|it| is_wanted(it))
        });
    }
    text(record, CE_CORRELATION).is_some_and(is_wanted)
        || record.event_id().is_ok_and(|id| id == *wanted)
}

/// Whether a record is a state that an event store has written down: nothing that happened.
pub(crate) fn is_snapshot(record: &ConsumerRecord) -> bool {
    record.headers.iter().any(|it| it.key == SNAPSHOT)
}

/// An event as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct PrintedEvent<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    revision: Option<u64>,
    timestamp: i64,
    key: Data<'a>,
    #[serde(rename = "type")]
    event_type: Option<&'a str>,
    id: Option<&'a str>,
    source: Option<&'a str>,
    correlation: Option<&'a str>,
    causation: Option<&'a str>,
    data: PrintedData<'a>,
    headers: Vec<PrintedHeader<'a>>,
}

impl<'a> PrintedEvent<'a> {
    pub(crate) fn of(told: &'a Told, said: &'a Said) -> Self {
        let record = &told.record;
        Self {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            revision: told.revision,
            timestamp: record.timestamp,
            key: Data::of(record.key.as_ref()),
            event_type: said.event_type.as_deref(),
            id: said.id.as_ref().map(EventId::as_str),
            source: said.source.as_deref(),
            correlation: said.correlation.as_deref(),
            causation: said.causation.as_deref(),
            data: PrintedData::of(said.data(told)),
            headers: record.headers.iter().map(PrintedHeader::from).collect(),
        }
    }
}

/// Data of an event: an object or an array as it is, everything else as other values are printed.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PrintedData<'a> {
    Json(Box<RawValue>),
    Other(Data<'a>),
}

impl<'a> PrintedData<'a> {
    pub(crate) fn of(data: Option<&'a Bytes>) -> Self {
        let text = data.and_then(|data| std::str::from_utf8(data).ok());
        let is_whole = |text: &&str| text.trim_start().starts_with(['{', '[']);
        // Between its tokens alone can JSON have a line's end.
        let line = text
            .filter(is_whole)
            .map(|it| it.replace(['\n', '\r'], " "));
        match line.and_then(|line| RawValue::from_string(line).ok()) {
            Some(json) => Self::Json(json),
            None => Self::Other(Data::of(data)),
        }
    }
}

/// The text of the last header of that name.
fn text<'a>(record: &'a ConsumerRecord, name: &str) -> Option<&'a str> {
    let mut headers = record.headers.iter().rev();
    let value = headers.find(|it| it.key == name)?.value.as_ref()?;
    std::str::from_utf8(value).ok()
}

fn is_structured(record: &ConsumerRecord) -> bool {
    let start = text(record, "content-type").and_then(|it| it.get(..STRUCTURED.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(STRUCTURED))
}

const CORRELATION: &str = "correlationid";
const CAUSATION: &str = "causationid";
const CE_CORRELATION: &str = "ce_correlationid";
/// A header that every snapshot has.
const SNAPSHOT: &str = "es-snapshot-schema";
const STRUCTURED: &str = "application/cloudevents";

#[cfg(test)]
mod tests {
    use highwater_client::Header;

    use super::*;

    fn told(headers: &[(&str, &str)], value: &'static str) -> Told {
        let header = |(key, value): &(&str, &str)| Header {
            key: (*key).to_owned(),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
        };
        Told {
            record: ConsumerRecord {
                topic: "t".into(),
                partition: 0,
                offset: 7,
                timestamp: 1_000,
                key: Some(Bytes::from_static(b"k")),
                value: Some(Bytes::from_static(value.as_bytes())),
                headers: headers.iter().map(header).collect(),
            },
            revision: Some(3),
        }
    }

    #[test]
    fn any_record_is_told() {
        let plain = told(&[], "x");
        assert_eq!(plain.said(), Said::default());
        assert_eq!((plain.said().event_type(), plain.said().id()), ("-", "-"));
        // No whole envelope: what is there is told all the same.
        let half = told(&[("ce_type", "a.v1"), ("eventId", "e-1")], "x").said();
        assert_eq!((half.event_type(), half.id()), ("a.v1", "e-1"));
        let structured = told(
            &[("content-type", "Application/CloudEvents+json")],
            r#"{"specversion":"1.0","id":"e","source":"/s","type":"b.v1","correlationid":"c",
               "data":{"x":1}}"#,
        );
        let said = structured.said();
        assert_eq!((said.event_type(), said.id()), ("b.v1", "e"));
        assert_eq!(said.correlation.as_deref(), Some("c"));
        assert_eq!(
            said.data(&structured).map(|it| &it[..]),
            Some(&br#"{"x":1}"#[..])
        );
        for wanted in ["c", "e"] {
            assert!(belongs(&structured.record, &EventId::from(wanted)));
        }
        assert!(!belongs(&structured.record, &EventId::from("b.v1")));
    }

    #[test]
    fn what_belongs_together_is_found_however_its_uuid_is_written() {
        let uuid = "0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f";
        let wanted = EventId::from(uuid);
        let upper = uuid.to_uppercase();
        assert!(belongs(
            &told(&[("ce_correlationid", &upper)], "").record,
            &wanted
        ));
        assert!(belongs(&told(&[("ce_id", &upper)], "").record, &wanted));
        assert!(!belongs(
            &told(&[("ce_causationid", uuid)], "").record,
            &wanted
        ));
    }

    #[test]
    fn data_is_json_only_where_nothing_else_can_look_so() {
        let json = |value: &'static str| {
            let bytes = Bytes::from_static(value.as_bytes());
            serde_json::to_string(&PrintedData::of(Some(&bytes))).unwrap()
        };
        assert_eq!(
            json("{\"a\":\n12345678901234567890.10}"),
            "{\"a\": 12345678901234567890.10}"
        );
        assert_eq!(json("[1]"), "[1]");
        assert_eq!(json("7"), "\"7\"");
        assert_eq!(json("{no json"), "\"{no json\"");
    }
}
