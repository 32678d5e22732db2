//! Rows that are events: how one is written into its columns, and read out of them.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - An event that was written is read back as the same event.

use std::collections::BTreeMap;

use highwater_proto::clock::Clock;

use crate::clock::SystemClock;
use crate::envelope::{Envelope, Event, EventId, EventTime};
use crate::outbox::error::OutboxError;
use crate::outbox::json;
use crate::record::{Header, Record};
use crate::sql::{SqlRow, SqlValue};
use crate::trace::TraceContext;

#[derive(Clone, Debug)]
pub(super) struct CloudEvents {
    envelope: Envelope,
}

pub(super) fn columns() -> Vec<String> {
    COLUMNS.map(str::to_owned).into()
}

pub(super) fn lane(values: &SqlRow) -> (&SqlValue, &SqlValue) {
    let key = match values.value(KEY) {
        // No key: see `key_text` of enqueue.
        SqlValue::Text(text) if text.is_empty() => &SqlValue::Null,
        key => key,
    };
    (values.value(TOPIC), key)
}

impl CloudEvents {
    pub(super) const fn new(envelope: Envelope) -> Self {
        Self { envelope }
    }

    pub(super) fn record(&self, values: &SqlRow) -> Result<Record, String> {
        let topic = super::text_of(values.value(TOPIC), COLUMNS[TOPIC])?;
        let (event, others) = event(values, topic)?;
        let record = self.envelope.record(topic, &event);
        let mut record = record.map_err(|why| why.to_string())?;
        record.partition = super::partition_of(values.value(PARTITION), COLUMNS[PARTITION])?;
        let state = others.iter().find(|it| it.key == TRACESTATE);
        let state = state.and_then(|it| it.value.clone());
        let plain = others.into_iter().filter(|it| it.key != TRACESTATE);
        record.headers.extend(plain);
        let parent = super::bytes_of(values.value(TRACE));
        let context = parent.and_then(|it| TraceContext::parse(&it, state.as_deref()));
        Ok(match context {
            Some(context) => record.trace(&context),
            None => record,
        })
    }
}

/// The event of a row, and the headers that are no part of it.
fn event(values: &SqlRow, topic: &str) -> Result<(Event, Vec<Header>), String> {
    let mut event = Event {
        id: super::id_of(values.value(ID), COLUMNS[ID])?,
        source: topic.to_owned(),
        event_type: super::text_of(values.value(TYPE), COLUMNS[TYPE])?.to_owned(),
        time: None,
        subject: None,
        dataschema: None,
        content_type: None,
        extensions: BTreeMap::new(),
        data: super::bytes_of(values.value(PAYLOAD)),
        key: super::bytes_of(lane(values).1),
    };
    let stored = match values.value(HEADERS) {
        SqlValue::Null => Vec::new(),
        headers => {
            let headers = super::text_of(headers, COLUMNS[HEADERS])?;
            json::read(headers)
                .map_err(|why| format!("its headers are no object of texts: {why}"))?
        }
    };
    let mut others = Vec::new();
    for (name, text) in stored {
        let value = text.clone();
        match (name.as_str(), text.filter(|text| !text.is_empty())) {
            (CONTENT_TYPE, text) => event.content_type = text,
            ("ce_id", Some(id)) => event.id = EventId::from(id),
            ("ce_source", Some(source)) => event.source = source,
            ("ce_time", Some(time)) => event.time = Some(read_time(&time)?),
            ("ce_subject", subject) => event.subject = subject,
            ("ce_dataschema", schema) => event.dataschema = schema,
            ("ce_id" | "ce_source" | "ce_time" | "ce_specversion" | "ce_type", _) => {}
            (name, _) => match (name.strip_prefix("ce_"), value) {
                (Some(name), Some(value)) => {
                    event.extensions.insert(name.to_owned(), value);
                }
                (Some(_), None) => {}
                (None, value) => others.push(Header {
                    key: name.to_owned(),
                    value: value.map(Into::into),
                }),
            },
        }
    }
    Ok((event, others))
}

fn read_time(text: &str) -> Result<EventTime, String> {
    let time = text.parse();
    time.map_err(|why| format!("its ce_time {text:?} cannot be read: {why}"))
}

/// What the column `headers` holds of an event: what has no column of its own.
pub(in crate::outbox) fn headers_of(
    event: &Event,
    has_own_id: bool,
    context: Option<&TraceContext>,
    others: &[(String, String)],
) -> Result<Vec<(String, String)>, OutboxError> {
    let mut headers = Vec::new();
    let mut add = |name: &str, text: Option<&str>| {
        headers.extend(text.map(|text| (name.to_owned(), text.to_owned())));
    };
    add("ce_id", has_own_id.then(|| event.id.as_str()));
    add("ce_source", Some(&event.source));
    add("ce_time", event.time.as_ref().map(EventTime::as_str));
    add("ce_subject", event.subject.as_deref());
    add("ce_dataschema", event.dataschema.as_deref());
    add(CONTENT_TYPE, event.content_type.as_deref());
    for (name, value) in &event.extensions {
        add(&format!("ce_{name}"), Some(value));
    }
    let state = context.map(TraceContext::state);
    add(TRACESTATE, state.filter(|state| !state.is_empty()));
    for (name, text) in others {
        let is_taken = name.is_empty()
            || name.starts_with("ce_")
            || [CONTENT_TYPE, TRACEPARENT, TRACESTATE].contains(&name.as_str())
            || headers.iter().any(|(it, _)| it == name);
        if is_taken || name.contains('\0') || text.contains('\0') {
            return Err(OutboxError::Invalid(format!(
                "the header {name:?} cannot go with the event {}: a name stands once, is none of \
                 the event's own, and neither it nor the text has a character 0",
                event.id
            )));
        }
        headers.push((name.clone(), text.clone()));
    }
    Ok(headers)
}

/// The id of a row whose event has an id that is no UUID.
pub(in crate::outbox) fn row_id() -> [u8; 16] {
    let id = EventId::v7(SystemClock::new().wall().0).uuid();
    id.expect("the id is a UUID")
}

const CONTENT_TYPE: &str = "content-type";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Places of the columns.
const ID: usize = 0;
const TOPIC: usize = 1;
const KEY: usize = 2;
const TYPE: usize = 3;
const PAYLOAD: usize = 4;
const HEADERS: usize = 5;
const PARTITION: usize = 6;
const TRACE: usize = 7;

const COLUMNS: [&str; 8] = [
    "id",
    "aggregatetype",
    "aggregateid",
    "type",
    "payload",
    "headers",
    "partition",
    "traceparent",
];
