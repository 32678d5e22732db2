//! Stage 2: makes what stage 1 wrote durable, and answers those who waited for it.
//!
//! Floor 7 of log-core.
//!
//! A cycle that touches one log syncs its file. One that touches several writes their batches to
//! the journal and syncs that, once; logs with many bytes are synced by themselves beside it, at
//! the same time.
//!
//! Invariants
//! - Cycles follow one another, and each covers all that was written before it: the durable marks
//!   move in order, over a contiguous prefix.
//! - What a cycle covers was captured before its sync; what is written meanwhile is the next one's.
//! - Bytes that only the journal holds move `durable`, never `synced`.
//! - Among callers who block and sync themselves one has the turn. While anybody waits it goes on
//!   to one of them who is blocked, and takes it at once: no cycle waits for a thread that does
//!   something else, and nobody works for others without end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_proto::clock::Mono;

use super::poison::PanicGuard;
use super::side_by_side::side_by_side;
use super::{Cycle, Done, Shard, ShardConfig, Slot};
use crate::error::LogError;
use crate::journal::{Journal, JournalEntry, Stored};
use crate::log::{Appended, SyncTarget};
use crate::sync::lock;
use crate::types::LogId;

/// What was written to one log since the last cycle.
#[derive(Debug)]
pub(super) struct Commit {
    slot: Arc<Slot>,
    /// Where the log's file stood after the last of these batches.
    target: SyncTarget,
    /// The batches, for the journal; none once they are too many for it.
    stored: Vec<Stored>,
    bytes: usize,
}

impl Commit {
    pub(super) fn new(slot: Arc<Slot>, target: SyncTarget, stored: Vec<Stored>) -> Self {
        let bytes = stored.iter().map(Stored::len).sum();
        Self {
            slot,
            target,
            stored,
            bytes,
        }
    }

    fn is_for_journal(&self) -> bool {
        !self.stored.is_empty()
    }
}

/// An append that waits until its log is durable.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) done: Done,
    /// The answer, once it is true for good.
    pub(super) result: Result<Appended, LogError>,
}

/// What waits for the next cycle.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    commits: BTreeMap<LogId, Commit>,
    waiters: Vec<Waiter>,
    /// Bytes that the batches kept for the journal hold in memory.
    stored_bytes: usize,
    /// When the first of all these batches was queued.
    since: Option<Mono>,
    refused: Option<LogError>,
    /// Whether one of the callers who block has the turn to sync.
    has_turn: bool,
}

impl Waiting {
    /// Adds what a group has written, or gives the waiters back with the reason.
    pub(super) fn add(
        &mut self,
        commits: Vec<Commit>,
        waiters: Vec<Waiter>,
        since: Mono,
        limits: &ShardConfig,
    ) -> Option<(Vec<Waiter>, LogError)> {
        if let Some(why) = &self.refused {
            return Some((waiters, why.clone()));
        }
        for commit in commits {
            self.add_commit(commit, limits);
        }
        self.waiters.extend(waiters);
        self.since = Some(self.since.map_or(since, |first| first.min(since)));
        None
    }

    /// What is too much for the journal is not kept in memory until the disk has caught up:
    /// callers who do not wait for it are not held back by it.
    fn add_commit(&mut self, commit: Commit, limits: &ShardConfig) {
        let id = commit.slot.id;
        self.stored_bytes += commit.bytes;
        let entry = match self.commits.remove(&id) {
            None => commit,
            Some(mut earlier) => {
                let is_kept = earlier.is_for_journal();
                earlier.target = commit.target;
                earlier.bytes += commit.bytes;
                if is_kept {
                    earlier.stored.extend(commit.stored);
                } else {
                    self.stored_bytes -= commit.bytes;
                }
                earlier
            }
        };
        let is_large = entry.bytes > limits.journal_batch_bytes_max;
        let entry = if entry.is_for_journal() && (is_large || self.stored_bytes > STORED_BYTES_MAX)
        {
            self.stored_bytes -= entry.bytes;
            Commit {
                stored: Vec::new(),
                ..entry
            }
        } else {
            entry
        };
        self.commits.insert(id, entry);
    }

    /// Takes the turn to sync, if somebody waits and nobody has it.
    fn take_turn(&mut self) -> bool {
        let takes = !self.waiters.is_empty() && !self.has_turn;
        self.has_turn |= takes;
        takes
    }

    /// Gives up the turn to one of those who wait, or to nobody if nobody waits. Whether it did:
    /// there may be none among them who can be called.
    fn give_up_turn(&mut self) -> bool {
        // In here nobody of them is answered, so that each call comes before the answer.
        self.has_turn = !self.waiters.is_empty();
        !self.has_turn || self.waiters.iter().any(|waiter| waiter.done.call())
    }

    /// All that waits, if anything does.
    fn take(&mut self) -> Option<Self> {
        if self.commits.is_empty() && self.waiters.is_empty() {
            return None;
        }
        let has_turn = self.has_turn;
        let taken = std::mem::take(self);
        self.has_turn = has_turn;
        Some(taken)
    }

    /// Refuses all that comes from now on, and gives back who waits.
    #[must_use]
    pub(super) fn refuse(&mut self, why: LogError) -> Vec<Waiter> {
        let waiting = std::mem::take(self);
        self.refused = Some(why);
        waiting.waiters
    }
}

impl Shard {
    /// Runs cycles until the shard is closed; on a thread of its own, one for a shard.
    pub fn commit_loop(&self) {
        self.committers.fetch_add(1, Ordering::AcqRel);
        while !self.is_closed() {
            self.commit_bell.wait();
            // Groups that a driver has left, and what is written while a cycle syncs.
            while self.write_once() | self.sync_once() {}
        }
        self.committers.fetch_sub(1, Ordering::AcqRel);
        // One ring wakes one thread: hand it on.
        self.commit_bell.ring();
    }

    /// Stage 2 by a caller who blocks, where there is no committer.
    pub(super) fn sync_if_nobody_does(&self) {
        let takes = lock(&self.waiting).take_turn();
        if takes {
            self.sync_for_all();
        }
    }

    /// The caller has the turn: syncs for all who wait, until another one takes over.
    pub(super) fn sync_for_all(&self) {
        loop {
            self.sync_once();
            if lock(&self.waiting).give_up_turn() {
                return;
            }
        }
    }

    /// Stage 2, one cycle: syncs all that was written so far and answers. Whether there was
    /// anything. A second caller waits for the first.
    pub fn sync_once(&self) -> bool {
        let guard = PanicGuard::new(self);
        let mut journal = lock(&self.journal);
        let Some(cycle) = lock(&self.waiting).take() else {
            guard.disarm();
            return false;
        };
        let since = cycle.since;
        let Waiting {
            commits, waiters, ..
        } = cycle;
        let had_ended = journal.ended().is_some();
        let outcome = self.make_durable(&mut journal, commits.values());
        let has_ended = journal.ended().is_some();
        // The marks move before the next cycle may begin, the answers may overlap it.
        let advanced = match &outcome {
            Ok(()) => advance(commits.values()),
            Err(_) => Vec::new(),
        };
        let appends = waiters.len();
        drop(journal);
        let outcome = outcome.map_err(|why| self.poison(&why));
        self.announce(&advanced);
        for Waiter { done, result } in waiters {
            done.answer(outcome.clone().and(result));
        }
        let bytes: usize = commits.values().map(|commit| commit.bytes).sum();
        self.note_synced(bytes as u64, has_ended && !had_ended);
        if let (Some(hook), Some(since)) = (self.hooks.on_cycle.get(), since) {
            let logs = commits.len();
            hook(Cycle {
                logs,
                appends,
                since,
            });
        }
        guard.disarm();
        true
    }

    fn make_durable<'a>(
        &self,
        journal: &mut Journal,
        commits: impl Iterator<Item = &'a Commit>,
    ) -> Result<(), LogError> {
        let (small, large): (Vec<_>, Vec<_>) = commits.partition(|commit| commit.is_for_journal());
        let mut direct = large;
        if small.len() < 2 || !append_to(journal, &small)? {
            direct.extend(small);
        }
        let targets: Vec<_> = direct.iter().map(|commit| &commit.target).collect();
        side_by_side(&targets, self.parallel_syncs, |target| target.sync()).map(drop)
    }
}

fn append_to(journal: &mut Journal, commits: &[&Commit]) -> Result<bool, LogError> {
    let entries: Vec<_> = commits
        .iter()
        .map(|commit| JournalEntry {
            log: commit.slot.id,
            end: commit.target.end(),
            batches: &commit.stored,
        })
        .collect();
    journal.append(&entries)
}

/// Moves the durable marks; the logs that they belong to.
fn advance<'a>(commits: impl Iterator<Item = &'a Commit>) -> Vec<LogId> {
    commits
        .map(|commit| {
            commit
                .slot
                .reader
                .marks()
                .advance_durable(commit.target.end());
            commit.slot.id
        })
        .collect()
}

/// The most that is kept in memory for the journal between two cycles, all logs together: from
/// there on a cycle is bound by bandwidth, and syncing file by file loses little.
const STORED_BYTES_MAX: usize = 16 << 20;
