//! The story of a topic in which an expected record did not come.
//!
//! Invariants
//! - It is finite: only the last records are told, and long texts are clipped.

use std::fmt::Write;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_client::ConsumerRecord;

use crate::testing::expect::Expectation;
use crate::testing::tail::Tail;

/// What was expected, and what is there instead.
pub(super) fn told(
    expected: &Expectation<'_>,
    wait: Duration,
    broker: Option<&Broker>,
    tail: &Tail,
) -> String {
    let mut story = headline(expected, wait);
    match broker {
        None => story.push_str("\nThe broker is down."),
        Some(broker) if !tail.is_there() => no_topic(&mut story, expected.topic(), broker),
        Some(_) if tail.records.is_empty() => story.push_str("\nThe topic holds no record."),
        Some(_) => records(&mut story, expected, &tail.records),
    }
    for trouble in &tail.troubles {
        let _ = write!(story, "\nNot everything could be read: {trouble}");
    }
    for fault in expected.broker().faults().all() {
        let _ = write!(story, "\nScripted fault: {fault}");
    }
    story
}

fn headline(expected: &Expectation<'_>, wait: Duration) -> String {
    let topic = expected.topic();
    let conditions: Vec<String> = (expected.conditions().iter())
        .map(ToString::to_string)
        .collect();
    if conditions.is_empty() {
        return format!("no record came to {topic:?} within {wait:?}");
    }
    let conditions = conditions.join(", ");
    format!("no record of {topic:?} fits ({conditions}) within {wait:?}")
}

fn no_topic(story: &mut String, topic: &str, broker: &Broker) {
    let (partitions, _) = broker.service().partitions_overview(TOPICS_MAX);
    let mut names: Vec<String> = (partitions.into_iter())
        .map(|partition| partition.topic)
        .filter(|name| !name.starts_with("__"))
        .collect();
    names.dedup();
    let _ = match names.as_slice() {
        [] => write!(story, "\nThere is no topic {topic:?}, and no other."),
        names => write!(story, "\nThere is no topic {topic:?}; there are {names:?}."),
    };
}

fn records(story: &mut String, expected: &Expectation<'_>, records: &[ConsumerRecord]) {
    let mut records: Vec<&ConsumerRecord> = records.iter().collect();
    // As it happened: partitions have no order among each other but that of time.
    records.sort_by_key(|record| (record.timestamp, record.partition, record.offset));
    let told = records.split_off(records.len().saturating_sub(RECORDS_MAX));
    let _ = match records.len() {
        0 => write!(story, "\nThe topic holds {}:", told.len()),
        left_out => write!(story, "\nThe topic holds {} more, and then:", left_out),
    };
    let now_ms = expected.broker().now_ms();
    let head = [
        "partition",
        "offset",
        "age",
        "key",
        "value",
        "what it lacks",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(told.into_iter().map(|record| {
        [
            record.partition.to_string(),
            record.offset.to_string(),
            age(now_ms, record.timestamp),
            shown(record.key.as_deref()),
            shown(record.value.as_deref()),
            expected.misses(record).join(", "),
        ]
    }));
    table(story, &rows);
}

/// Columns as wide as their widest cell; numbers stand at the right.
fn table<const N: usize>(story: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in rows {
        story.push_str("\n ");
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = match (column < NUMBERS, column + 1 == N) {
                (true, _) => write!(story, " {cell:>width$} "),
                (false, true) => write!(story, " {cell}"),
                (false, false) => write!(story, " {cell:<width$} "),
            };
        }
    }
}

fn age(now_ms: i64, timestamp_ms: i64) -> String {
    match u64::try_from(now_ms.saturating_sub(timestamp_ms)) {
        Ok(0) => "0s".to_owned(),
        Ok(ms) => format!("{:?}", Duration::from_millis(ms)),
        Err(_) => "in the future".to_owned(),
    }
}

/// Bytes for people: as text where they are text.
pub(super) fn shown(bytes: Option<&[u8]>) -> String {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => "-".to_owned(),
        Some(([], _)) => "(empty)".to_owned(),
        Some((_, Ok(text))) => {
            let mut plain = String::with_capacity(text.len());
            for char in text.chars() {
                match char.is_control() {
                    true => plain.extend(char.escape_default()),
                    false => plain.push(char),
                }
            }
            clipped(plain)
        }
        Some((bytes, Err(_))) => {
            let mut text = format!("{} bytes 0x", bytes.len());
            for byte in bytes.iter().take(TEXT_CHARS_MAX / 2) {
                let _ = write!(text, "{byte:02x}");
            }
            clipped(text)
        }
    }
}

pub(super) fn clipped(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Records that are told, the last ones.
const RECORDS_MAX: usize = 50;
/// Partitions whose topics are named.
const TOPICS_MAX: usize = 1_000;
/// Of a key, a value or a header.
const TEXT_CHARS_MAX: usize = 60;
/// The columns that hold numbers come first.
const NUMBERS: usize = 3;
