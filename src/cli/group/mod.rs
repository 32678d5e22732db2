//! `highwater group`: which groups there are, how far they got, and moving or deleting them.
//!
//! Floor 6 of cli.

mod describe;
mod lag;
mod reset;

use highwater_client::{Admin, Client, ClientError, ErrorCode, GroupDescription};
use serde::Serialize;

use crate::cli::args::{GroupArgs, GroupCommand};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::scope::Part;
use crate::cli::spans::Place;
use crate::cli::table::{Side, Table};
use crate::cli::target::Missing;

/// Runs the command.
pub(crate) fn run(args: GroupArgs) -> Result<(), Failure> {
    args.target
        .run(Missing::Refuse, async |client: Client, signals| {
            signals
                .unless_interrupted(execute(&client, args.command))
                .await
        })
}

async fn execute(client: &Client, command: GroupCommand) -> Result<(), Failure> {
    let admin = client.admin();
    match command {
        GroupCommand::List { state, json } => list(&admin, state.as_deref(), json).await,
        GroupCommand::Describe {
            group,
            members,
            json,
        } => describe::describe(client, &group, members, json).await,
        GroupCommand::Reset(args) => reset::reset(&admin, &args).await,
        GroupCommand::Delete {
            groups,
            topic,
            json,
        } => delete(&admin, &groups, &topic, json).await,
    }
}

/// What `group list --json` says of a group.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    group: &'a str,
    state: &'a str,
    protocol_type: &'a str,
}

async fn list(admin: &Admin, state: Option<&str>, json: bool) -> Result<(), Failure> {
    let groups = admin.list_groups().await?;
    let mut out = Output::new();
    let left = Side::Left;
    let mut table = Table::new([("GROUP", left), ("STATE", left), ("TYPE", left)]);
    let is_asked = |it: &str| state.is_none_or(|state| state.eq_ignore_ascii_case(it));
    for group in groups.iter().filter(|group| is_asked(&group.state)) {
        let (name, state) = (&group.group, &group.state);
        if json {
            out.json(&Listed {
                group: name,
                state,
                protocol_type: &group.protocol_type,
            })?;
        } else {
            table.row([name.clone(), state.clone(), dash(&group.protocol_type)]);
        }
    }
    if !json {
        out.bytes(table.to_string().as_bytes())?;
    }
    out.flush()
}

/// What `group delete --json` says.
#[derive(Debug, Serialize)]
struct Deleted<'a> {
    group: &'a str,
    /// The partitions whose offsets went; `None` if the whole group did.
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<Vec<String>>,
}

async fn delete(
    admin: &Admin,
    groups: &[String],
    parts: &[Part],
    json: bool,
) -> Result<(), Failure> {
    let mut out = Output::new();
    for group in groups {
        let partitions = if parts.is_empty() {
            admin
                .delete_group(group)
                .await
                .map_err(|error| named(group, error))?;
            None
        } else {
            let places = committed_in(admin, group, parts).await?;
            let asked: Vec<_> = places
                .iter()
                .map(|place| (place.topic.as_str(), place.partition))
                .collect();
            admin
                .delete_group_offsets(group, &asked)
                .await
                .map_err(|error| named(group, error))?;
            Some(places.iter().map(Place::to_string).collect())
        };
        if json {
            out.json(&Deleted { group, partitions })?;
        }
    }
    out.flush()
}

/// Where in these parts a group has committed something.
async fn committed_in(admin: &Admin, group: &str, parts: &[Part]) -> Result<Vec<Place>, Failure> {
    let committed = admin
        .group_offsets(group, None)
        .await
        .map_err(|error| named(group, error))?;
    let mut places = Vec::new();
    for part in parts {
        let before = places.len();
        let is_in = |partition: i32| {
            let partitions = part.partitions.as_ref();
            partitions.is_none_or(|partitions| partitions.contains(&partition))
        };
        let found = committed.iter().filter(|it| it.topic == part.topic);
        places.extend(found.filter(|it| is_in(it.partition)).map(|it| Place {
            topic: it.topic.clone(),
            partition: it.partition,
        }));
        if places.len() == before {
            return Err(Failure::Failed(format!(
                "group {group}: it has committed no offset there, in {}",
                part.topic
            )));
        }
    }
    places.sort();
    places.dedup();
    Ok(places)
}

/// A group that exists, with its members.
async fn existing(admin: &Admin, group: &str) -> Result<GroupDescription, Failure> {
    let described = admin
        .describe_group(group)
        .await
        .map_err(|error| named(group, error))?;
    if described.exists() {
        return Ok(described);
    }
    let groups = admin.list_groups().await?;
    let why = match groups.iter().any(|it| it.group == group) {
        // Kafka describes groups of its newer protocols by other requests.
        true => "its members speak a group protocol that this command does not know",
        false => "there is no such group",
    };
    Err(Failure::Failed(format!("group {group}: {why}")))
}

/// An error about a group, with its id in front.
fn named(group: &str, error: ClientError) -> Failure {
    match error {
        ClientError::Broker {
            code: ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId,
            ..
        } => has_members(group),
        ClientError::Broker { message, .. } => Failure::Failed(format!("group {group}: {message}")),
        other => other.into(),
    }
}

fn has_members(group: &str) -> Failure {
    Failure::Failed(format!("group {group}: it has members: stop them first"))
}

/// A text, or a dash where there is none.
fn dash(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    }
}
