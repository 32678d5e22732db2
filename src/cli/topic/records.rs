//! `highwater topic delete-records`: lets the oldest records go.
//!
//! Floor 5 of cli.

use std::collections::BTreeMap;

use highwater_client::Admin;
use serde::Serialize;

use super::named;
use crate::cli::failure::Failure;
use crate::cli::moment::From;
use crate::cli::output::Output;
use crate::cli::spans::{Place, resolve, spans};
use crate::cli::table::{Side, Table};

/// What became of one partition.
#[derive(Debug, Serialize)]
struct Deleted {
    partition: i32,
    /// The first offset that is left.
    start: i64,
    end: i64,
    deleted: i64,
}

/// Runs the command.
pub(super) async fn delete(
    admin: &Admin,
    topic: &str,
    (before, asked): (From, &[i32]),
    json: bool,
) -> Result<(), Failure> {
    let described = admin.describe_topic(topic).await;
    let count = described.map_err(|error| named(topic, error))?.partitions;
    if let Some(none) = asked.iter().find(|one| !(0..count).contains(*one)) {
        let last = count - 1;
        return Err(Failure::Failed(format!(
            "topic {topic} has the partitions 0 to {last}, but no partition {none}"
        )));
    }
    let is_asked = |place: &Place| asked.is_empty() || asked.contains(&place.partition);
    let places: Vec<Place> = Place::all(topic, count).filter(is_asked).collect();
    let spans = spans(admin, &places).await?;
    let targets: BTreeMap<Place, i64> = resolve(admin, &spans, before).await?;
    let mut rows = Vec::new();
    for (place, span) in &spans {
        let target = targets.get(place).copied().unwrap_or(span.start);
        let start = match target > span.start {
            true => {
                let deleted = admin.delete_records(topic, place.partition, target).await;
                deleted.map_err(|error| named(topic, error))?
            }
            false => span.start,
        };
        rows.push(Deleted {
            partition: place.partition,
            start,
            end: span.end,
            deleted: start - span.start,
        });
    }
    print(&rows, json)
}

fn print(rows: &[Deleted], json: bool) -> Result<(), Failure> {
    let mut out = Output::new();
    let right = Side::Right;
    let mut table = Table::new([
        ("PARTITION", right),
        ("DELETED", right),
        ("START", right),
        ("END", right),
    ]);
    for row in rows {
        if json {
            out.json(row)?;
            continue;
        }
        let numbers = [row.deleted, row.start, row.end].map(|number| number.to_string());
        let [deleted, start, end] = numbers;
        table.row([row.partition.to_string(), deleted, start, end]);
    }
    if !json {
        out.bytes(table.to_string().as_bytes())?;
    }
    out.flush()
}
