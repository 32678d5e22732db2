//! Committing: what was handed out, what the caller says, what must be over before partitions go.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - Nothing is committed that was not handed out, but for what the caller says himself.
//! - Who waits for a commit may be dropped: the commit goes on.

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use tracing::Instrument;

use super::commits::{Commit, Position};
use super::membership::Membership;
use super::{Done, Group, Release};
use crate::admin::COMMIT_VERSION_MAX;
use crate::admin::CommittedOffset;
use crate::admin::Committer;
use crate::cluster::Terms;
use crate::consumer::assigned::Assigned;
use crate::consumer::fetcher::Fetcher;
use crate::error::ClientError;
use crate::trace::commit_span;

impl Group {
    /// Commits by itself if it is time; gives the next time to look.
    pub(in crate::consumer) fn commit_if_due(&mut self, fetcher: &Fetcher) -> Mono {
        if !self.config.enable_auto_commit {
            return Mono::NEVER;
        }
        let now = fetcher.now();
        if self.commits_at <= now && !self.commits.is_busy() {
            self.commits_at = now.plus(self.commit_interval());
            self.commit(uncommitted(fetcher));
        }
        match self.commits.is_busy() {
            true => Mono::NEVER,
            false => self.commits_at,
        }
    }

    /// Commits behind what is under way; gives the number of the commit.
    pub(super) fn commit(&mut self, positions: Vec<Position>) -> Option<u64> {
        if positions.is_empty() || self.committer().is_none() {
            return None;
        }
        let number = self.commits.add(positions);
        self.send_next();
        Some(number)
    }

    fn committer(&self) -> Option<Committer> {
        let Some(membership) = &self.membership else {
            return Some(Committer::outside());
        };
        let seat = membership.newest_seat()?;
        Some(Committer {
            generation: seat.generation,
            member_id: seat.member_id,
            instance_id: self.config.group_instance_id.clone(),
        })
    }

    /// Sends the commit that waits, if it may go.
    pub(super) fn send_next(&mut self) {
        let (generation, is_joining) = self.goes_on();
        let next = self.commits.next(generation, is_joining);
        if let Some(Release::Commit(number)) = self.release
            && self.commits.outcome(number).is_some()
        {
            self.release = None;
        }
        let (Some(commit), Some(committer)) = (next, self.committer()) else {
            return;
        };
        let (admin, group) = (self.admin(), Arc::clone(&self.id));
        let terms = Terms {
            versions: 0..=COMMIT_VERSION_MAX,
            each: Duration::from_millis(self.config.request_timeout_ms),
            total: Duration::from_millis(self.config.default_api_timeout_ms),
        };
        let span = commit_span(&group);
        let send = async move {
            let offsets: Vec<_> = commit.positions.iter().map(Position::to_commit).collect();
            let result = admin.commit_as(&committer, &group, &offsets, terms).await;
            Done::Committed(commit, result)
        };
        self.tasks.spawn(send.instrument(span));
    }

    /// How far records were handed out beyond what is committed.
    pub(in crate::consumer) fn not_committed(fetcher: &Fetcher) -> Vec<CommittedOffset> {
        uncommitted(fetcher)
            .iter()
            .map(Position::to_commit)
            .collect()
    }

    /// From now on, what is committed is told by [`Self::reported`].
    pub(in crate::consumer) fn report(&mut self) {
        self.report = Some(Vec::new());
    }

    pub(in crate::consumer) fn reported(&mut self) -> Vec<CommittedOffset> {
        self.report.take().unwrap_or_default()
    }

    /// Commits what was handed out, and waits for the answer.
    pub(in crate::consumer) async fn commit_now(
        &mut self,
        fetcher: &mut Fetcher,
    ) -> Result<(), ClientError> {
        let positions = uncommitted(fetcher);
        self.commit_and_wait(positions, fetcher).await
    }

    /// Commits these offsets, and waits for the answer.
    pub(in crate::consumer) async fn commit_offsets(
        &mut self,
        offsets: &[CommittedOffset],
        fetcher: &mut Fetcher,
    ) -> Result<(), ClientError> {
        let positions = offsets.iter().cloned().map(Position::told).collect();
        self.commit_and_wait(positions, fetcher).await
    }

    async fn commit_and_wait(
        &mut self,
        positions: Vec<Position>,
        fetcher: &mut Fetcher,
    ) -> Result<(), ClientError> {
        let Some(number) = self.commit(positions) else {
            return Ok(());
        };
        loop {
            if let Some(outcome) = self.commits.outcome(number) {
                return outcome.clone();
            }
            if let Some(done) = self.changed().await {
                self.handle(done, fetcher);
            }
            self.send_next();
        }
    }

    /// Gives everything back, as if the group wanted it; and waits until that is done.
    pub(in crate::consumer) async fn give_up(
        &mut self,
        fetcher: &mut Fetcher,
    ) -> Result<(), ClientError> {
        self.release(fetcher, |_| false);
        let mut number = 0;
        while let Some(release) = &self.release {
            if let Release::Commit(commit) = release {
                number = *commit;
            }
            if let Some(done) = self.changed().await {
                self.handle(done, fetcher);
            }
            self.send_next();
        }
        self.commits.outcome(number).cloned().unwrap_or(Ok(()))
    }

    /// A commit has come to its end.
    pub(super) fn committed(
        &mut self,
        commit: &Commit,
        result: Result<(), ClientError>,
        fetcher: &mut Fetcher,
    ) {
        match &result {
            Ok(()) => {
                if let Some(report) = &mut self.report {
                    report.extend(commit.positions.iter().map(Position::to_commit));
                }
                for position in &commit.positions {
                    if let Some(assigned) = fetcher.same(&position.asked) {
                        assigned.set_committed(position.offset);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, group = &*self.id, "offsets were not committed");
            }
        }
        let goes_on = self.goes_on();
        self.commits.ended(commit, result, goes_on);
        self.send_next();
    }

    /// The newest generation that takes commits, and whether there will be a newer one.
    fn goes_on(&self) -> (Option<i32>, bool) {
        let generation = self.committer().map(|it| it.generation);
        let is_joining = self.membership.as_ref().is_some_and(Membership::is_joining);
        (generation, is_joining)
    }

    pub(super) fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.config.auto_commit_interval_ms)
    }
}

/// How far what was handed out goes beyond what is committed.
pub(super) fn uncommitted(fetcher: &Fetcher) -> Vec<Position> {
    let position = |it: &Assigned| {
        Some(Position {
            asked: it.asked.clone(),
            offset: it.uncommitted()?,
            leader_epoch: it.leader_epoch(),
            metadata: String::new(),
        })
    };
    fetcher.partitions.iter().filter_map(position).collect()
}
