//! A story, for people and as JSON.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - What an event says never moves the cursor of a terminal.

use serde::Serialize;

use super::causes::Placed;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::printed::Data;
use crate::cli::table::{Side, Table, cell};
use crate::cli::told::PrintedEvent;

/// An event as JSON.
#[derive(Debug, Serialize)]
struct PrintedPlace<'a> {
    /// Its place in the story, from 1.
    number: usize,
    /// That of its cause, if this is in the story.
    caused_by: Option<usize>,
    #[serde(flatten)]
    event: PrintedEvent<'a>,
}

/// Prints a story.
pub(super) fn print(story: &[Placed], json: bool) -> Result<(), Failure> {
    let mut out = Output::new();
    if json {
        for (index, placed) in story.iter().enumerate() {
            out.json(&PrintedPlace {
                number: index + 1,
                caused_by: placed.cause.map(|cause| cause + 1),
                event: PrintedEvent::of(&placed.told, &placed.said),
            })?;
        }
        return out.flush();
    }
    let (left, right) = (Side::Left, Side::Right);
    let mut table = Table::new([
        ("#", right),
        ("TIME", left),
        ("AT", left),
        ("KEY", left),
        ("EVENT", left),
        ("CAUSED BY", left),
        ("DATA", left),
    ]);
    for (index, placed) in story.iter().enumerate() {
        table.row(row(index, placed));
    }
    out.bytes(table.to_string().as_bytes())?;
    out.flush()
}

fn row(index: usize, placed: &Placed) -> [String; 7] {
    let Placed { told, said, .. } = placed;
    let record = &told.record;
    let topic = cell(&record.topic, NAME_MAX);
    let shown = |data: Data<'_>, max: usize| match data {
        Data::Null => "-".to_owned(),
        Data::Text(text) => cell(text, max),
        binary @ Data::Binary(_) => cell(&binary.to_string(), max),
    };
    // An effect stands below its cause, and so much to the right.
    let indent = "  ".repeat(placed.depth.min(DEPTH_MAX));
    let cause = match (placed.cause, &said.causation) {
        (Some(cause), _) => format!("#{}", cause + 1),
        (None, Some(id)) => cell(id, NAME_MAX),
        (None, None) => String::new(),
    };
    let data = match said.data(told) {
        None => "deleted".to_owned(),
        data => shown(Data::of(data), DATA_MAX),
    };
    [
        (index + 1).to_string(),
        told.time(),
        format!("{topic}-{}@{}", record.partition, record.offset),
        shown(Data::of(record.key.as_ref()), KEY_MAX),
        format!("{indent}{}", cell(said.event_type(), NAME_MAX)),
        cause,
        data,
    ]
}

/// What a column shows at most, in characters.
const NAME_MAX: usize = 60;
const KEY_MAX: usize = 30;
const DATA_MAX: usize = 70;
/// How far an effect moves to the right at most, in steps.
const DEPTH_MAX: usize = 8;
