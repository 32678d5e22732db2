//! `highwater topic`: what topics there are, and changes of them.
//!
//! Floor 5 of cli.

mod describe;
mod preset;
mod records;

use std::collections::BTreeMap;

use highwater_client::{Admin, Client, ClientError, ConfigChange, ErrorCode, NewTopic};
use serde::Serialize;

use crate::cli::args::{TopicArgs, TopicCommand};
use crate::cli::failure::Failure;
use crate::cli::numbers::count;
use crate::cli::output::Output;
use crate::cli::spans::{Place, spans};
use crate::cli::table::{Side, Table};
use crate::cli::target::Missing;
use describe::describe;

/// Runs the command.
pub(crate) fn run(args: TopicArgs) -> Result<(), Failure> {
    let missing = match &args.command {
        TopicCommand::Create { .. } => Missing::Make,
        _ => Missing::Refuse,
    };
    args.target.run(missing, async |client: Client, signals| {
        signals
            .unless_interrupted(execute(&client.admin(), args.command))
            .await
    })
}

async fn execute(admin: &Admin, command: TopicCommand) -> Result<(), Failure> {
    match command {
        TopicCommand::Create {
            topic,
            partitions,
            preset,
            set,
            if_not_exists,
            json,
        } => {
            let topic = NewTopic {
                name: topic,
                partitions,
                configs: preset::configs(preset, set)?,
                ..Default::default()
            };
            create(admin, &topic, if_not_exists).await?;
            shown(admin, &topic.name, json).await
        }
        TopicCommand::List { internal, json } => list(admin, internal, json).await,
        TopicCommand::Describe { topic, all, json } => describe(admin, &topic, all, json).await,
        TopicCommand::Alter {
            topic,
            partitions,
            add_partitions,
            set,
            unset,
            json,
        } => {
            let set = set
                .into_iter()
                .map(|(name, value)| ConfigChange::Set(name, value));
            let changes: Vec<_> = set
                .chain(unset.into_iter().map(ConfigChange::Delete))
                .collect();
            alter(admin, &topic, (partitions, add_partitions), &changes).await?;
            shown(admin, &topic, json).await
        }
        TopicCommand::Delete {
            topics,
            if_exists,
            json,
        } => delete(admin, &topics, if_exists, json).await,
        TopicCommand::DeleteRecords {
            topic,
            before,
            partition,
            json,
        } => records::delete(admin, &topic, (before, &partition), json).await,
    }
}

/// With `--json`, the topic as it is now.
async fn shown(admin: &Admin, topic: &str, json: bool) -> Result<(), Failure> {
    match json {
        true => describe(admin, topic, true, true).await,
        false => Ok(()),
    }
}

async fn create(admin: &Admin, topic: &NewTopic, if_not_exists: bool) -> Result<(), Failure> {
    match admin.create_topic(topic).await {
        Err(ClientError::Broker {
            code: ErrorCode::TopicAlreadyExists,
            ..
        }) if if_not_exists => Ok(()),
        created => created.map_err(|error| named(&topic.name, error)),
    }
}

async fn alter(
    admin: &Admin,
    topic: &str,
    (total, more): (Option<i32>, Option<i32>),
    changes: &[ConfigChange],
) -> Result<(), Failure> {
    if total.is_none() && more.is_none() && changes.is_empty() {
        let sentence = "nothing to alter: give --partitions, --add-partitions, --set or --unset";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    if !changes.is_empty() {
        admin
            .alter_topic(topic, changes)
            .await
            .map_err(|error| named(topic, error))?;
    }
    let total = match more {
        None => total,
        Some(more) => {
            let described = admin.describe_topic(topic).await;
            let described = described.map_err(|error| named(topic, error))?;
            Some(described.partitions.saturating_add(more))
        }
    };
    if let Some(total) = total {
        admin
            .create_partitions(topic, total)
            .await
            .map_err(|error| named(topic, error))?;
    }
    Ok(())
}

/// What `topic delete --json` says of a topic.
#[derive(Debug, Serialize)]
struct Deleted<'a> {
    topic: &'a str,
    deleted: bool,
}

async fn delete(
    admin: &Admin,
    topics: &[String],
    if_exists: bool,
    json: bool,
) -> Result<(), Failure> {
    let mut out = Output::new();
    for topic in topics {
        let deleted = match admin.delete_topic(topic).await {
            Err(ClientError::Broker {
                code: ErrorCode::UnknownTopicOrPartition,
                ..
            }) if if_exists => false,
            done => done.map(|()| true).map_err(|error| named(topic, error))?,
        };
        if json {
            out.json(&Deleted { topic, deleted })?;
            out.flush()?;
        }
    }
    Ok(())
}

/// What `topic list --json` says of a topic.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    topic: &'a str,
    id: &'a str,
    internal: bool,
    partitions: i32,
    /// Offsets between the start and the end, of all partitions.
    records: i64,
}

async fn list(admin: &Admin, internal: bool, json: bool) -> Result<(), Failure> {
    let topics = admin.list_topics().await?;
    let shown: Vec<_> = topics
        .iter()
        .filter(|topic| internal || !topic.is_internal)
        .collect();
    let places: Vec<Place> = shown
        .iter()
        .flat_map(|topic| Place::all(&topic.name, topic.partitions))
        .collect();
    let mut records = BTreeMap::new();
    for (place, span) in spans(admin, &places).await? {
        *records.entry(place.topic).or_insert(0) += span.records();
    }
    let mut out = Output::new();
    let columns = [
        ("TOPIC", Side::Left),
        ("PARTITIONS", Side::Right),
        ("RECORDS", Side::Right),
    ];
    let mut table = Table::new(columns);
    for topic in shown {
        let records: i64 = records.get(&topic.name).copied().unwrap_or_default();
        if json {
            let (name, id) = (&topic.name, &topic.id);
            let (internal, partitions) = (topic.is_internal, topic.partitions);
            out.json(&Listed {
                topic: name,
                id,
                internal,
                partitions,
                records,
            })?;
        } else {
            let records = count(records.unsigned_abs());
            table.row([topic.name.clone(), topic.partitions.to_string(), records]);
        }
    }
    if !json {
        out.bytes(table.to_string().as_bytes())?;
    }
    out.flush()
}

/// An error about a topic, with its name in front.
pub(crate) fn named(topic: &str, error: ClientError) -> Failure {
    match error {
        ClientError::Broker { message, .. } => Failure::Failed(format!("topic {topic}: {message}")),
        other => other.into(),
    }
}
