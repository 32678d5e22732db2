//! `highwater events append`: one event, if the stream is as expected.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - A command that ends with exit code 0 has its event durable, once.

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use highwater_client::Client;
use highwater_client::events::{Aggregate, DomainEvent, EventData, EventsError};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::cli::args::AppendArgs;
use crate::cli::failure::Failure;
use crate::cli::files;
use crate::cli::output;
use crate::cli::topic::named;

/// What happened, as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given(EventData);

/// Nothing is known here of what events fold to.
#[derive(Debug, Default)]
struct Unknown;

impl Aggregate for Unknown {
    type Event = Given;

    fn apply(&mut self, _: &Given) {}
}

impl DomainEvent for Given {
    fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
        Ok(self.0.clone())
    }

    fn from_data(_: &str, _: &Bytes) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
        Ok(None)
    }
}

/// Where an event is, as JSON.
#[derive(Debug, Serialize)]
struct Stored<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    revision: u64,
    id: &'a str,
    /// Whether an earlier command had stored it.
    duplicate: bool,
    /// What a view waits for that has to show it.
    token: String,
}

/// The event that was given.
pub(super) fn read(args: &AppendArgs) -> Result<Given, Failure> {
    let data = match args.data.as_str() {
        "-" => files::read_bytes(None, DATA_BYTES_MAX)?,
        data => match data.strip_prefix('@') {
            Some(path) => files::read_bytes(Some(Path::new(path)), DATA_BYTES_MAX)?,
            None => data.as_bytes().to_vec(),
        },
    };
    if is_json(&args.content_type)
        && let Err(error) = serde_json::from_slice::<IgnoredAny>(&data)
    {
        return Err(Failure::Usage(format!(
            "the data is no JSON: {error}; --content-type says what else it is"
        )));
    }
    let data = EventData::new(args.event_type.clone(), data);
    Ok(Given(data.content_type(args.content_type.clone())))
}

/// Appends it.
pub(super) async fn append(
    client: &Client,
    args: &AppendArgs,
    event: Given,
) -> Result<(), Failure> {
    let topic = &args.stream.topic;
    let mut store = client.event_store::<Unknown>(topic.as_str());
    if let Some(source) = &args.source {
        store = store.source(source.as_str());
    }
    let store = store.build().await.map_err(|error| failure(topic, error))?;
    let mut append = store.append(&args.stream.key, args.expect, [event]);
    if let Some(partition) = args.stream.partition {
        append = append.partition(partition);
    }
    if let Some(id) = &args.id {
        append = append.ids([id.as_str()]);
    }
    if let Some(id) = &args.correlation {
        append = append.correlation(id);
    }
    if let Some(id) = &args.causation {
        append = append.causation(id);
    }
    let stored = append.send().await.map_err(|error| failure(topic, error))?;
    let id = append.events().map(|event| event.id.as_str()).next();
    let stored = Stored {
        topic,
        partition: stored.partition,
        offset: stored.offset,
        revision: stored.revision,
        id: id.unwrap_or_default(),
        duplicate: stored.is_duplicate,
        token: stored.token().to_string(),
    };
    match args.json {
        true => output::json(&stored),
        false => output::text(&stored.sentence()),
    }
}

impl Stored<'_> {
    fn sentence(&self) -> String {
        let Self {
            topic,
            partition,
            offset,
            revision,
            id,
            ..
        } = self;
        let was = match self.duplicate {
            true => ", stored before",
            false => "",
        };
        format!("revision {revision} at {topic}-{partition}@{offset}, id {id}{was}\n")
    }
}

fn failure(topic: &str, error: EventsError) -> Failure {
    match error {
        EventsError::Client(error) => named(topic, error),
        other => Failure::failed(other),
    }
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

/// Beyond what any broker takes as a record by default.
const DATA_BYTES_MAX: u64 = 16 << 20;
