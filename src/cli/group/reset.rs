//! `highwater group reset`: moves a group to another place, after showing where.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Nothing is changed without `--execute`, and nothing while the group has members.
//! - A new offset lies within what its partition holds.

use std::collections::BTreeMap;

use highwater_client::{Admin, CommittedOffset};
use serde::Serialize;

use super::{has_members, named};
use crate::cli::args::ResetArgs;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::scope::Part;
use crate::cli::spans::{Place, resolve, spans};
use crate::cli::table::{Side, Table};
use crate::cli::topic::named as named_topic;

/// One line of the plan.
#[derive(Debug, Serialize)]
struct Step {
    topic: String,
    partition: i32,
    /// What is committed now.
    from: Option<i64>,
    to: i64,
    executed: bool,
}

/// Runs the command.
pub(super) async fn reset(admin: &Admin, args: &ResetArgs) -> Result<(), Failure> {
    let group = args.group.as_str();
    let described = admin
        .describe_group(group)
        .await
        .map_err(|error| named(group, error))?;
    if !described.members.is_empty() {
        return Err(has_members(group));
    }
    let committed: BTreeMap<Place, i64> = admin
        .group_offsets(group, None)
        .await
        .map_err(|error| named(group, error))?
        .into_iter()
        .map(|it| {
            let place = Place {
                topic: it.topic,
                partition: it.partition,
            };
            (place, it.offset)
        })
        .collect();
    let places = match args.all_topics {
        true => still_there(admin, &committed).await?,
        false => named_places(admin, &args.topic).await?,
    };
    if places.is_empty() {
        return Err(Failure::Failed(format!(
            "group {group}: it has committed no offsets; name topics with --topic"
        )));
    }
    let steps = plan(admin, args, &places, &committed).await?;
    if args.execute {
        let offset = |step: &Step| CommittedOffset {
            topic: step.topic.clone(),
            partition: step.partition,
            offset: step.to,
            ..CommittedOffset::default()
        };
        let offsets: Vec<_> = steps.iter().map(offset).collect();
        admin
            .alter_group_offsets(group, &offsets)
            .await
            .map_err(|error| named(group, error))?;
    }
    print(&steps, args)
}

/// Where the group has committed something that can be read again.
async fn still_there(
    admin: &Admin,
    committed: &BTreeMap<Place, i64>,
) -> Result<Vec<Place>, Failure> {
    let topics = admin.list_topics().await?;
    let counts: BTreeMap<&str, i32> = topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.partitions))
        .collect();
    let exists = |place: &&Place| {
        let count = counts.get(place.topic.as_str());
        count.is_some_and(|count| place.partition < *count)
    };
    Ok(committed.keys().filter(exists).cloned().collect())
}

/// The partitions that are named, which must exist.
async fn named_places(admin: &Admin, parts: &[Part]) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    for Part { topic, partitions } in parts {
        let described = admin
            .describe_topic(topic)
            .await
            .map_err(|error| named_topic(topic, error))?;
        let count = described.partitions;
        let Some(partitions) = partitions else {
            places.extend(Place::all(topic, count));
            continue;
        };
        for partition in partitions.iter().copied() {
            if partition >= count {
                let last = count - 1;
                return Err(Failure::Failed(format!(
                    "topic {topic} has the partitions 0 to {last}, but no partition {partition}"
                )));
            }
            let topic = topic.clone();
            places.push(Place { topic, partition });
        }
    }
    places.sort();
    places.dedup();
    Ok(places)
}

async fn plan(
    admin: &Admin,
    args: &ResetArgs,
    places: &[Place],
    committed: &BTreeMap<Place, i64>,
) -> Result<Vec<Step>, Failure> {
    let spans = spans(admin, places).await?;
    let targets = match (args.to, args.shift_by) {
        (Some(to), _) => resolve(admin, &spans, to).await?,
        (None, shift_by) => {
            let mut targets = BTreeMap::new();
            for (place, span) in &spans {
                let Some(offset) = committed.get(place) else {
                    let group = &args.group;
                    return Err(Failure::Failed(format!(
                        "group {group}: it has committed no offset of {place} to shift"
                    )));
                };
                let target = offset.saturating_add(shift_by.unwrap_or_default());
                targets.insert(place.clone(), target.clamp(span.start, span.end));
            }
            targets
        }
    };
    let step = |(place, to): (Place, i64)| Step {
        from: committed.get(&place).copied(),
        topic: place.topic,
        partition: place.partition,
        to,
        executed: args.execute,
    };
    Ok(targets.into_iter().map(step).collect())
}

fn print(steps: &[Step], args: &ResetArgs) -> Result<(), Failure> {
    let mut out = Output::new();
    if args.json {
        for step in steps {
            out.json(step)?;
        }
        return out.flush();
    }
    let right = Side::Right;
    let columns = [
        ("TOPIC", Side::Left),
        ("PARTITION", right),
        ("FROM", right),
        ("TO", right),
    ];
    let mut table = Table::new(columns);
    for step in steps {
        let from = step
            .from
            .map_or_else(|| "-".to_owned(), |from| from.to_string());
        let (partition, to) = (step.partition.to_string(), step.to.to_string());
        table.row([step.topic.clone(), partition, from, to]);
    }
    out.bytes(table.to_string().as_bytes())?;
    if !args.execute {
        out.bytes(b"\nThis is the plan; --execute carries it out.\n")?;
    }
    out.flush()
}
