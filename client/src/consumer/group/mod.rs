//! A consumer's side of its group: what it owns, what it commits, when it gives back.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - A partition is read only between the moment that `poll` took its generation over and the
//!   moment that it was given back or lost; what `poll` handed out is committed before it is given
//!   back.
//! - Positions are committed only in a generation that the coordinator still accepts, and never
//!   beyond what `poll` has handed out.
//! - Tasks do the waiting: a call that is dropped leaves nothing half done.

mod assignor;
mod call;
mod machine;
mod membership;
mod plan;
mod task;

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use tokio::task::{JoinError, JoinSet};

use self::membership::Membership;
use super::assigned::Asked;
use super::assigned::Assigned;
use super::fetcher::Fetcher;
use crate::admin::Admin;
use crate::admin::COMMIT_VERSION_MAX;
use crate::admin::CommittedOffset;
use crate::admin::Committer;
use crate::cluster::Cluster;
use crate::cluster::Terms;
use crate::config::ConsumerConfig;
use crate::error::ClientError;

pub(super) use membership::Polling;

/// Which member of which generation a consumer is, as others may ask to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The generation.
    pub generation: i32,
    /// The id that the coordinator gave.
    pub member_id: String,
}

/// The group of a consumer.
#[derive(Debug)]
pub(super) struct Group {
    id: Arc<str>,
    config: Arc<ConsumerConfig>,
    /// On sessions of the group's own.
    calls: Arc<Cluster>,
    membership: Option<Membership>,
    /// Commits and questions for committed offsets that are under way.
    tasks: JoinSet<Done>,
    commit_count: u64,
    /// One commit is under way at most: a later one waits, so that none overtakes it.
    is_committing: bool,
    queued: Option<Commit>,
    /// The commit that has to be over before partitions are given back.
    last_commit: Option<u64>,
    commits_at: Mono,
}

/// Positions to commit.
#[derive(Debug)]
pub(super) struct Commit {
    number: u64,
    positions: Vec<Position>,
}

/// The next record of a partition, and the leader epoch of the one before.
#[derive(Debug)]
struct Position {
    asked: Asked,
    offset: i64,
    leader_epoch: Option<i32>,
}

/// A task has come to its end.
#[derive(Debug)]
pub(super) enum Done {
    Committed(Commit, Result<(), ClientError>),
    Found(Vec<Asked>, Result<Vec<CommittedOffset>, ClientError>),
}

impl Group {
    /// A group that the consumer commits for, without being a member.
    pub(super) fn new(cluster: &Cluster, config: &Arc<ConsumerConfig>) -> Option<Self> {
        let id = Arc::from(config.group_id.as_deref()?);
        let interval = Duration::from_millis(config.auto_commit_interval_ms);
        Some(Self {
            id,
            config: Arc::clone(config),
            calls: Arc::new(cluster.with_own_sessions()),
            membership: None,
            tasks: JoinSet::new(),
            commit_count: 0,
            is_committing: false,
            queued: None,
            last_commit: None,
            commits_at: cluster.clock().now().mono.plus(interval),
        })
    }

    /// Wishes to be a member that reads these topics.
    pub(super) fn subscribe(&mut self, topics: Vec<String>) -> Result<(), ClientError> {
        self.config.group()?;
        match &mut self.membership {
            Some(membership) => membership.change(topics),
            None => {
                let parking = Arc::new(self.calls.with_own_sessions());
                let calls = Arc::clone(&self.calls);
                let config = Arc::clone(&self.config);
                self.membership = Some(Membership::start((parking, calls), config, topics));
            }
        }
        Ok(())
    }

    pub(super) const fn is_subscribed(&self) -> bool {
        self.membership.is_some()
    }

    pub(super) fn subscription(&self) -> &[String] {
        self.membership.as_ref().map_or(&[], Membership::topics)
    }

    pub(super) fn metadata(&self) -> Option<GroupMetadata> {
        let seat = self.membership.as_ref()?.seat()?;
        Some(GroupMetadata {
            group_id: self.id.to_string(),
            generation: seat.generation,
            member_id: seat.member_id.clone(),
        })
    }

    /// The consumer is being polled, until this is dropped.
    pub(super) fn polling(&self) -> Option<Polling> {
        let clock = Arc::clone(self.calls.clock());
        Some(self.membership.as_ref()?.polling(clock))
    }

    /// So often the consumer says that it is being polled.
    pub(super) fn touch_interval(&self) -> Duration {
        let ms = u64::try_from(self.config.max_poll_interval_ms).unwrap_or(0);
        Duration::from_millis(ms / 2)
    }

    /// Brings the partitions in line with the membership.
    ///
    /// # Errors
    /// Why the consumer cannot be a member.
    pub(super) fn tend(&mut self, fetcher: &mut Fetcher) -> Result<(), ClientError> {
        let Some(membership) = &mut self.membership else {
            return Ok(());
        };
        let may_give_back = self.last_commit.is_none();
        match membership.turn(may_give_back) {
            membership::Turn::Stay => {}
            membership::Turn::Take(partitions) => self.take_over(partitions, fetcher),
            membership::Turn::GiveBack => {
                if self.config.enable_auto_commit {
                    self.last_commit = self.commit(fetcher);
                }
                fetcher.partitions.clear();
                // Without a last commit it is given back at once.
                return self.tend(fetcher);
            }
            membership::Turn::Drop(error) => {
                tracing::warn!(%error, group = &*self.id, "the membership was lost");
                fetcher.partitions.clear();
                (self.queued, self.last_commit) = (None, None);
            }
            membership::Turn::Fail(error) => {
                fetcher.partitions.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    fn take_over(&mut self, partitions: Vec<(String, Vec<i32>)>, fetcher: &mut Fetcher) {
        let mut asked = Vec::new();
        for (topic, partitions) in partitions {
            let topic: Arc<str> = Arc::from(topic);
            for partition in partitions {
                asked.push(fetcher.assign(&topic, partition, None));
            }
        }
        self.commits_at = fetcher.now().plus(self.commit_interval());
        self.find(asked);
    }

    /// Asks what the group has committed in these partitions.
    fn find(&mut self, asked: Vec<Asked>) {
        if asked.is_empty() {
            return;
        }
        let (admin, group) = (self.admin(), Arc::clone(&self.id));
        self.tasks.spawn(async move {
            let partitions = asked.iter().map(|it| (&*it.topic, it.partition));
            let partitions: Vec<(&str, i32)> = partitions.collect();
            let found = admin.group_offsets(&group, Some(&partitions)).await;
            Done::Found(asked, found)
        });
    }

    /// Takes in what a task has found out; the number of a commit, and what became of it.
    pub(super) fn handle(
        &mut self,
        done: Result<Done, JoinError>,
        fetcher: &mut Fetcher,
    ) -> Option<(u64, Result<(), ClientError>)> {
        match done {
            Ok(Done::Committed(commit, result)) => Some(self.committed(commit, result, fetcher)),
            Ok(Done::Found(asked, Ok(found))) => {
                resume(&asked, &found, fetcher, &self.config);
                None
            }
            Ok(Done::Found(asked, Err(error))) if error.is_retriable() => {
                tracing::warn!(%error, group = &*self.id, "committed offsets are asked for again");
                let still = asked.into_iter().filter(|it| fetcher.same(it).is_some());
                self.find(still.collect());
                None
            }
            Ok(Done::Found(asked, Err(error))) => {
                for asked in asked {
                    if let Some(assigned) = fetcher.same(&asked) {
                        assigned.stop(error.clone());
                    }
                }
                None
            }
            Err(error) => {
                tracing::error!(%error, "a task of the group ended");
                (self.is_committing, self.queued, self.last_commit) = (false, None, None);
                None
            }
        }
    }

    fn committed(
        &mut self,
        commit: Commit,
        result: Result<(), ClientError>,
        fetcher: &mut Fetcher,
    ) -> (u64, Result<(), ClientError>) {
        match &result {
            Ok(()) => {
                for position in commit.positions {
                    if let Some(assigned) = fetcher.same(&position.asked) {
                        assigned.set_committed(position.offset);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, group = &*self.id, "offsets were not committed");
            }
        }
        self.is_committing = false;
        self.last_commit = self.last_commit.filter(|last| *last != commit.number);
        if let Some(next) = self.queued.take() {
            self.send(next);
        }
        (commit.number, result)
    }

    /// Takes in what is there.
    pub(super) fn take_in(&mut self, fetcher: &mut Fetcher) {
        while let Some(done) = self.tasks.try_join_next() {
            self.handle(done, fetcher);
        }
    }

    /// Waits for something to take in or to tend to. Cancel safe.
    pub(super) async fn changed(&mut self) -> Option<Result<Done, JoinError>> {
        let membership = async {
            match &mut self.membership {
                Some(membership) => membership.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(done) = self.tasks.join_next() => Some(done),
            () = membership => None,
        }
    }

    /// Commits by itself if it is time; gives the next time to look.
    pub(super) fn commit_if_due(&mut self, fetcher: &Fetcher) -> Mono {
        if !self.config.enable_auto_commit {
            return Mono::NEVER;
        }
        let now = fetcher.now();
        if self.commits_at <= now && !self.is_committing {
            self.commits_at = now.plus(self.commit_interval());
            self.commit(fetcher);
        }
        match self.is_committing {
            true => Mono::NEVER,
            false => self.commits_at,
        }
    }

    /// Commits what was handed out and is not committed yet, behind what is under way; gives the
    /// number of the commit.
    fn commit(&mut self, fetcher: &Fetcher) -> Option<u64> {
        let position = |it: &Assigned| {
            Some(Position {
                asked: it.asked.clone(),
                offset: it.uncommitted()?,
                leader_epoch: it.leader_epoch(),
            })
        };
        let positions: Vec<_> = fetcher.partitions.iter().filter_map(position).collect();
        if positions.is_empty() || self.committer().is_none() {
            return None;
        }
        self.commit_count += 1;
        let number = self.commit_count;
        let commit = Commit { number, positions };
        match self.is_committing {
            // It has everything that an older one that waits has.
            true => self.queued = Some(commit),
            false => self.send(commit),
        }
        Some(number)
    }

    fn committer(&self) -> Option<Committer> {
        let Some(membership) = &self.membership else {
            return Some(Committer::outside());
        };
        let seat = membership.seat()?;
        Some(Committer {
            generation: seat.generation,
            member_id: seat.member_id.clone(),
            instance_id: self.config.group_instance_id.clone(),
        })
    }

    fn send(&mut self, commit: Commit) {
        let Some(committer) = self.committer() else {
            return;
        };
        self.is_committing = true;
        let (admin, group) = (self.admin(), Arc::clone(&self.id));
        let terms = Terms {
            each: Duration::from_millis(self.config.request_timeout_ms),
            ..Terms::new(0..=COMMIT_VERSION_MAX)
        };
        self.tasks.spawn(async move {
            let offsets: Vec<_> = commit.positions.iter().map(to_commit).collect();
            let result = admin.commit_as(&committer, &group, &offsets, terms).await;
            Done::Committed(commit, result)
        });
    }

    /// Commits what was handed out, and waits for the answer.
    pub(super) async fn commit_now(&mut self, fetcher: &mut Fetcher) -> Result<(), ClientError> {
        let Some(number) = self.commit(fetcher) else {
            return Ok(());
        };
        while let Some(done) = self.tasks.join_next().await {
            match self.handle(done, fetcher) {
                Some((done, result)) if done == number => return result,
                _ => {}
            }
        }
        Err(ClientError::Closed)
    }

    /// Leaves the group, and waits until that is done.
    pub(super) async fn leave(&mut self) {
        if let Some(membership) = self.membership.take() {
            membership.leave().await;
        }
    }

    fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.calls))
    }

    fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.config.auto_commit_interval_ms)
    }
}

fn to_commit(position: &Position) -> CommittedOffset {
    CommittedOffset {
        topic: position.asked.topic.to_string(),
        partition: position.asked.partition,
        offset: position.offset,
        leader_epoch: position.leader_epoch,
        metadata: String::new(),
    }
}

/// Starts partitions where the group has got to.
fn resume(
    asked: &[Asked],
    found: &[CommittedOffset],
    fetcher: &mut Fetcher,
    config: &ConsumerConfig,
) {
    for asked in asked {
        let is_it =
            |it: &&CommittedOffset| *it.topic == *asked.topic && it.partition == asked.partition;
        let offset = found.iter().find(is_it).map(|it| it.offset);
        if let Some(assigned) = fetcher.same(asked) {
            assigned.resume(offset, config.auto_offset_reset);
        }
    }
}
