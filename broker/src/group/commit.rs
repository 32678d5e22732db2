//! Offsets are committed.
//!
//! Floor 2 of broker.
//!
//! - Commits that wait for the log one after another are written together.

use crate::error::GroupError;
use crate::group::call::{Ask, Commit, Reply, Ticket};
use crate::group::state::{Group, Phase, Then};
use crate::group::step::Step;

impl Group {
    pub(super) fn commit(&mut self, step: &mut Step<'_>, ticket: Ticket, commit: &Commit) {
        if let Err(error) = self.check_commit(step, commit) {
            return step.reply(ticket, Reply::Commit(Err(error)));
        }
        let mut tickets = vec![ticket];
        let now = step.now.wall;
        let mut records = self.durable.offsets.commit_records(step.group, now, commit);
        while let Some((ticket, commit)) = self.next_commit(records.len()) {
            if let Err(error) = self.check_commit(step, &commit) {
                step.reply(ticket, Reply::Commit(Err(error)));
                continue;
            }
            tickets.push(ticket);
            records.extend(
                self.durable
                    .offsets
                    .commit_records(step.group, now, &commit),
            );
        }
        self.write(step, records, Then::Answer(tickets, Reply::Commit));
    }

    /// The commit that waits next, if nothing else stands before it and there is room.
    fn next_commit(&mut self, records_count: usize) -> Option<(Ticket, Commit)> {
        let is_commit = matches!(self.queue.front(), Some((_, Ask::Commit(_))));
        if !is_commit || records_count >= MERGED_RECORDS_MAX {
            return None;
        }
        match self.queue.pop_front() {
            Some((ticket, Ask::Commit(commit))) => Some((ticket, commit)),
            _ => None,
        }
    }

    /// Whether this commit is allowed; one of a member also says that it is alive.
    fn check_commit(&mut self, step: &Step<'_>, commit: &Commit) -> Result<(), GroupError> {
        let who = &commit.member;
        if who.generation < 0 && self.is_empty() {
            // Somebody who keeps offsets here without being a member, or a tool.
            return Ok(());
        }
        if self.is_unknown() {
            let asked = who.generation;
            return Err(GroupError::GenerationOfUnknownGroup { asked });
        }
        self.checked(who)?.keep_alive(step.now.mono);
        match self.phase {
            // The member knows of a generation in which it has nothing to do yet.
            Phase::Completing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Empty | Phase::Preparing { .. } | Phase::Stable { .. } => Ok(()),
        }
    }
}

/// Commits are not written together beyond this many records, so that a batch stays small.
const MERGED_RECORDS_MAX: usize = 1_000;
