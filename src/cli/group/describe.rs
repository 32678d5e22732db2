//! `highwater group describe`: how far a group got, and who works on what.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Every partition is shown that the group has committed in or that a member reads; a topic that
//!   is gone has no end and no lag.

use std::collections::BTreeMap;

use highwater_client::{Admin, Client, GroupDescription, GroupMember};
use serde::Serialize;

use super::lag::ages;
use super::{dash, existing, named};
use crate::cli::failure::Failure;
use crate::cli::numbers::count;
use crate::cli::output;
use crate::cli::spans::{Place, Span, spans};
use crate::cli::table::{Side, Table};

/// What `group describe --json` says.
#[derive(Debug, Serialize)]
struct Described<'a> {
    group: &'a str,
    state: &'a str,
    protocol_type: &'a str,
    protocol: &'a str,
    /// The sum over the partitions whose lag is known.
    lag: i64,
    partitions: &'a [Row],
    members: Vec<Member<'a>>,
}

/// One partition of a group.
#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    partition: i32,
    /// What the group has committed.
    offset: Option<i64>,
    /// Behind the newest record.
    end: Option<i64>,
    /// Records between the two that still exist.
    lag: Option<i64>,
    /// The age of the oldest of them.
    lag_seconds: Option<f64>,
    member_id: Option<String>,
    host: Option<String>,
    client_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct Member<'a> {
    member_id: &'a str,
    instance_id: Option<&'a str>,
    client_id: &'a str,
    host: &'a str,
    topics: &'a [String],
    partitions: Vec<Assigned<'a>>,
}

#[derive(Debug, Serialize)]
struct Assigned<'a> {
    topic: &'a str,
    partition: i32,
}

/// Runs the command.
pub(super) async fn describe(
    client: &Client,
    group: &str,
    members: bool,
    json: bool,
) -> Result<(), Failure> {
    let admin = client.admin();
    let described = existing(&admin, group).await?;
    if members && !json {
        return output::text(&members_table(&described).to_string());
    }
    let rows = rows(client, &admin, &described).await?;
    if json {
        return output::json(&Described {
            group,
            state: &described.state,
            protocol_type: &described.protocol_type,
            protocol: &described.protocol,
            lag: total(&rows),
            partitions: &rows,
            members: described.members.iter().map(member).collect(),
        });
    }
    let lag = count(total(&rows).unsigned_abs());
    let members = match described.members.len() {
        0 => "no members".to_owned(),
        1 => "1 member".to_owned(),
        more => format!("{more} members"),
    };
    let head = format!("{group}: {}, {members}, lag {lag}\n\n", described.state);
    output::text(&(head + &table(&rows).to_string()))
}

/// Every partition that the group has something to do with.
async fn rows(
    client: &Client,
    admin: &Admin,
    group: &GroupDescription,
) -> Result<Vec<Row>, Failure> {
    let committed = admin
        .group_offsets(&group.group, None)
        .await
        .map_err(|error| named(&group.group, error))?;
    let mut offsets: BTreeMap<Place, Option<i64>> = BTreeMap::new();
    let mut owners: BTreeMap<Place, &GroupMember> = BTreeMap::new();
    for member in &group.members {
        for (topic, partition) in &member.assignment {
            let place = place(topic, *partition);
            offsets.insert(place.clone(), None);
            owners.insert(place, member);
        }
    }
    for it in committed {
        offsets.insert(place(&it.topic, it.partition), Some(it.offset));
    }
    let counts: BTreeMap<String, i32> = admin
        .list_topics()
        .await?
        .into_iter()
        .map(|topic| (topic.name, topic.partitions))
        .collect();
    let exists = |place: &&Place| {
        counts
            .get(&place.topic)
            .is_some_and(|it| place.partition < *it)
    };
    let known: Vec<Place> = offsets.keys().filter(exists).cloned().collect();
    let spans = spans(admin, &known).await?;
    let unread: BTreeMap<Place, i64> = offsets
        .iter()
        .filter_map(|(place, offset)| {
            let span = spans.get(place)?;
            let next = (*offset)?.max(span.start);
            (next < span.end).then(|| (place.clone(), next))
        })
        .collect();
    let ages = ages(client, unread).await?;
    let row = |(place, offset): (Place, Option<i64>)| {
        let age = ages.get(&place).copied();
        row(
            &place,
            offset,
            spans.get(&place),
            age,
            owners.get(&place).copied(),
        )
    };
    Ok(offsets.into_iter().map(row).collect())
}

fn row(
    place: &Place,
    offset: Option<i64>,
    span: Option<&Span>,
    age_seconds: Option<f64>,
    owner: Option<&GroupMember>,
) -> Row {
    let lag = offset.zip(span).map(|(offset, span)| {
        let next = offset.max(span.start);
        span.end.saturating_sub(next).max(0)
    });
    Row {
        topic: place.topic.clone(),
        partition: place.partition,
        offset,
        end: span.map(|span| span.end),
        lag,
        lag_seconds: match lag {
            Some(0) => Some(0.0),
            _ => age_seconds,
        },
        member_id: owner.map(|owner| owner.member_id.clone()),
        host: owner.map(|owner| owner.host.clone()),
        client_id: owner.map(|owner| owner.client_id.clone()),
    }
}

fn place(topic: &str, partition: i32) -> Place {
    Place {
        topic: topic.to_owned(),
        partition,
    }
}

fn total(rows: &[Row]) -> i64 {
    rows.iter().filter_map(|row| row.lag).sum()
}

fn table(rows: &[Row]) -> Table {
    let (left, right) = (Side::Left, Side::Right);
    let mut table = Table::new([
        ("TOPIC", left),
        ("PARTITION", right),
        ("OFFSET", right),
        ("END", right),
        ("LAG", right),
        ("LAG SECONDS", right),
        ("CONSUMER", left),
        ("HOST", left),
        ("CLIENT", left),
    ]);
    for row in rows {
        let number = |number: Option<i64>| number.map_or_else(|| dash(""), |it| it.to_string());
        let text = |text: &Option<String>| dash(text.as_deref().unwrap_or_default());
        let seconds = row.lag_seconds.map(|seconds| format!("{seconds:.1}"));
        table.row([
            row.topic.clone(),
            row.partition.to_string(),
            number(row.offset),
            number(row.end),
            number(row.lag),
            text(&seconds),
            text(&row.member_id),
            text(&row.host),
            text(&row.client_id),
        ]);
    }
    table
}

fn members_table(group: &GroupDescription) -> Table {
    let left = Side::Left;
    let mut table = Table::new([
        ("CONSUMER", left),
        ("HOST", left),
        ("CLIENT", left),
        ("PARTITIONS", Side::Right),
        ("ASSIGNMENT", left),
    ]);
    for member in &group.members {
        let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (topic, partition) in &member.assignment {
            topics.entry(topic).or_default().push(partition.to_string());
        }
        let topics = topics.into_iter();
        let topics = topics.map(|(topic, numbers)| format!("{topic}:{}", numbers.join(",")));
        table.row([
            member.member_id.clone(),
            dash(&member.host),
            dash(&member.client_id),
            member.assignment.len().to_string(),
            dash(&topics.collect::<Vec<_>>().join(" ")),
        ]);
    }
    table
}

fn member(member: &GroupMember) -> Member<'_> {
    Member {
        member_id: &member.member_id,
        instance_id: member.instance_id.as_deref(),
        client_id: &member.client_id,
        host: &member.host,
        topics: &member.subscription,
        partitions: member
            .assignment
            .iter()
            .map(|(topic, partition)| Assigned {
                topic,
                partition: *partition,
            })
            .collect(),
    }
}
