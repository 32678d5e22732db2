//! A dead letter, for people and as JSON.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - What a record or an error says never moves the cursor of a terminal.

use highwater_client::{DeadLetter, EventTime, LetterTopic, StoredLetter};
use serde::Serialize;

use crate::cli::args::LetterPlace;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::printed::{Data, PrintedHeader};
use crate::cli::table::{Side, Table, cell, visible};
use crate::cli::topic::named;

/// Prints a letter.
pub(super) async fn show(
    letters: &LetterTopic,
    topic: &str,
    at: LetterPlace,
    json: bool,
) -> Result<(), Failure> {
    let found = letters.show(at.partition, at.offset).await;
    let Some(found) = found.map_err(|error| named(topic, error))? else {
        return Err(Failure::Failed(format!(
            "topic {topic}: there is no record at {at}"
        )));
    };
    match json {
        true => output::json(&Letter::of(&found)),
        false => output::text(&page(&found)),
    }
}

/// Letters, one a row.
pub(super) fn table(letters: &[StoredLetter]) -> Table {
    let (left, right) = (Side::Left, Side::Right);
    let mut table = Table::new([
        ("AT", left),
        ("STORED", left),
        ("FROM", left),
        ("KEY", left),
        ("CLASS", left),
        ("TRIES", right),
        ("ERROR", left),
    ]);
    for it in letters {
        let DeadLetter {
            message,
            error,
            class,
            attempts,
            ..
        } = &it.letter;
        let said = if message.is_empty() { error } else { message };
        table.row([
            place(it).to_string(),
            time(it.stored_at),
            cell(&origin(&it.letter), NAME_MAX),
            key(&it.letter),
            cell(class.as_deref().unwrap_or("-"), NAME_MAX),
            attempts.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            cell(said, MESSAGE_MAX),
        ]);
    }
    table
}

fn key(letter: &DeadLetter) -> String {
    match Data::of(letter.key.as_ref()) {
        Data::Null => "-".to_owned(),
        Data::Text(text) => cell(text, KEY_MAX),
        binary @ Data::Binary(_) => cell(&binary.to_string(), KEY_MAX),
    }
}

/// Everything about a letter, one thing a line.
fn page(stored: &StoredLetter) -> String {
    let letter = &stored.letter;
    let when = |time: &Option<EventTime>| {
        let text = time.as_ref().map(ToString::to_string);
        text.unwrap_or_else(|| "-".to_owned())
    };
    let or_dash = |text: &str| match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    let attempts = letter.attempts.map(|count| count.to_string());
    let mut rows = vec![
        ("at", place(stored).to_string()),
        ("stored", time(stored.stored_at)),
        ("from", origin(letter)),
        ("written", written(letter)),
        (
            "group",
            or_dash(letter.group.as_deref().unwrap_or_default()),
        ),
        (
            "class",
            or_dash(letter.class.as_deref().unwrap_or_default()),
        ),
        ("attempts", or_dash(&attempts.unwrap_or_default())),
        ("sent back", letter.redrives.to_string()),
        ("failed", when(&letter.first_failed_at)),
        ("last", when(&letter.last_failed_at)),
        ("error", or_dash(&letter.error)),
        ("message", or_dash(&letter.message)),
        ("stack", or_dash(&letter.stack)),
    ];
    if letter.is_left_out {
        rows.push((
            "record",
            "too large to be kept: only its origin has it".to_owned(),
        ));
    } else {
        rows.push(("key", Data::of(letter.key.as_ref()).to_string()));
        rows.push(("value", Data::of(letter.value.as_ref()).to_string()));
        rows.extend(letter.headers.iter().map(|header| {
            let PrintedHeader { key, value } = header.into();
            ("header", format!("{key}: {value}"))
        }));
    }
    let row = |(name, text): (&str, String)| {
        let lines: Vec<String> = text
            .lines()
            .map(|it| it.chars().flat_map(visible).collect())
            .collect();
        format!("{name:<10} {}\n", lines.join("\n           "))
    };
    rows.into_iter().map(row).collect()
}

fn written(letter: &DeadLetter) -> String {
    let time = time(letter.timestamp);
    match letter.timestamp_type.as_str() {
        "" => time,
        kind => format!("{time} ({kind})"),
    }
}

/// Where a letter lies.
pub(super) const fn place(stored: &StoredLetter) -> LetterPlace {
    LetterPlace {
        partition: stored.partition,
        offset: stored.offset,
    }
}

fn origin(letter: &DeadLetter) -> String {
    let (topic, partition, offset) = (&letter.topic, letter.partition, letter.offset);
    format!("{topic}-{partition}@{offset}")
}

fn time(ms: i64) -> String {
    EventTime::from_ms(ms).to_string()
}

/// A letter as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Letter<'a> {
    partition: i32,
    offset: i64,
    stored_at: i64,
    source: Source<'a>,
    group: Option<&'a str>,
    class: Option<&'a str>,
    attempts: Option<u32>,
    redrives: u32,
    first_failed_at: Option<String>,
    last_failed_at: Option<String>,
    error: Error<'a>,
    /// Key, value and headers were too large to be kept.
    left_out: bool,
    key: Data<'a>,
    value: Data<'a>,
    headers: Vec<PrintedHeader<'a>>,
}

/// Where a record came from, as JSON.
#[derive(Debug, Serialize)]
struct Source<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'a str,
}

/// Why it was not handled, as JSON.
#[derive(Debug, Serialize)]
struct Error<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
    stack: &'a str,
}

impl<'a> Letter<'a> {
    pub(super) fn of(stored: &'a StoredLetter) -> Self {
        let letter = &stored.letter;
        let time = |time: &Option<EventTime>| time.as_ref().map(ToString::to_string);
        Self {
            partition: stored.partition,
            offset: stored.offset,
            stored_at: stored.stored_at,
            source: Source {
                topic: &letter.topic,
                partition: letter.partition,
                offset: letter.offset,
                timestamp: letter.timestamp,
                timestamp_type: &letter.timestamp_type,
            },
            group: letter.group.as_deref(),
            class: letter.class.as_deref(),
            attempts: letter.attempts,
            redrives: letter.redrives,
            first_failed_at: time(&letter.first_failed_at),
            last_failed_at: time(&letter.last_failed_at),
            error: Error {
                kind: &letter.error,
                message: &letter.message,
                stack: &letter.stack,
            },
            left_out: letter.is_left_out,
            key: Data::of(letter.key.as_ref()),
            value: Data::of(letter.value.as_ref()),
            headers: letter.headers.iter().map(PrintedHeader::from).collect(),
        }
    }
}

/// What a column of a table shows at most, in characters.
const NAME_MAX: usize = 60;
const KEY_MAX: usize = 30;
const MESSAGE_MAX: usize = 70;
