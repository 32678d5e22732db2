//! `highwater topic describe`: partitions with offsets and sizes, and settings.
//!
//! Floor 5 of cli.

use std::collections::BTreeMap;

use highwater_client::{Admin, ClientError, ConfigEntry, TopicDescription};
use serde::Serialize;

use super::named;
use crate::cli::failure::Failure;
use crate::cli::numbers::{bytes, count};
use crate::cli::output;
use crate::cli::spans::{Place, Span, spans};
use crate::cli::table::{Side, Table};

/// What `topic describe --json` says.
#[derive(Debug, Serialize)]
struct Described<'a> {
    topic: &'a str,
    id: &'a str,
    internal: bool,
    partitions: &'a [Range],
    /// Every setting with its effective value.
    configs: BTreeMap<&'a str, Option<&'a str>>,
    /// The names of those that were set on the topic or the broker.
    set: Vec<&'a str>,
}

/// One partition.
#[derive(Debug, Serialize)]
struct Range {
    partition: i32,
    start: i64,
    end: i64,
    /// On the disk; absent if the broker does not tell.
    bytes: Option<i64>,
}

/// Runs the command.
pub(super) async fn describe(
    admin: &Admin,
    name: &str,
    all: bool,
    json: bool,
) -> Result<(), Failure> {
    let topic = admin
        .describe_topic(name)
        .await
        .map_err(|error| named(name, error))?;
    let partitions = ranges(admin, &topic).await?;
    let configs = admin.topic_configs(name).await?;
    let set = configs.iter().filter(|entry| !entry.is_default);
    if json {
        let named = configs
            .iter()
            .map(|entry| (entry.name.as_str(), entry.value.as_deref()));
        return output::json(&Described {
            topic: &topic.name,
            id: &topic.id,
            internal: topic.is_internal,
            partitions: &partitions,
            configs: named.collect(),
            set: set.map(|entry| entry.name.as_str()).collect(),
        });
    }
    let mut text = format!(
        "{} ({}), {} partitions\n\n",
        topic.name, topic.id, topic.partitions
    );
    text.push_str(&partitions_table(&partitions).to_string());
    let shown: Vec<&ConfigEntry> = match all {
        true => configs.iter().collect(),
        false => set.collect(),
    };
    if !shown.is_empty() {
        text.push_str(&format!("\n{}", configs_table(&shown, all)));
    }
    output::text(&text)
}

async fn ranges(admin: &Admin, topic: &TopicDescription) -> Result<Vec<Range>, Failure> {
    let places: Vec<Place> = Place::all(&topic.name, topic.partitions).collect();
    let spans = spans(admin, &places).await?;
    let sizes = match admin.partition_sizes(&topic.name).await {
        Err(ClientError::Unsupported(_)) => BTreeMap::new(),
        sizes => sizes?,
    };
    let range = |(place, span): (Place, Span)| Range {
        partition: place.partition,
        start: span.start,
        end: span.end,
        bytes: sizes.get(&place.partition).copied(),
    };
    Ok(spans.into_iter().map(range).collect())
}

fn partitions_table(partitions: &[Range]) -> Table {
    let right = Side::Right;
    let mut table = Table::new([
        ("PARTITION", right),
        ("START", right),
        ("END", right),
        ("RECORDS", right),
        ("SIZE", right),
    ]);
    for range in partitions {
        let records = count((range.end - range.start).unsigned_abs());
        let size = range.bytes.map(|size| bytes(size.unsigned_abs()));
        table.row([
            range.partition.to_string(),
            range.start.to_string(),
            range.end.to_string(),
            records,
            size.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

/// Settings with their values; where each comes from if there are more than those that were set.
fn configs_table(entries: &[&ConfigEntry], with_sources: bool) -> Table {
    let left = Side::Left;
    let value = |entry: &ConfigEntry| entry.value.clone().unwrap_or_default();
    if with_sources {
        let mut table = Table::new([("SETTING", left), ("VALUE", left), ("SET ON", left)]);
        for entry in entries {
            let source = entry.source.name().to_owned();
            table.row([entry.name.clone(), value(entry), source]);
        }
        return table;
    }
    let mut table = Table::new([("SET", left), ("VALUE", left)]);
    for entry in entries {
        table.row([entry.name.clone(), value(entry)]);
    }
    table
}
