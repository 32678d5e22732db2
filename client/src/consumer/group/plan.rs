//! What the leader of a generation does: sees what all want, and deals out the partitions.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - A topic that does not exist has no partitions; it is created if the cluster does that for
//!   whoever asks.
//! - A member whose words cannot be read gets nothing, and the others all.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::code::ErrorCode;
use highwater_proto::consumer_protocol::{Assignment, Subscription};
use highwater_proto::kafka::messages::metadata::MetadataTopicResponse;

use super::assignor::{self, Counts, Wanting, sticky};
use super::call::{Candidate, Joined, Plan};
use crate::cluster::Cluster;
use crate::config::AssignmentStrategy;
use crate::config::ConsumerConfig;
use crate::error::ClientError;

/// Deals out the partitions of a generation.
pub(super) async fn plan(
    cluster: &Cluster,
    config: &ConsumerConfig,
    joined: &Joined,
) -> Result<Plan, ClientError> {
    let mut known = config.partition_assignment_strategy.iter().copied();
    let strategy = known.find(|strategy| strategy.name() == joined.strategy);
    let members = joined.members.iter().map(|it| wanting(strategy, it));
    let members: Vec<Wanting> = members.collect();
    let topics: BTreeSet<&str> = members
        .iter()
        .flat_map(|member| member.topics.iter().map(String::as_str))
        .collect();
    let counts = counts(cluster, config, topics).await?;
    if joined.skip_assignment {
        let assignments = Vec::new();
        return Ok(Plan {
            counts,
            assignments,
        });
    }
    let strategy = strategy.ok_or_else(|| {
        let strategy = &joined.strategy;
        ClientError::Unsupported(format!(
            "the group agreed on the strategy {strategy}, which this member did not offer"
        ))
    })?;
    let dealt_out = assignor::of(strategy).assign(&members, &counts);
    let mut assignments = Vec::with_capacity(members.len());
    for (member, topics) in members.into_iter().zip(dealt_out.0) {
        let assignment = Assignment {
            partitions: topics.into_iter().collect(),
            user_data: None,
        };
        assignments.push((member.member_id, encode(&assignment)?));
    }
    Ok(Plan {
        counts,
        assignments,
    })
}

/// How many partitions these topics have now.
pub(super) async fn counts(
    cluster: &Cluster,
    config: &ConsumerConfig,
    topics: BTreeSet<&str>,
) -> Result<Counts, ClientError> {
    let may_create = config.allow_auto_create_topics;
    let names: Vec<&str> = topics.into_iter().collect();
    let mut counts = Counts(names.iter().map(|name| ((*name).to_owned(), 0)).collect());
    // A topic that is created by the question is there at the second one.
    for pause_ms in CREATION_PAUSES_MS {
        let clock = cluster.clock();
        let at = clock.now().mono.plus(Duration::from_millis(pause_ms));
        clock.sleep_until(at).await;
        let response = cluster.metadata(Some(&names), may_create).await?;
        let mut is_complete = true;
        for topic in &response.topics {
            let (count, is_settled) = count(topic)?;
            is_complete &= is_settled;
            if let Some(place) = topic
                .name
                .as_deref()
                .and_then(|name| counts.0.get_mut(name))
            {
                *place = count;
            }
        }
        if is_complete {
            break;
        }
    }
    Ok(counts)
}

/// The partitions of a topic, and whether that is the last word for now.
fn count(topic: &MetadataTopicResponse) -> Result<(i32, bool), ClientError> {
    match ErrorCode::from_i16(topic.error_code) {
        Some(ErrorCode::None) => {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            Ok((count, true))
        }
        // A name that is none, or a topic that is not ours to see, belongs to nobody.
        Some(ErrorCode::InvalidTopicException) => Ok((0, true)),
        Some(code) if code.retriable() => Ok((0, false)),
        _ => ClientError::check(topic.error_code, None).map(|()| (0, true)),
    }
}

fn wanting(strategy: Option<AssignmentStrategy>, candidate: &Candidate) -> Wanting {
    let subscription = Subscription::decode(&candidate.metadata).unwrap_or_else(|error| {
        tracing::warn!(%error, candidate.member_id, "a member's subscription cannot be read");
        Subscription::default()
    });
    let (owned, generation) = match strategy {
        Some(strategy) => sticky::owned(strategy, &subscription),
        None => (Vec::new(), subscription.generation),
    };
    Wanting {
        owned,
        generation,
        member_id: candidate.member_id.clone(),
        instance_id: candidate.instance_id.clone(),
        topics: subscription.topics.into_iter().collect(),
    }
}

fn encode(assignment: &Assignment) -> Result<Bytes, ClientError> {
    let bytes = assignment.encode(ASSIGNMENT_VERSION);
    bytes.map_err(|error| ClientError::Invalid(error.to_string()))
}

/// All versions have the same layout.
const ASSIGNMENT_VERSION: i16 = 1;

/// The pauses before each question for topics that may be created by it.
const CREATION_PAUSES_MS: [u64; 3] = [0, 20, 200];
