//! The requests of a member to its coordinator, and what their answers say.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - A join that is answered with an id to join again with is an answer, not an error.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::code::ErrorCode;
use highwater_proto::consumer_protocol::{PROTOCOL_TYPE, Subscription};
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::join_group::{
    JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse,
};
use highwater_proto::kafka::messages::leave_group::{LeaveGroupMember, LeaveGroupRequest};
use highwater_proto::kafka::messages::sync_group::{SyncGroupAssignment, SyncGroupRequest};

use super::assignor::{Counts, sticky};
use super::machine::{Seat, Synced};
use crate::cluster::Cluster;
use crate::config::AssignmentStrategy;
use crate::config::ConsumerConfig;
use crate::error::ClientError;

/// What a coordinator answers to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JoinAnswer {
    /// Join again with this id.
    TakeId(String),
    /// A generation is complete.
    Joined(Joined),
}

/// A generation that this consumer is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) seat: Seat,
    /// The strategy that all follow.
    pub(super) strategy: String,
    pub(super) is_leader: bool,
    /// The leader keeps the assignments as they are.
    pub(super) skip_assignment: bool,
    /// All members with what they want, for the leader.
    pub(super) members: Vec<Candidate>,
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    /// What it says beside the strategy.
    pub(super) metadata: Bytes,
}

/// What the leader deals out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) counts: Counts,
    /// The assignment of each member.
    pub(super) assignments: Vec<(String, Bytes)>,
}

/// What a member works on and was assigned, as it says when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// What it keeps while it joins.
    pub(super) owned: Vec<(String, Vec<i32>)>,
    /// What it was assigned last.
    pub(super) last: Option<Last>,
}

/// An assignment, and its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) generation: i32,
    pub(super) partitions: Vec<(String, Vec<i32>)>,
}

/// What a member wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants<'a> {
    pub(super) topics: &'a [String],
    pub(super) claims: &'a Claims,
    /// The last generation that it was in; -1 for none.
    pub(super) generation: i32,
}

impl Wants<'_> {
    /// Its words for one strategy.
    fn metadata(&self, strategy: AssignmentStrategy) -> Result<Bytes, ClientError> {
        let subscription = Subscription {
            topics: self.topics.to_vec(),
            user_data: sticky::user_data(strategy, self.claims.last.as_ref())?,
            owned_partitions: self.claims.owned.clone(),
            generation: self.generation,
            rack: None,
        };
        let metadata = subscription.encode(SUBSCRIPTION_VERSION);
        metadata.map_err(|error| ClientError::Invalid(error.to_string()))
    }
}

/// Joins; a new member without an id is first given one.
pub(super) async fn join(
    cluster: &Cluster,
    config: &ConsumerConfig,
    member_id: &str,
    wants: Wants<'_>,
) -> Result<JoinAnswer, ClientError> {
    let group = config.group()?;
    let strategies = config.partition_assignment_strategy.iter();
    let protocol = |strategy: &AssignmentStrategy| {
        Ok(JoinGroupProtocol {
            name: Str::from_static(strategy.name()),
            metadata: wants.metadata(*strategy)?,
        })
    };
    let protocols: Result<Vec<_>, ClientError> = strategies.map(protocol).collect();
    let request = JoinGroupRequest {
        group_id: text(group),
        session_timeout_ms: config.session_timeout_ms,
        rebalance_timeout_ms: config.max_poll_interval_ms,
        member_id: text(member_id),
        group_instance_id: config.group_instance_id.as_deref().map(text),
        protocol_type: Str::from_static(PROTOCOL_TYPE),
        protocols: protocols?,
        reason: None,
    };
    // The coordinator waits for the other members, and a little longer.
    let limit = rebalance_limit(config);
    cluster
        .try_coordinator(group, (0..=JOIN_VERSION_MAX, limit), request, joined)
        .await
}

fn joined(response: JoinGroupResponse) -> Result<JoinAnswer, ClientError> {
    if response.error_code == ErrorCode::MemberIdRequired.code() {
        return Ok(JoinAnswer::TakeId(response.member_id.into()));
    }
    ClientError::check(response.error_code, None)?;
    let members = response.members.into_iter().map(|member| Candidate {
        member_id: member.member_id.into(),
        instance_id: member.group_instance_id.map(String::from),
        metadata: member.metadata,
    });
    Ok(JoinAnswer::Joined(Joined {
        is_leader: response.leader == response.member_id,
        seat: Seat {
            generation: response.generation_id,
            member_id: response.member_id.into(),
        },
        strategy: response.protocol_name.map(String::from).unwrap_or_default(),
        skip_assignment: response.skip_assignment,
        members: members.collect(),
    }))
}

/// Waits for what the leader assigns; the leader brings it.
pub(super) async fn sync(
    cluster: &Cluster,
    config: &ConsumerConfig,
    synced: &Synced,
    assignments: Vec<(String, Bytes)>,
) -> Result<Bytes, ClientError> {
    let group = config.group()?;
    let joined = &synced.joined;
    let assignment = |(member_id, assignment): (String, Bytes)| SyncGroupAssignment {
        member_id: Str::from(member_id),
        assignment,
    };
    let request = SyncGroupRequest {
        group_id: text(group),
        generation_id: joined.seat.generation,
        member_id: text(&joined.seat.member_id),
        group_instance_id: config.group_instance_id.as_deref().map(text),
        protocol_type: Some(Str::from_static(PROTOCOL_TYPE)),
        protocol_name: Some(text(&joined.strategy)),
        assignments: assignments.into_iter().map(assignment).collect(),
    };
    let limit = rebalance_limit(config);
    cluster
        .try_coordinator(group, (0..=SYNC_VERSION_MAX, limit), request, |response| {
            ClientError::check(response.error_code, None)?;
            Ok(response.assignment)
        })
        .await
}

/// Tells the coordinator that the member is alive.
pub(super) async fn beat(
    cluster: &Cluster,
    config: &ConsumerConfig,
    seat: &Seat,
) -> Result<(), ClientError> {
    let group = config.group()?;
    let request = HeartbeatRequest {
        group_id: text(group),
        generation_id: seat.generation,
        member_id: text(&seat.member_id),
        group_instance_id: config.group_instance_id.as_deref().map(text),
    };
    // There has to be time for another one before the session ends.
    let session = u64::try_from(config.session_timeout_ms).unwrap_or(0);
    let limit = Duration::from_millis(config.request_timeout_ms.min(session / 3).max(1));
    cluster
        .try_coordinator(group, (0..=BEAT_VERSION_MAX, limit), request, |response| {
            ClientError::check(response.error_code, None)
        })
        .await
}

/// Leaves the group.
pub(super) async fn leave(
    cluster: &Cluster,
    config: &ConsumerConfig,
    member_id: &str,
) -> Result<(), ClientError> {
    let group = config.group()?;
    let member = LeaveGroupMember {
        member_id: text(member_id),
        group_instance_id: None,
        reason: None,
    };
    let request = LeaveGroupRequest {
        group_id: text(group),
        members: vec![member],
        ..Default::default()
    };
    let limit = Duration::from_millis(config.request_timeout_ms).min(LEAVE_MAX);
    cluster
        .try_coordinator(group, (LEAVE_VERSIONS, limit), request, |response| {
            ClientError::check(response.error_code, None)
        })
        .await
}

/// How long a join or a sync may be parked.
fn rebalance_limit(config: &ConsumerConfig) -> Duration {
    let wait_ms = u64::try_from(config.max_poll_interval_ms).unwrap_or(0);
    let limit = wait_ms.saturating_add(REBALANCE_GRACE_MS);
    Duration::from_millis(limit.max(config.request_timeout_ms))
}

fn text(text: &str) -> Str {
    Str::from(text.to_owned())
}

/// The version that says what a member has, and since which generation; members of any age read
/// of it what they know.
const SUBSCRIPTION_VERSION: i16 = 3;

const JOIN_VERSION_MAX: i16 = 9;
const SYNC_VERSION_MAX: i16 = 5;
const BEAT_VERSION_MAX: i16 = 4;
/// From 3 on several members leave at once.
const LEAVE_VERSIONS: RangeInclusive<i16> = 3..=5;

/// What a coordinator may take beyond the time that it waits for members.
const REBALANCE_GRACE_MS: u64 = 5_000;

/// Whoever leaves does not wait long for a coordinator that is not there.
const LEAVE_MAX: Duration = Duration::from_secs(5);
