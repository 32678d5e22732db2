//! `highwater events replay`: a stream is followed, and its state is seen to build up.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - It ends at the stream's end as it was at the start: who appends meanwhile does not keep it.
//! - It only looks: no group, no commit, no effect outside.
//! - What an event says never moves the cursor of a terminal.

use highwater_client::{Client, EventId};
use serde::Serialize;
use serde_json::Value;

use super::document::{Change, Document, Step};
use super::nothing;
use crate::cli::args::StreamArgs;
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::output::Output;
use crate::cli::streams::Stream;
use crate::cli::table::{cell, visible};
use crate::cli::told::{PrintedData, Said, Told};

/// One event as JSON, and the state behind it.
#[derive(Debug, Serialize)]
struct Replayed<'a> {
    /// For who pipes it into a handler: nothing of this happens now.
    replay: bool,
    revision: Option<u64>,
    partition: i32,
    offset: i64,
    timestamp: i64,
    #[serde(rename = "type")]
    event_type: Option<&'a str>,
    id: Option<&'a str>,
    data: PrintedData<'a>,
    deleted: bool,
    changes: &'a [Change],
    state: Option<&'a Value>,
}

/// Follows a stream up to a moment.
pub(super) async fn replay(
    client: &Client,
    args: &StreamArgs,
    as_of: Option<Moment>,
    json: bool,
) -> Result<(), Failure> {
    let mut stream = Stream::open(client, args, as_of).await?;
    let mut out = Output::new();
    let mut document = Document::default();
    let mut last: Option<String> = None;
    loop {
        let page = stream.next().await?;
        if page.is_empty() {
            break;
        }
        for told in page {
            let said = told.said();
            let step = document.follow(said.data(&told));
            match json {
                true => print_json(&mut out, (&told, &said), &step, &document)?,
                false => out.bytes(text(&told, &said, &step).as_bytes())?,
            }
            last = Some(told.revision());
        }
        out.flush()?;
    }
    let last = last.ok_or_else(|| nothing(args, as_of))?;
    if !json {
        out.bytes(state(&last, document.state.as_ref()).as_bytes())?;
    }
    out.flush()
}

fn print_json(
    out: &mut Output,
    (told, said): (&Told, &Said),
    step: &Step,
    document: &Document,
) -> Result<(), Failure> {
    let changes: &[Change] = match step {
        Step::Changed(changes) => changes,
        Step::Deleted | Step::Opaque { .. } => &[],
    };
    out.json(&Replayed {
        replay: true,
        revision: told.revision,
        partition: told.record.partition,
        offset: told.record.offset,
        timestamp: told.record.timestamp,
        event_type: said.event_type.as_deref(),
        id: said.id.as_ref().map(EventId::as_str),
        data: PrintedData::of(said.data(told)),
        deleted: *step == Step::Deleted,
        changes,
        state: document.state.as_ref(),
    })
}

/// An event, and below it what it changed.
fn text(told: &Told, said: &Said, step: &Step) -> String {
    let (revision, time) = (told.revision(), told.time());
    let event_type = cell(said.event_type(), VALUE_MAX);
    let mut text = format!("{revision:>4}  {time}  {event_type}\n");
    match step {
        Step::Deleted => text.push_str("      - deleted\n"),
        Step::Opaque { bytes } => text.push_str(&format!("      {bytes} bytes, no JSON\n")),
        Step::Changed(changes) if changes.is_empty() => text.push_str("      nothing changed\n"),
        Step::Changed(changes) => changes.iter().for_each(|it| text.push_str(&line(it))),
    }
    text
}

fn line(change: &Change) -> String {
    let shown = |value: &Value| cell(&value.to_string(), VALUE_MAX);
    let path = match change.path.as_str() {
        "" => "all".to_owned(),
        path => cell(path, VALUE_MAX),
    };
    let after = shown(&change.after);
    match &change.before {
        None => format!("      + {path}  {after}\n"),
        Some(before) => format!("      ~ {path}  {} -> {after}\n", shown(before)),
    }
}

/// What all events gave.
fn state(last: &str, state: Option<&Value>) -> String {
    let pretty = match state {
        None => "nothing".to_owned(),
        Some(state) => format!("{state:#}"),
    };
    let plain = |line: &str| line.chars().flat_map(visible).collect::<String>();
    let lines: Vec<String> = pretty.lines().map(plain).collect();
    format!("\nthe state as of revision {last}:\n{}\n", lines.join("\n"))
}

/// What a value is shown of at most, in characters.
const VALUE_MAX: usize = 60;
