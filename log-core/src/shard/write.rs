//! Stage 1: writes all that is queued, one append for each touched log, and answers those who wait
//! for no more than that.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - Batches of one log are written in the order in which they were queued.
//! - What a sync will cover is captured under the log's lock, together with the batches.
//! - Bytes that wait for stage 2 are handed over before anybody is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_proto::batch::PREFIX_BYTES;
use highwater_proto::clock::{Mono, Now};

use super::commit::{Commit, Waiter};
use super::poison::PanicGuard;
use super::{AckAt, Append, Done, Shard, Slot};
use crate::combine::{Reply, Woken};
use crate::config::Durability;
use crate::error::LogError;
use crate::journal::Stored;
use crate::log::{Appended, Sent};
use crate::sync::lock;
use crate::types::LogId;

impl Shard {
    /// Queues a batch and offers to write what is queued: the caller who finds the shard idle
    /// writes, for itself and for those who come meanwhile. It never syncs.
    ///
    /// `done` is answered exactly once: [`LogError::Closed`] for a log that is not open,
    /// [`LogError::Full`] below `min.free.bytes`, [`LogError::OverLimit`] in a full directory,
    /// [`LogError::Poisoned`] after a failure, else what the log says. The caller bounds what is
    /// queued.
    pub fn append(
        &self,
        log: LogId,
        batch: impl Into<Sent>,
        ack: AckAt,
        now: Now,
        done: impl FnOnce(Result<Appended, LogError>) + Send + 'static,
    ) {
        self.enqueue(Append {
            log,
            sent: batch.into(),
            ack,
            now,
            done: Done::new(done),
        });
        self.write_once();
    }

    /// Queues a batch. The caller follows with [`Self::write_once`], once for all that it queues:
    /// they share a cycle.
    pub fn enqueue(&self, append: Append) {
        if let Err((append, why)) = self.queue.push(append) {
            append.done.answer(Err(why));
        }
    }

    /// Appends and waits for the answer, for callers who may block. Without a thread in
    /// [`Self::commit_loop`] the callers sync, one at a time for all who wait.
    pub fn append_wait(
        &self,
        log: LogId,
        batch: impl Into<Sent>,
        ack: AckAt,
        now: Now,
    ) -> Result<Appended, LogError> {
        let reply = Arc::new(Reply::new());
        self.enqueue(Append {
            log,
            sent: batch.into(),
            ack,
            now,
            done: Done::blocked(Arc::clone(&reply)),
        });
        self.write_once();
        // Whoever wrote for others syncs for them as well: they may be waiting by now.
        if self.committers.load(Ordering::Acquire) == 0 {
            self.sync_if_nobody_does();
        }
        loop {
            match reply.wait() {
                Woken::Given(result) => return result,
                Woken::Called => self.sync_for_all(),
            }
        }
    }

    /// Stage 1: writes all that is queued, unless another thread does so already. Whether it did.
    pub fn write_once(&self) -> bool {
        let Some(mut driver) = self.queue.drive() else {
            return false;
        };
        let guard = PanicGuard::new(self);
        let mut rounds = 0;
        loop {
            let group = driver.take();
            if group.is_empty() {
                break;
            }
            self.write_group(group);
            rounds += 1;
            if rounds == ROUNDS_MAX && self.committers.load(Ordering::Acquire) > 0 {
                driver.leave();
                self.commit_bell.ring();
                break;
            }
        }
        guard.disarm();
        true
    }

    fn write_group(&self, group: Vec<Append>) {
        let now = group
            .iter()
            .map(|append| append.now)
            .max_by_key(|now| now.mono);
        let now = now.expect("a group is not empty");
        let bytes = group.iter().map(|append| append.sent.batch.bytes().len());
        let bytes: usize = bytes.sum();
        let shortage = self.space.shortage(bytes as u64, now.mono);
        self.space.note_short(shortage.is_some());
        let since = group.iter().map(|append| append.now.mono).min();
        let mut outcome = Outcome {
            since: since.unwrap_or(now.mono),
            ..Outcome::default()
        };
        for (log, appends) in by_log(group) {
            let Some(slot) = self.slot(log) else {
                outcome.refuse(appends, &LogError::Closed);
                continue;
            };
            let is_vital = slot.is_vital.load(Ordering::Relaxed);
            match shortage.as_ref().filter(|_| !is_vital) {
                Some(why) => outcome.refuse(appends, why),
                None => self.write_log(&slot, appends, now, &mut outcome),
            }
        }
        self.conclude(outcome);
        if self.space.wants_room() {
            self.want_tick();
        }
    }

    fn write_log(&self, slot: &Arc<Slot>, appends: Vec<Append>, now: Now, outcome: &mut Outcome) {
        let mut log = lock(&slot.log);
        let Some(log) = log.as_mut() else {
            outcome.refuse(appends, &LogError::Closed);
            return;
        };
        let mut batches = Vec::with_capacity(appends.len());
        let mut owed = Vec::with_capacity(appends.len());
        for append in appends {
            batches.push(append.sent);
            owed.push((append.ack, append.done));
        }
        let durable = slot.reader.durable();
        let results = self.append_to(slot, log, &batches, now);
        // A roll syncs what it seals: readers of an `fsync` log may go on, too, whatever becomes
        // of the batch behind it.
        if slot.reader.durable() > durable {
            outcome.advanced.push(slot.id);
        }
        debug_assert_eq!(results.len(), owed.len(), "one result for each batch");
        let owed = owed.into_iter().zip(results);
        match log.config().durability {
            Durability::PageCache => {
                let bytes = outcome.answer_all(owed);
                if bytes > 0 {
                    self.note_dirty(slot.id, log.config(), bytes, now.mono);
                }
            }
            Durability::Fsync => {
                let stored = outcome.sort_out(slot, owed);
                if !stored.is_empty() {
                    let target = log.sync_target();
                    outcome
                        .commits
                        .push(Commit::new(Arc::clone(slot), target, stored));
                }
            }
        }
    }

    /// Hands over to stage 2, tells who must know, and answers.
    fn conclude(&self, outcome: Outcome) {
        let Outcome {
            answers,
            commits,
            waiters,
            advanced,
            failed,
            since,
        } = outcome;
        if !commits.is_empty() || !waiters.is_empty() {
            let limits = &self.config;
            let refused = lock(&self.waiting).add(commits, waiters, since, limits);
            match refused {
                None => self.commit_bell.ring(),
                Some((waiters, why)) => {
                    waiters
                        .into_iter()
                        .for_each(|waiter| waiter.done.answer(Err(why.clone())));
                }
            }
        }
        if let Some(why) = failed {
            self.poison(&why);
        }
        self.announce(&advanced);
        for (done, result) in answers {
            done.answer(result);
        }
    }
}

/// What a group has come to.
#[derive(Debug, Default)]
struct Outcome {
    answers: Vec<(Done, Result<Appended, LogError>)>,
    commits: Vec<Commit>,
    waiters: Vec<Waiter>,
    advanced: Vec<LogId>,
    /// A log's file is in an unknown state.
    failed: Option<LogError>,
    /// When the first batch of the group was queued.
    since: Mono,
}

impl Outcome {
    fn refuse(&mut self, appends: Vec<Append>, why: &LogError) {
        self.answers.extend(
            appends
                .into_iter()
                .map(|append| (append.done, Err(why.clone()))),
        );
    }

    fn note_failure(&mut self, result: &Result<Appended, LogError>) {
        if let Err(why @ LogError::Poisoned { .. }) = result {
            self.failed.get_or_insert_with(|| why.clone());
        }
    }

    /// Everybody is answered at once; the bytes that were written.
    fn answer_all(
        &mut self,
        owed: impl Iterator<Item = ((AckAt, Done), Result<Appended, LogError>)>,
    ) -> u64 {
        let mut bytes = 0;
        for ((_, done), result) in owed {
            self.note_failure(&result);
            bytes += result.as_ref().map_or(0, stored_bytes);
            self.answers.push((done, result));
        }
        bytes
    }

    /// Those who wait for the sync wait; the batches that it has to cover.
    fn sort_out(
        &mut self,
        slot: &Arc<Slot>,
        owed: impl Iterator<Item = ((AckAt, Done), Result<Appended, LogError>)>,
    ) -> Vec<Stored> {
        let mut stored = Vec::new();
        for ((ack, done), result) in owed {
            self.note_failure(&result);
            if let Ok(Appended {
                duplicate: false,
                prefix,
                rest,
                ..
            }) = &result
            {
                let (prefix, rest) = (*prefix, rest.clone());
                stored.push(Stored { prefix, rest });
            }
            let durable = slot.reader.durable();
            let waits = match &result {
                // A duplicate waits as well: what it repeats may not be durable yet.
                Ok(appended) => ack == AckAt::Durable && appended.last_offset >= durable,
                // So does whoever is told of a record that may not be.
                Err(LogError::Conflict(conflict)) => conflict.tells_of(durable),
                Err(_) => false,
            };
            if waits {
                self.waiters.push(Waiter { done, result });
            } else {
                self.answers.push((done, result));
            }
        }
        stored
    }
}

/// The group, log by log in the order of their first batches; a log's batches stay in order.
fn by_log(group: Vec<Append>) -> Vec<(LogId, Vec<Append>)> {
    // The common case, without a map: one log, of one caller.
    if let Some(first) = group.first().map(|append| append.log)
        && group.iter().all(|append| append.log == first)
    {
        return vec![(first, group)];
    }
    let mut logs: Vec<(LogId, Vec<Append>)> = Vec::new();
    let mut index = HashMap::new();
    for append in group {
        let at = *index.entry(append.log).or_insert_with(|| {
            logs.push((append.log, Vec::new()));
            logs.len() - 1
        });
        logs[at].1.push(append);
    }
    logs
}

/// What was written for it: a duplicate was written before.
fn stored_bytes(appended: &Appended) -> u64 {
    if appended.duplicate {
        0
    } else {
        (PREFIX_BYTES + appended.rest.len()) as u64
    }
}

/// A driver that has written so many groups leaves the rest to the committer, so that no caller
/// works for others without end. Groups of one small batch take microseconds: with fewer of them
/// the committer is woken, and takes a core from the callers, every few appends.
const ROUNDS_MAX: u32 = 32;
