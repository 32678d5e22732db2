//! The groups: each has a session with the broker, commits its offsets, and knows what it has
//! committed.
//!
//! Invariants
//! - No two commits of an offset are the same, in whichever group, partition and round.
//! - A few groups commit in the first round only: what a rewriting leaves out of them is gone.

use std::sync::Arc;

use highwater_broker::Broker;
use highwater_proto::exchange::{Exchange, call};
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use highwater_proto::kafka::messages::offset_fetch::{OffsetFetchGroup, OffsetFetchRequest};

/// A thousand that commit in each round, and the quiet ones; none has members.
#[derive(Debug)]
pub(super) struct Groups {
    sessions: Vec<Arc<dyn Exchange>>,
}

impl Groups {
    pub(super) fn of(broker: &Broker) -> Self {
        Self {
            sessions: (0..GROUPS + QUIET_GROUPS)
                .map(|_| broker.exchange())
                .collect(),
        }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Every group whose turn it is commits all its offsets, all at the same time.
    pub(super) async fn commit(&self, round: u64) -> Result<(), String> {
        let sent: Vec<_> = (0..)
            .zip(&self.sessions)
            .filter(|(group, _)| last_round(*group, round) == round)
            .map(|(group, session)| call(&**session, COMMIT_VERSION, commit_of(group, round)))
            .collect();
        for (group, answer) in sent.into_iter().enumerate() {
            let refused =
                |why: String| format!("round {round}: the commit of group {group}: {why}");
            let answer = answer.await.map_err(|error| refused(error.to_string()))?;
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let taken = partitions.filter(|partition| partition.error_code == 0);
            if taken.count() != OFFSETS {
                return Err(refused(format!("{answer:?}")));
            }
        }
        Ok(())
    }

    /// Every group is told the offsets of its last commit.
    pub(super) async fn check(&self, round: u64) -> Result<(), String> {
        let sent: Vec<_> = (0..)
            .zip(&self.sessions)
            .map(|(group, session)| call(&**session, FETCH_VERSION, fetch_of(group)))
            .collect();
        for (group, answer) in (0..).zip(sent) {
            let answer = answer.await.map_err(|error| error.to_string())?;
            let topics = answer.groups.iter().flat_map(|found| &found.topics);
            let mut found: Vec<(i32, i64)> = topics
                .flat_map(|topic| &topic.partitions)
                .map(|partition| (partition.index, partition.committed_offset))
                .collect();
            found.sort_unstable();
            let last = last_round(group, round);
            let committed: Vec<_> = offsets_of(group, last).collect();
            if found != committed {
                return Err(format!(
                    "group {group} has committed {committed:?} in round {last}, and is told \
                     {found:?} behind round {round}"
                ));
            }
        }
        Ok(())
    }
}

/// The last round up to this one in which a group has committed.
const fn last_round(group: i64, round: u64) -> u64 {
    if group < GROUPS { round } else { 0 }
}

fn offsets_of(group: i64, round: u64) -> impl Iterator<Item = (i32, i64)> {
    let round = i64::try_from(round).expect("a week has fewer rounds");
    let base = (round * (GROUPS + QUIET_GROUPS) + group) * i64::from(PARTITIONS);
    (0..PARTITIONS).map(move |partition| (partition, base + i64::from(partition)))
}

fn commit_of(group: i64, round: u64) -> OffsetCommitRequest {
    let partitions =
        offsets_of(group, round).map(|(index, committed_offset)| OffsetCommitPartition {
            index,
            committed_offset,
            committed_leader_epoch: 0,
            ..OffsetCommitPartition::default()
        });
    OffsetCommitRequest {
        group_id: name(group).into(),
        topics: vec![OffsetCommitTopic {
            name: TOPIC.into(),
            partitions: partitions.collect(),
        }],
        ..OffsetCommitRequest::default()
    }
}

fn fetch_of(group: i64) -> OffsetFetchRequest {
    OffsetFetchRequest {
        groups: vec![OffsetFetchGroup {
            group_id: name(group).into(),
            topics: None,
            ..OffsetFetchGroup::default()
        }],
        ..OffsetFetchRequest::default()
    }
}

fn name(group: i64) -> String {
    format!("group-{group:04}")
}

/// What the groups read.
pub(super) const TOPIC: &str = "t";
/// The partitions of it: each group commits an offset in each.
pub(super) const PARTITIONS: i32 = 12;
const GROUPS: i64 = 1_000;
/// Two in each partition of `__consumer_offsets`.
const QUIET_GROUPS: i64 = 8;
const OFFSETS: usize = PARTITIONS as usize;
const COMMIT_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 9;
