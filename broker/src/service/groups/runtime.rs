//! What runs the group machine: its lock, those who wait for it, its timer.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Whoever asks is answered: by the machine, or, when the broker closes or can go on no more,
//!   with a refusal.
//! - The end of the broker waits for every write that was begun before it, also one of the timer.
//! - An answer that is there at once costs no channel and no task.
//! - The timer is armed for no later than what the machine wants.
//! - Time in which the broker stood still (stopped, or without a processor) counts for no member:
//!   whoever comes first after it, the timer or a request, tells the machine before anything else.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::clock::{Clock, Mono, Now};
use tokio::sync::{Notify, oneshot};

use crate::error::GroupError;
use crate::group::{Ask, Commit, Effects, GroupMachine, Reply, Ticket};
use crate::service::Service;
use crate::service::groups::log::GroupLogs;
use crate::service::groups::pointers::Pointers;
use crate::service::groups::recover::RecoveredGroups;
use crate::service::groups::writes::Writes;

/// All groups of a broker.
#[derive(Debug)]
pub(in crate::service) struct Groups {
    state: Mutex<State>,
    /// The timer has to look again.
    rearm: Notify,
    /// A write is over.
    written: Notify,
    pub(super) pointers: Pointers,
    pub(super) logs: GroupLogs,
    /// A write was given up halfway: nothing can be said of its group any more.
    is_broken: AtomicBool,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) machine: GroupMachine,
    writes: Writes,
    waiting: HashMap<Ticket, Waiter>,
    tickets_count: u64,
    /// When the timer wakes up.
    armed: Mono,
    /// When the last step was.
    seen: Mono,
    is_closing: bool,
}

#[derive(Debug)]
struct Waiter {
    answer: oneshot::Sender<Reply>,
    /// It waits for what other members do, so that the end of the broker cannot wait for it.
    is_parked: bool,
}

/// An answer that is there, or will be.
#[derive(Debug)]
pub(super) enum Asked {
    Answered(Reply),
    Waiting(oneshot::Receiver<Reply>),
    Refused(GroupError),
}

impl Asked {
    pub(super) async fn wait(self) -> Result<Reply, GroupError> {
        match self {
            Self::Answered(reply) => Ok(reply),
            Self::Waiting(answer) => answer.await.map_err(|_| closed()),
            Self::Refused(error) => Err(error),
        }
    }
}

impl Groups {
    pub(in crate::service) fn new(recovered: RecoveredGroups) -> Self {
        let RecoveredGroups { machine, unknown } = recovered;
        let state = State {
            machine,
            writes: Writes::default(),
            waiting: HashMap::new(),
            tickets_count: 0,
            armed: Mono::NEVER,
            seen: Mono(0),
            is_closing: false,
        };
        Self {
            state: Mutex::new(state),
            rearm: Notify::new(),
            written: Notify::new(),
            pointers: Pointers::default(),
            logs: GroupLogs::new(unknown),
            is_broken: AtomicBool::new(false),
        }
    }

    /// Looks at the machine.
    pub(super) fn read<T>(&self, look: impl FnOnce(&GroupMachine) -> T) -> T {
        look(&self.state().machine)
    }

    /// Every group that there is, or whose first records are being written.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.state();
        let listed = state.machine.list().into_iter().map(|one| one.group);
        let mut names: Vec<String> = listed.chain(state.writes.groups().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Refuses those who wait for other members, now and from here on.
    pub(in crate::service) fn begin_closing(&self) {
        let mut state = self.state();
        state.is_closing = true;
        // Their senders are dropped: that is the refusal.
        state.waiting.retain(|_, waiter| !waiter.is_parked);
    }

    /// Waits until the writes are over that have begun until now.
    pub(in crate::service) async fn finish_writes(&self) {
        let count = self.state().writes.begun_count();
        loop {
            let mut written = pin!(self.written.notified());
            // From here on no end is missed.
            written.as_mut().enable();
            if self.state().writes.are_over(count) {
                return;
            }
            written.await;
        }
    }

    /// Refuses everyone, now and from here on.
    fn break_off(&self) {
        self.is_broken.store(true, Ordering::Release);
        let mut state = self.state();
        state.waiting.clear();
        state.writes.give_up();
        drop(state);
        self.written.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is durable was applied whole; a step that panics is a defect, and what it leaves of
        // the rest ends with the sessions.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A step begins. If the timer should have made one long ago, nothing ran since the last one.
    fn begin(&mut self, now: Mono, clock: &dyn Clock) {
        let unseen = now.since(self.seen);
        self.seen = now;
        if now.since(self.armed) > LATE_MAX && clock.runs_by_itself() {
            tracing::warn!(?unseen, "the broker stood still; sessions go on from here");
            self.machine.stood_still(unseen);
            // Told once: the timer is due now, and on its way.
            self.armed = now;
        }
    }

    /// Arms the timer: when the last step was, and when the next one is to be. A machine that waits
    /// for something is looked at often enough to notice when the broker stands still; also one
    /// that waits for a write alone, since sessions end behind that.
    fn arm(&mut self, clock: &dyn Clock) -> (Mono, Mono) {
        self.armed = self.machine.wake_at();
        let is_idle = self.armed == Mono::NEVER && self.writes.is_empty();
        if clock.runs_by_itself() && !is_idle {
            self.armed = self.armed.min(self.seen.plus(LOOK_EVERY));
        }
        (self.seen, self.armed)
    }

    fn ask(&mut self, now: Now, group: &str, ask: Ask) -> (Effects, Asked) {
        let is_parked = matches!(ask, Ask::Join(_) | Ask::Sync(_));
        if is_parked && self.is_closing {
            return (Effects::default(), Asked::Refused(closed()));
        }
        self.tickets_count += 1;
        let ticket = Ticket(self.tickets_count);
        let mut effects = self.machine.ask(now, group, ticket, ask);
        let own = effects.replies.iter().position(|(of, _)| *of == ticket);
        let asked = match own {
            Some(at) => Asked::Answered(effects.replies.swap_remove(at).1),
            None => {
                let (answer, waiting) = oneshot::channel();
                self.waiting.insert(ticket, Waiter { answer, is_parked });
                Asked::Waiting(waiting)
            }
        };
        (effects, asked)
    }
}

impl Service {
    /// Asks the machine about one group.
    pub(super) async fn ask(&self, group: &str, ask: Ask) -> Result<Reply, GroupError> {
        self.ask_now(group, ask).wait().await
    }

    /// Asks now, and waits later.
    pub(super) fn ask_now(&self, group: &str, ask: Ask) -> Asked {
        if self.inner.groups.is_broken.load(Ordering::Acquire) {
            return Asked::Refused(broken());
        }
        self.step(|state, now| state.ask(now, group, ask))
    }

    /// Asks for a commit of what may be committed; the outcome of each offset if that succeeds.
    ///
    /// Whether a partition exists is looked up under the lock of the groups: a topic that is being
    /// deleted is unknown from here on before its offsets are looked for, so that no offset of it
    /// comes after.
    pub(super) fn ask_commit(
        &self,
        group: &str,
        mut commit: Commit,
    ) -> (Vec<Result<(), GroupError>>, Asked) {
        let mut outcomes = Vec::with_capacity(commit.offsets.len());
        if self.inner.groups.is_broken.load(Ordering::Acquire) {
            return (outcomes, Asked::Refused(broken()));
        }
        let bytes_max = usize::try_from(self.config().offset_metadata_max_bytes).unwrap_or(0);
        self.step(|state, now| {
            commit.offsets.retain(|offset| {
                let bytes = offset.metadata.len();
                let outcome = if !self.has_partition(&offset.topic, offset.partition) {
                    Err(GroupError::UnknownTopicOrPartition)
                } else if bytes > bytes_max {
                    Err(GroupError::MetadataTooLarge { bytes, bytes_max })
                } else {
                    Ok(())
                };
                let is_kept = outcome.is_ok();
                outcomes.push(outcome);
                is_kept
            });
            let nothing_known = commit.offsets.is_empty()
                && outcomes.contains(&Err(GroupError::UnknownTopicOrPartition));
            if nothing_known {
                return (
                    Effects::default(),
                    (outcomes, Asked::Answered(Reply::Commit(Ok(())))),
                );
            }
            let (effects, asked) = state.ask(now, group, Ask::Commit(commit));
            (effects, (outcomes, asked))
        })
    }

    /// Asks the same of many groups, some at a time; the answers in the order of the groups.
    pub(super) async fn ask_each(
        &self,
        groups: Vec<String>,
        question: impl Fn(&str) -> Ask,
    ) -> Vec<(String, Result<Reply, GroupError>)> {
        let mut answers = Vec::with_capacity(groups.len());
        let mut groups = groups.into_iter();
        loop {
            let some: Vec<String> = groups.by_ref().take(ASKED_AT_ONCE).collect();
            if some.is_empty() {
                return answers;
            }
            let asked: Vec<Asked> = some
                .iter()
                .map(|group| self.ask_now(group, question(group)))
                .collect();
            for (group, asked) in some.into_iter().zip(asked) {
                answers.push((group, asked.wait().await));
            }
            // Answers that are there at once must not keep others from being served.
            tokio::task::yield_now().await;
        }
    }

    /// The append of a group has come to this.
    pub(super) fn group_written(&self, group: &str, result: Result<(), String>) {
        self.step(|state, now| {
            state.writes.end(group);
            (state.machine.written(now, group, result), ())
        });
        self.inner.groups.written.notify_waiters();
    }

    /// One step of the machine, and what it wants to happen.
    fn step<T>(&self, act: impl FnOnce(&mut State, Now) -> (Effects, T)) -> T {
        let groups = &self.inner.groups;
        let mut state = groups.state();
        // The time is read under the lock, so that it never goes back for the machine.
        let now = self.clock().now();
        state.begin(now.mono, &**self.clock());
        let (effects, out) = act(&mut state, now);
        let Effects { replies, appends } = effects;
        let answers: Vec<_> = replies
            .into_iter()
            .filter_map(|(ticket, reply)| Some((state.waiting.remove(&ticket)?.answer, reply)))
            .collect();
        for append in &appends {
            let is_first = state.writes.begin(&append.group);
            debug_assert!(is_first, "one write of a group at a time");
        }
        let wake_at = state.machine.wake_at().max(now.mono);
        let is_earlier = wake_at < state.armed;
        if is_earlier {
            state.armed = wake_at;
        }
        drop(state);
        if is_earlier {
            groups.rearm.notify_one();
        }
        for (answer, reply) in answers {
            // A caller that is gone needs no answer.
            drop(answer.send(reply));
        }
        for append in appends {
            self.begin_append(append);
        }
        out
    }

    /// Does what is due in the groups whenever it is, until the broker shuts down.
    pub(in crate::service) async fn group_timer(&self) {
        let groups = Arc::clone(&self.inner);
        let groups = &groups.groups;
        let mut closing = self.closing();
        while !closing.has_begun() {
            self.step(|state, now| (state.machine.wake(now), ()));
            let (seen, due) = groups.state().arm(&**self.clock());
            if due <= seen {
                tokio::task::yield_now().await;
                continue;
            }
            let sleep = async {
                match due {
                    Mono::NEVER => std::future::pending().await,
                    due => self.clock().sleep_until(due).await,
                }
            };
            tokio::select! {
                biased;
                () = sleep => {}
                () = groups.rearm.notified() => {}
                () = closing.begun() => {}
            }
        }
    }
}

/// Whoever writes for a group holds one: if the task is dropped halfway, as it is when its runtime
/// ends, nobody is left waiting for it.
#[derive(Debug)]
pub(super) struct Unfinished {
    service: Service,
    is_over: bool,
}

impl Unfinished {
    pub(super) fn new(service: &Service) -> Self {
        Self {
            service: service.clone(),
            is_over: false,
        }
    }

    pub(super) fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_over {
            self.service.inner.groups.break_off();
        }
    }
}

fn closed() -> GroupError {
    GroupError::Unavailable {
        why: "the broker is being shut down".to_owned(),
    }
}

fn broken() -> GroupError {
    GroupError::Unavailable {
        why: "a write of a group was given up halfway: restart the broker".to_owned(),
    }
}

/// Questions to many groups that are under way at once: their records share a sync.
const ASKED_AT_ONCE: usize = 512;
/// While groups wait for something the timer looks so often whether time goes on: of a stall so
/// much may go unnoticed, beside [`LATE_MAX`]. A session of 6 s, the least that is let in unless
/// configured otherwise, has room for both.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A timer that is later than this did not run: others had the processor, or nobody.
const LATE_MAX: Duration = Duration::from_secs(1);
