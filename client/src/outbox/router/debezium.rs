//! Rows for Debezium's outbox event router: its properties, and what it makes of a row.
//!
//! Floor 6 of client. Pure. Standard: Debezium's documentation of the outbox event router, 3.x.
//!
//! Invariants
//! - A property that is not known is refused: none is left out in silence.
//! - Nothing becomes a tombstone unless it was asked for.

use regex_lite::Regex;

use crate::outbox::error::OutboxError;
use crate::outbox::json;
use crate::record::{Header, Record};
use crate::sql::{SqlRow, SqlValue};
use crate::trace::TraceContext;

#[derive(Clone, Debug)]
pub(super) struct Debezium {
    columns: Vec<String>,
    /// Places of columns.
    id: usize,
    key: usize,
    payload: usize,
    route: usize,
    timestamp: Option<usize>,
    tracing: Option<usize>,
    placements: Vec<Placement>,
    regex: Regex,
    replacement: String,
    empty: Empty,
    payloads: Payloads,
}

/// Where a further column goes.
#[derive(Clone, Debug)]
struct Placement {
    column: usize,
    place: Place,
    alias: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header,
    Envelope,
    Partition,
}

/// What becomes of a payload that is null or blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Empty {
    Kept,
    Tombstone,
}

/// What a payload is inside of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payloads {
    Text,
    Json,
}

impl Debezium {
    pub(super) fn new<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, OutboxError> {
        let mut named = Named::default();
        for (name, value) in properties {
            named.set(name.as_ref(), value.as_ref().trim())?;
        }
        named.router()
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn lane<'a>(&self, values: &'a SqlRow) -> (&'a SqlValue, &'a SqlValue) {
        (values.value(self.route), values.value(self.key))
    }

    pub(super) fn record(&self, values: &SqlRow) -> Result<Record, String> {
        let topic = self.topic(super::text_of(
            values.value(self.route),
            &self.columns[self.route],
        )?)?;
        let id = super::id_of(values.value(self.id), &self.columns[self.id])?;
        let mut record = Record::to(topic).header("id", id.as_str().to_owned());
        record.key = super::bytes_of(values.value(self.key));
        if let Some(column) = self.timestamp {
            record.timestamp = timestamp(values.value(column), &self.columns[column])?;
        }
        for placement in &self.placements {
            let (value, column) = (values.value(placement.column), placement.column);
            match placement.place {
                Place::Header => record.headers.push(Header {
                    key: placement.alias.clone(),
                    value: super::bytes_of(value),
                }),
                Place::Partition => {
                    record.partition = super::partition_of(value, &self.columns[column])?;
                }
                Place::Envelope => {}
            }
        }
        record.value = self.value(values)?;
        Ok(match self.context(values) {
            Some(context) => record.trace(&context),
            None => record,
        })
    }

    fn topic(&self, routed_by: &str) -> Result<String, String> {
        let Some(found) = self.regex.captures(routed_by) else {
            // As Kafka Connect's own router: what does not match stays as it is.
            return Ok(routed_by.to_owned());
        };
        let mut topic = String::new();
        let mut rest = self.replacement.chars();
        while let Some(character) = rest.next() {
            match character {
                '\\' => topic.extend(rest.next()),
                '$' => {
                    let (group, behind) = group(rest.as_str(), found.len())
                        .ok_or_else(|| self.no_group(rest.as_str()))?;
                    let text = match group.parse() {
                        Ok(number) => found.get(number),
                        Err(_) => found.name(group),
                    };
                    topic.push_str(text.map_or("", |it| it.as_str()));
                    rest = behind.chars();
                }
                other => topic.push(other),
            }
        }
        Ok(topic)
    }

    fn no_group(&self, rest: &str) -> String {
        format!("route.topic.replacement names a group that is none: ${rest}")
    }

    /// The payload as it is stored, or an object that has it beside further columns.
    fn value(&self, values: &SqlRow) -> Result<Option<bytes::Bytes>, String> {
        let payload = values.value(self.payload);
        let is_blank = match payload {
            SqlValue::Null => true,
            SqlValue::Text(text) => text.trim().is_empty(),
            SqlValue::Bytes(bytes) => bytes.trim_ascii().is_empty(),
            SqlValue::Integer(_) => false,
        };
        if is_blank && self.empty == Empty::Tombstone {
            return Ok(None);
        }
        let mut inside = self
            .placements
            .iter()
            .filter(|it| it.place == Place::Envelope)
            .peekable();
        if inside.peek().is_none() {
            return Ok(Some(super::bytes_of(payload).unwrap_or_default()));
        }
        let mut object = String::from("{\"payload\":");
        self.push_payload(&mut object, payload)?;
        for placement in inside {
            object.push(',');
            json::write_text(&mut object, &placement.alias);
            object.push(':');
            push_value(
                &mut object,
                values.value(placement.column),
                &self.columns[placement.column],
            )?;
        }
        object.push('}');
        Ok(Some(object.into()))
    }

    fn push_payload(&self, object: &mut String, payload: &SqlValue) -> Result<(), String> {
        let column = &self.columns[self.payload];
        if self.payloads == Payloads::Json
            && let Ok(text) = super::text_of(payload, column)
            && text.starts_with(['{', '['])
            && json::is_valid(text)
        {
            object.push_str(text);
            return Ok(());
        }
        push_value(object, payload, column)
    }

    /// The trace that the tracing column tells of, as properties of Java or as a `traceparent`.
    fn context(&self, values: &SqlRow) -> Option<TraceContext> {
        let text = super::shown(values.value(self.tracing?))?;
        let property = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        let parent = property("traceparent").unwrap_or_else(|| text.trim().to_owned());
        TraceContext::parse(
            parent.as_bytes(),
            property("tracestate").as_deref().map(str::as_bytes),
        )
    }
}

/// A value inside of JSON.
fn push_value(object: &mut String, value: &SqlValue, column: &str) -> Result<(), String> {
    match value {
        SqlValue::Null => object.push_str("null"),
        SqlValue::Integer(number) => object.push_str(&number.to_string()),
        value => json::write_text(object, super::text_of(value, column)?),
    }
    Ok(())
}

/// The group at the start of what stands behind a `$`, by Java's rules, and what follows it.
fn group(text: &str, count: usize) -> Option<(&str, &str)> {
    if let Some(named) = text.strip_prefix('{') {
        return named.split_once('}');
    }
    // As many digits as make a group that is there.
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let is_there = |end: &usize| text[..*end].parse::<usize>().is_ok_and(|it| it < count);
    let end = (1..=digits).take_while(is_there).last()?;
    Some(text.split_at(end))
}

/// Milliseconds since 1970: as a number, or as the text of a timestamp.
fn timestamp(value: &SqlValue, column: &str) -> Result<Option<i64>, String> {
    let text = match value {
        SqlValue::Null => return Ok(None),
        SqlValue::Integer(ms) => return Ok(Some(*ms)),
        value => super::text_of(value, column)?,
    };
    // Databases leave out what RFC 3339 asks for: the T, the minutes of the zone, or all of it.
    let mut rfc = text.trim().replacen(' ', "T", 1);
    let time_at = rfc.find('T').unwrap_or(rfc.len());
    match rfc[time_at..].find(['Z', 'z', '+', '-']) {
        None => rfc.push('Z'),
        Some(at) if rfc.len() - (time_at + at) == 3 => rfc.push_str(":00"),
        Some(_) => {}
    }
    match rfc.parse::<crate::envelope::EventTime>() {
        Ok(time) => Ok(Some(time.ms())),
        Err(why) => Err(format!("its {column} {text:?} cannot be read: {why}")),
    }
}

/// The properties by their meaning.
struct Named {
    id: String,
    key: String,
    payload: String,
    route: String,
    timestamp: Option<String>,
    tracing: Option<String>,
    placements: String,
    regex: String,
    replacement: String,
    empty: Empty,
    payloads: Payloads,
}

impl Default for Named {
    fn default() -> Self {
        Self {
            id: "id".to_owned(),
            key: "aggregateid".to_owned(),
            payload: "payload".to_owned(),
            route: "aggregatetype".to_owned(),
            timestamp: None,
            tracing: None,
            placements: String::new(),
            regex: "(?<routedByValue>.*)".to_owned(),
            replacement: "outbox.event.${routedByValue}".to_owned(),
            empty: Empty::Kept,
            payloads: Payloads::Text,
        }
    }
}

impl Named {
    fn set(&mut self, name: &str, value: &str) -> Result<(), OutboxError> {
        match name {
            "table.field.event.id" => value.clone_into(&mut self.id),
            // The older name of the key's column, too.
            "table.field.event.key" | "table.field.payload.id" => value.clone_into(&mut self.key),
            "table.field.event.payload" | "table.field.payload" => {
                value.clone_into(&mut self.payload);
            }
            "table.field.event.timestamp" => self.timestamp = Some(value.to_owned()),
            "table.fields.additional.placement" => value.clone_into(&mut self.placements),
            "route.by.field" => value.clone_into(&mut self.route),
            "route.topic.regex" => value.clone_into(&mut self.regex),
            "route.topic.replacement" => value.clone_into(&mut self.replacement),
            "route.tombstone.on.empty.payload" => {
                self.empty = match truth(name, value)? {
                    true => Empty::Tombstone,
                    false => Empty::Kept,
                };
            }
            "table.expand.json.payload" => {
                self.payloads = match truth(name, value)? {
                    true => Payloads::Json,
                    false => Payloads::Text,
                };
            }
            "tracing.span.context.field" => self.tracing = Some(value.to_owned()),
            "table.fields.additional.error.on.missing" if truth(name, value)? => {}
            // Of updates, of Connect's schemas and of spans: nothing that a relay does.
            "table.op.invalid.behavior"
            | "debezium.op.invalid.behavior"
            | "table.field.event.type"
            | "table.field.event.schema.version"
            | "table.field.schema.version"
            | "table.json.payload.null.behavior"
            | "tracing.operation.name"
            | "tracing.with.context.field.only" => {}
            _ => {
                return Err(OutboxError::Invalid(format!(
                    "{name}={value} is no property of the outbox event router that is known here"
                )));
            }
        }
        Ok(())
    }

    fn router(self) -> Result<Debezium, OutboxError> {
        let invalid = |why: String| Err(OutboxError::Invalid(why));
        // The whole value has to match, as in Java.
        let Ok(regex) = Regex::new(&format!("^(?:{})$", self.regex)) else {
            return invalid(format!("route.topic.regex={} is no expression", self.regex));
        };
        let mut columns = Vec::new();
        let mut place = |column: &str| {
            let known = columns.iter().position(|it| it == column);
            known.unwrap_or_else(|| {
                columns.push(column.to_owned());
                columns.len() - 1
            })
        };
        let (id, key) = (place(&self.id), place(&self.key));
        let (payload, route) = (place(&self.payload), place(&self.route));
        let (timestamp, tracing) = (self.timestamp.as_deref(), self.tracing.as_deref());
        let (timestamp, tracing) = (timestamp.map(&mut place), tracing.map(&mut place));
        let mut placements = Vec::new();
        for text in self
            .placements
            .split(',')
            .map(str::trim)
            .filter(|it| !it.is_empty())
        {
            let parts: Vec<&str> = text.split(':').map(str::trim).collect();
            let (column, kind, alias) = match parts[..] {
                [column, kind] => (column, kind, column),
                [column, kind, alias] => (column, kind, alias),
                _ => return invalid(no_placement(text)),
            };
            let kind = match kind.to_ascii_lowercase().as_str() {
                "header" => Place::Header,
                "envelope" => Place::Envelope,
                "partition" => Place::Partition,
                _ => return invalid(no_placement(text)),
            };
            placements.push(Placement {
                column: place(column),
                place: kind,
                alias: alias.to_owned(),
            });
        }
        let router = Debezium {
            columns,
            id,
            key,
            payload,
            route,
            timestamp,
            tracing,
            placements,
            regex,
            replacement: self.replacement,
            empty: self.empty,
            payloads: self.payloads,
        };
        // A replacement that cannot be right is found now, not by the first row.
        router.check_replacement().map_err(OutboxError::Invalid)?;
        Ok(router)
    }
}

impl Debezium {
    fn check_replacement(&self) -> Result<(), String> {
        let names: Vec<&str> = self.regex.capture_names().flatten().collect();
        let count = self.regex.captures_len();
        let mut rest = self.replacement.chars();
        while let Some(character) = rest.next() {
            match character {
                '\\' => drop(rest.next()),
                '$' => {
                    let found = group(rest.as_str(), count);
                    let found = found.filter(|(it, _)| {
                        names.contains(it) || it.parse::<usize>().is_ok_and(|it| it < count)
                    });
                    let (_, behind) = found.ok_or_else(|| self.no_group(rest.as_str()))?;
                    rest = behind.chars();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn truth(name: &str, value: &str) -> Result<bool, OutboxError> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(OutboxError::Invalid(format!(
            "{name}={value} has to be true or false"
        ))),
    }
}

fn no_placement(text: &str) -> String {
    format!(
        "table.fields.additional.placement has {text:?}, which is not column:header, \
         column:envelope or column:partition, with :alias behind it if it is to be called otherwise"
    )
}
