//! `highwater topic`: what topics there are, and changes of them.
//!
//! Floor 5 of cli.

use std::collections::BTreeMap;

use highwater_client::{
    Admin, Client, ClientError, ConfigChange, ErrorCode, NewTopic, OffsetSpec, TopicDescription,
};
use serde::Serialize;

use crate::cli::args::{TopicArgs, TopicCommand};
use crate::cli::failure::Failure;
use crate::cli::numbers::count;
use crate::cli::output;
use crate::cli::table::{Side, Table};
use crate::cli::target::Missing;

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
            set,
            if_not_exists,
        } => {
            let configs = set.into_iter().collect();
            let topic = NewTopic {
                name: topic,
                partitions,
                configs,
            };
            create(admin, &topic, if_not_exists).await
        }
        TopicCommand::List { internal, json } => list(admin, internal, json).await,
        TopicCommand::Describe { topic, json } => describe(admin, &topic, json).await,
        TopicCommand::Alter {
            topic,
            partitions,
            set,
            unset,
        } => {
            let set = set
                .into_iter()
                .map(|(name, value)| ConfigChange::Set(name, value));
            let changes: Vec<_> = set
                .chain(unset.into_iter().map(ConfigChange::Delete))
                .collect();
            alter(admin, &topic, partitions, &changes).await
        }
        TopicCommand::Delete { topic } => Ok(admin
            .delete_topic(&topic)
            .await
            .map_err(|error| named(&topic, error))?),
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
    partitions: Option<i32>,
    changes: &[ConfigChange],
) -> Result<(), Failure> {
    if partitions.is_none() && changes.is_empty() {
        let sentence = "nothing to alter: give --partitions, --set or --unset";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    if !changes.is_empty() {
        admin
            .alter_topic(topic, changes)
            .await
            .map_err(|error| named(topic, error))?;
    }
    if let Some(total) = partitions {
        admin
            .create_partitions(topic, total)
            .await
            .map_err(|error| named(topic, error))?;
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
    let mut out = output::Output::new();
    let columns = [
        ("TOPIC", Side::Left),
        ("PARTITIONS", Side::Right),
        ("RECORDS", Side::Right),
    ];
    let mut table = Table::new(columns);
    for topic in topics.iter().filter(|topic| internal || !topic.is_internal) {
        let ranges = ranges(admin, topic).await?;
        let records = ranges.iter().map(Range::records).sum();
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

/// What `topic describe --json` says.
#[derive(Debug, Serialize)]
struct Described<'a> {
    topic: &'a str,
    id: &'a str,
    internal: bool,
    partitions: Vec<Range>,
    /// Every setting with its effective value.
    configs: BTreeMap<&'a str, Option<&'a str>>,
    /// The names of those that were set on the topic or the broker.
    set: Vec<&'a str>,
}

async fn describe(admin: &Admin, name: &str, json: bool) -> Result<(), Failure> {
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
            partitions,
            configs: named.collect(),
            set: set.map(|entry| entry.name.as_str()).collect(),
        });
    }
    let mut text = format!(
        "{} ({}), {} partitions\n\n",
        topic.name, topic.id, topic.partitions
    );
    let right = Side::Right;
    let mut table = Table::new([
        ("PARTITION", right),
        ("START", right),
        ("END", right),
        ("RECORDS", right),
    ]);
    for range in &partitions {
        let records = count(range.records().unsigned_abs());
        let (start, end) = (range.start.to_string(), range.end.to_string());
        table.row([range.partition.to_string(), start, end, records]);
    }
    text.push_str(&table.to_string());
    let mut table = Table::new([("SET", Side::Left), ("VALUE", Side::Left)]);
    let mut is_any_set = false;
    for entry in set {
        is_any_set = true;
        table.row([entry.name.clone(), entry.value.clone().unwrap_or_default()]);
    }
    if is_any_set {
        text.push_str(&format!("\n{table}"));
    }
    output::text(&text)
}

/// The offsets of a partition.
#[derive(Debug, Serialize)]
struct Range {
    partition: i32,
    start: i64,
    end: i64,
}

impl Range {
    const fn records(&self) -> i64 {
        self.end - self.start
    }
}

async fn ranges(admin: &Admin, topic: &TopicDescription) -> Result<Vec<Range>, Failure> {
    let mut ranges = Vec::new();
    for partition in 0..topic.partitions {
        let start = admin
            .offset(&topic.name, partition, OffsetSpec::Earliest)
            .await?;
        let end = admin
            .offset(&topic.name, partition, OffsetSpec::Latest)
            .await?;
        let (start, end) = (start.unwrap_or_default(), end.unwrap_or_default());
        ranges.push(Range {
            partition,
            start,
            end: end.max(start),
        });
    }
    Ok(ranges)
}

/// An error about a topic, with its name in front.
pub(crate) fn named(topic: &str, error: ClientError) -> Failure {
    match error {
        ClientError::Broker { message, .. } => Failure::Failed(format!("topic {topic}: {message}")),
        other => other.into(),
    }
}
