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
mod commits;
mod committing;
mod listener;
mod machine;
mod membership;
mod pattern;
mod plan;
mod task;

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use tokio::task::{JoinError, JoinSet};

use self::commits::{Commit, Commits, Position, put_over};
use self::committing::uncommitted;
use self::listener::Listener;
use self::membership::Membership;
use self::pattern::Pattern;
use super::assigned::Asked;
use super::assigned::Assigned;
use super::fetcher::Fetcher;
use crate::admin::Admin;
use crate::admin::CommittedOffset;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::ClientError;

pub use listener::RebalanceListener;
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
    /// Where the topics of the membership come from, if not from the user.
    pattern: Option<Pattern>,
    patterns_count: u64,
    listener: Option<Listener>,
    /// Commits, questions for committed offsets and words of the listener that are under way.
    tasks: JoinSet<Done>,
    commits: Commits,
    release: Option<Release>,
    /// What was committed since somebody wants to know.
    report: Option<Vec<CommittedOffset>>,
    commits_at: Mono,
}

/// What has to be over before partitions are given back.
#[derive(Debug)]
enum Release {
    /// The listener's future; with the positions that are committed without its words.
    Listener(Vec<Position>),
    Commit(u64),
}

/// A task has come to its end.
#[derive(Debug)]
pub(super) enum Done {
    Committed(Commit, Result<(), ClientError>),
    Found(Vec<Asked>, Result<Vec<CommittedOffset>, ClientError>),
    Heard(Vec<CommittedOffset>),
    Looked(pattern::Found),
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
            pattern: None,
            patterns_count: 0,
            listener: None,
            tasks: JoinSet::new(),
            commits: Commits::new(),
            release: None,
            report: None,
            commits_at: cluster.clock().now().mono.plus(interval),
        })
    }

    /// Who hears of partitions that come and go.
    pub(super) fn listen(&mut self, listener: Box<dyn RebalanceListener>) {
        self.listener = Some(Listener(listener));
    }

    /// Wishes to be a member that reads these topics.
    pub(super) fn subscribe(&mut self, topics: Vec<String>) {
        self.pattern = None;
        self.read(topics);
    }

    /// Wishes to be a member that reads the topics of a pattern, as soon as they are known.
    pub(super) fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), ClientError> {
        self.patterns_count += 1;
        self.pattern = Some(Pattern::new(pattern, self.patterns_count)?);
        Ok(())
    }

    fn read(&mut self, topics: Vec<String>) {
        match &mut self.membership {
            Some(membership) => membership.change(topics),
            None => {
                let parking = Arc::new(self.calls.with_own_sessions());
                let calls = Arc::clone(&self.calls);
                let config = Arc::clone(&self.config);
                self.membership = Some(Membership::start((parking, calls), config, topics));
            }
        }
    }

    /// Looks for the topics of a pattern if it is time; gives the next time.
    pub(super) fn look_if_due(&mut self, now: Mono) -> Mono {
        let Some(pattern) = &mut self.pattern else {
            return Mono::NEVER;
        };
        match pattern.look(now, &self.calls, &self.config) {
            Ok(look) => {
                self.tasks.spawn(async move { Done::Looked(look.await) });
                Mono::NEVER
            }
            Err(later) => later,
        }
    }

    fn looked(&mut self, found: pattern::Found, now: Mono) {
        let Some(pattern) = &mut self.pattern else {
            return;
        };
        if !pattern.looked(&found, now, &self.config) {
            return;
        }
        match found.topics {
            Ok(topics) => self.read(topics),
            Err(error) => {
                tracing::warn!(%error, group = &*self.id, "topics are looked for again");
            }
        }
    }

    pub(super) const fn is_subscribed(&self) -> bool {
        self.membership.is_some() || self.pattern.is_some()
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
        loop {
            self.send_next();
            let Some(membership) = &mut self.membership else {
                return Ok(());
            };
            match membership.turn(self.release.is_none()) {
                membership::Turn::Stay => return Ok(()),
                membership::Turn::Take(assigned) => self.take_over(assigned, fetcher),
                membership::Turn::GiveBack => self.give_back(fetcher),
                membership::Turn::Rejoin => membership.next_round(owned(fetcher)),
                membership::Turn::Drop(error) => {
                    membership.next_round(Vec::new());
                    self.lose(error, fetcher);
                }
                membership::Turn::Fail(error) => {
                    self.lose(error.clone(), fetcher);
                    return Err(error);
                }
            }
        }
    }

    /// Works on these partitions from now on: on those that are new from where the group has got
    /// to, on those that stay as before, and on no others.
    fn take_over(&mut self, assigned: Vec<(String, Vec<i32>)>, fetcher: &mut Fetcher) {
        let mut places: HashSet<(Arc<str>, i32)> = HashSet::new();
        for (topic, partitions) in assigned {
            let topic: Arc<str> = Arc::from(topic);
            places.extend(partitions.into_iter().map(|it| (Arc::clone(&topic), it)));
        }
        let stays = |it: &Assigned| places.contains(&it.place());
        if !fetcher.partitions.iter().all(stays) {
            if let Some(membership) = &mut self.membership {
                membership.release();
            }
            self.release(fetcher, stays);
        }
        for assigned in &fetcher.partitions {
            places.remove(&assigned.place());
        }
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort();
        if fetcher.partitions.is_empty() {
            self.commits_at = fetcher.now().plus(self.commit_interval());
        }
        let asked = places
            .iter()
            .map(|(topic, partition)| fetcher.assign(topic, *partition, None));
        let asked = asked.collect();
        self.find(asked);
        if let Some(Listener(listener)) = &mut self.listener
            && !places.is_empty()
        {
            listener.assigned(&places);
        }
    }

    /// Gives back what is not kept through a rebalance.
    fn give_back(&mut self, fetcher: &mut Fetcher) {
        let Some(membership) = &self.membership else {
            return;
        };
        let kept: HashSet<_> = fetcher
            .partitions
            .iter()
            .map(Assigned::place)
            .filter(|(topic, _)| membership.keeps(topic))
            .collect();
        self.release(fetcher, |it| kept.contains(&it.place()));
    }

    /// Reads nothing any more but what stays, and begins to commit how far the work is done.
    fn release(&mut self, fetcher: &mut Fetcher, stays: impl Fn(&Assigned) -> bool) {
        let done = match self.config.enable_auto_commit {
            true => uncommitted(fetcher),
            false => Vec::new(),
        };
        let given = fetcher.partitions.extract_if(.., |it| !stays(it));
        let given: Vec<_> = given.map(|it| it.place()).collect();
        match &mut self.listener {
            Some(Listener(listener)) if !given.is_empty() && self.membership.is_some() => {
                let heard = listener.revoked(&given);
                self.tasks.spawn(async move { Done::Heard(heard.await) });
                self.release = Some(Release::Listener(done));
            }
            _ => {
                let commit = self.commit(done);
                self.release = commit.filter(|_| !given.is_empty()).map(Release::Commit);
            }
        }
    }

    /// What the consumer had belongs to others.
    fn lose(&mut self, error: ClientError, fetcher: &mut Fetcher) {
        tracing::warn!(%error, group = &*self.id, "the membership was lost");
        let lost: Vec<_> = fetcher.partitions.drain(..).map(|it| it.place()).collect();
        self.release = None;
        self.commits.give_up(error);
        if let Some(Listener(listener)) = &mut self.listener
            && !lost.is_empty()
        {
            listener.lost(&lost);
        }
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

    /// Takes in what a task has found out.
    pub(super) fn handle(&mut self, done: Result<Done, JoinError>, fetcher: &mut Fetcher) {
        match done {
            Ok(Done::Committed(commit, result)) => self.committed(&commit, result, fetcher),
            Ok(Done::Found(asked, Ok(found))) => {
                resume(&asked, &found, fetcher, &self.config);
            }
            Ok(Done::Found(asked, Err(error))) if error.is_retriable() => {
                tracing::warn!(%error, group = &*self.id, "committed offsets are asked for again");
                let still = asked.into_iter().filter(|it| fetcher.same(it).is_some());
                self.find(still.collect());
            }
            Ok(Done::Found(asked, Err(error))) => {
                for asked in asked {
                    if let Some(assigned) = fetcher.same(&asked) {
                        assigned.stop(error.clone());
                    }
                }
            }
            Ok(Done::Heard(offsets)) => {
                // Nobody waits for it if the partitions were lost meanwhile.
                if let Some(Release::Listener(mut positions)) = self.release.take() {
                    let told = offsets.into_iter().map(Position::told).collect();
                    put_over(&mut positions, told);
                    self.release = self.commit(positions).map(Release::Commit);
                }
            }
            Ok(Done::Looked(found)) => self.looked(found, fetcher.now()),
            Err(error) => {
                tracing::error!(%error, "a task of the group ended");
                self.release = None;
                self.commits.fail(ClientError::Closed);
            }
        }
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

    /// Leaves the group, and waits until that is done.
    pub(super) async fn leave(&mut self) {
        self.pattern = None;
        if let Some(membership) = self.membership.take() {
            membership.leave().await;
        }
    }

    fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.calls))
    }
}

/// What is read, by topic.
fn owned(fetcher: &Fetcher) -> Vec<(String, Vec<i32>)> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for assigned in &fetcher.partitions {
        let topic = topics.entry(&assigned.asked.topic).or_default();
        topic.push(assigned.asked.partition);
    }
    let topic = |(topic, mut partitions): (&str, Vec<i32>)| {
        partitions.sort_unstable();
        (topic.to_owned(), partitions)
    };
    topics.into_iter().map(topic).collect()
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
