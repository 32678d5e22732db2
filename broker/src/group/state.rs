//! One group: its durable facts, its live members, and the requests that wait for its log.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - At most one write is under way. While it is, nothing but heartbeats changes the group: what
//!   may write waits in a queue, and so do the timers.
//! - Members exist exactly while the phase is not `Empty`.
//! - While the group is stable its members are those of the durable generation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::{Mono, Wall};
use highwater_proto::group_log::{GroupRecord, GroupValue};

use crate::error::GroupError;
use crate::group::call::{Append, Ask, Member as Who, Reply, Ticket};
use crate::group::durable::Durable;
use crate::group::member::Member;
use crate::group::replace::Replacement;
use crate::group::roster::Roster;
use crate::group::step::Step;

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) durable: Durable,
    pub(super) phase: Phase,
    /// The newest generation; ahead of the durable one while it is being completed.
    pub(super) generation: i32,
    /// `consumer`, `connect`...; empty for a group that only keeps offsets.
    pub(super) protocol_type: String,
    pub(super) protocol: Option<String>,
    /// Since when it has been empty, if that is known.
    pub(super) empty_since: Option<Wall>,
    pub(super) roster: Roster,
    /// Requests that wait until the write that is under way is over.
    pub(super) queue: VecDeque<(Ticket, Ask)>,
    write: Option<Write>,
    /// Where the index of timers has it.
    pub(super) indexed_at: Mono,
}

/// What the group does.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nobody is in it.
    Empty,
    /// Members join.
    Preparing {
        /// When those that have not joined are left behind.
        due: Mono,
        /// Set while an empty group waits for more members.
        initial: Option<Initial>,
    },
    /// The leader decides who does what.
    Completing {
        /// When members that have not synced are removed.
        sync_by: Mono,
    },
    /// Members work.
    Stable {
        /// When members that have not synced are removed; never, once all have.
        sync_by: Mono,
    },
}

/// The first wait of an empty group.
#[derive(Debug)]
pub(super) struct Initial {
    /// The length of the wait that is running, in milliseconds.
    pub(super) delay_ms: u64,
    /// How much longer it may become, in milliseconds.
    pub(super) remaining_ms: u64,
    /// Members came while it ran.
    pub(super) has_grown: bool,
}

/// A write that is under way, and what follows from it.
#[derive(Debug)]
struct Write {
    records: Vec<GroupRecord>,
    then: Then,
}

/// What happens when a write is over.
#[derive(Debug)]
pub(super) enum Then {
    /// Nobody waits for it.
    Nothing,
    /// The generation is complete: its members get their assignments.
    Stable,
    /// A static member came back under another id.
    Replaced(Box<Replacement>),
    /// The outcome of the write is the answer, of this kind.
    Answer(Vec<Ticket>, fn(Result<(), GroupError>) -> Reply),
    /// Offsets were deleted, where that was allowed.
    OffsetsDeleted(Ticket, Vec<Result<(), GroupError>>),
}

impl Group {
    /// A group of which nothing is known.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            durable: Durable::default(),
            phase: Phase::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: None,
            empty_since: None,
            roster: Roster::default(),
            queue: VecDeque::new(),
            write: None,
            indexed_at: Mono::NEVER,
        }
    }

    /// Nothing is known of the group: for its clients it does not exist.
    pub(super) fn is_unknown(&self) -> bool {
        self.is_empty() && self.durable.is_empty() && self.roster.pending.is_empty()
    }

    /// Nothing is known of the group, and nobody waits for it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.is_unknown() && self.write.is_none() && self.queue.is_empty()
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self.phase, Phase::Empty)
    }

    pub(super) const fn is_writing(&self) -> bool {
        self.write.is_some()
    }

    /// Takes a request; it is answered now or by a later step.
    pub(super) fn ask(&mut self, step: &mut Step<'_>, ticket: Ticket, ask: Ask) {
        if self.write.is_none() || matches!(ask, Ask::Heartbeat(_)) {
            return self.run(step, ticket, ask);
        }
        if self.queue.len() < QUEUE_MAX {
            return self.queue.push_back((ticket, ask));
        }
        let why = "too many requests of this group wait for its log".to_owned();
        step.reply(ticket, ask.refused(GroupError::Unavailable { why }));
    }

    fn run(&mut self, step: &mut Step<'_>, ticket: Ticket, ask: Ask) {
        match ask {
            Ask::Join(join) => self.join(step, ticket, join),
            Ask::Sync(sync) => self.sync(step, ticket, sync),
            Ask::Heartbeat(member) => {
                let outcome = self.heartbeat(step, &member);
                step.reply(ticket, Reply::Heartbeat(outcome));
            }
            Ask::Leave(members) => self.leave(step, ticket, &members),
            Ask::Commit(commit) => self.commit(step, ticket, &commit),
            Ask::Delete => self.delete(step, ticket),
            Ask::DeleteOffsets(of) => self.delete_offsets(step, ticket, &of),
            Ask::ForgetTopics(topics) => self.forget_topics(step, ticket, &topics),
            Ask::Expire => self.expire_offsets(step, ticket),
            Ask::Rewrite => self.rewrite(step, ticket),
        }
    }

    /// Writes records; what follows happens when they are durable, or at once if there are none.
    pub(super) fn write(&mut self, step: &mut Step<'_>, records: Vec<GroupRecord>, then: Then) {
        debug_assert!(self.write.is_none(), "one write at a time");
        if records.is_empty() {
            return self.follow(step, then, Ok(()));
        }
        step.effects.appends.push(Append {
            group: step.group.to_owned(),
            records: records.clone(),
        });
        self.write = Some(Write { records, then });
    }

    /// The write that was under way is over: what waited for it goes on.
    pub(super) fn written(&mut self, step: &mut Step<'_>, result: Result<(), String>) {
        let Some(write) = self.write.take() else {
            debug_assert!(false, "no write of the group is under way");
            return;
        };
        if result.is_ok() {
            let ended =
                |record: &GroupRecord| matches!(record, GroupRecord::Group { value: None, .. });
            let is_over = write.records.iter().any(ended);
            write
                .records
                .into_iter()
                .for_each(|record| self.durable.apply(record));
            if is_over {
                self.start_over();
            }
        }
        self.follow(step, write.then, result);
        while self.write.is_none() {
            let Some((ticket, ask)) = self.queue.pop_front() else {
                break;
            };
            self.run(step, ticket, ask);
        }
        self.run_due(step);
    }

    /// The group was deleted: if it comes again, it is another one.
    pub(super) fn start_over(&mut self) {
        self.generation = 0;
        self.protocol_type.clear();
        self.protocol = None;
        self.empty_since = None;
    }

    fn follow(&mut self, step: &mut Step<'_>, then: Then, result: Result<(), String>) {
        let result = result.map_err(|why| GroupError::Unavailable { why });
        match (then, result) {
            (Then::Nothing, _) => {}
            (Then::Stable, result) => self.assigned(step, result),
            (Then::Replaced(replacement), result) => self.replaced(step, *replacement, result),
            (Then::Answer(tickets, kind), result) => {
                for ticket in tickets {
                    step.reply(ticket, kind(result.clone()));
                }
            }
            (Then::OffsetsDeleted(ticket, outcomes), result) => {
                step.reply(ticket, Reply::DeleteOffsets(result.map(|()| outcomes)));
            }
        }
    }

    /// Does what is due.
    pub(super) fn run_due(&mut self, step: &mut Step<'_>) {
        if self.write.is_none() {
            self.expire_members(step);
        }
        if self.write.is_none() {
            self.expire_phase(step);
        }
    }

    /// When the group has something to do; never while a write is under way, since its end is an
    /// occasion, too.
    pub(super) fn due(&self) -> Mono {
        let phase = match self.phase {
            _ if self.is_writing() => return Mono::NEVER,
            Phase::Empty => Mono::NEVER,
            Phase::Preparing { due, .. } => due,
            Phase::Completing { sync_by } | Phase::Stable { sync_by } => sync_by,
        };
        phase.min(self.roster.expires_at())
    }

    /// What time alone brings about comes so much later.
    pub(super) fn put_off(&mut self, by: Duration) {
        match &mut self.phase {
            Phase::Empty => {}
            Phase::Preparing { due: at, .. }
            | Phase::Completing { sync_by: at }
            | Phase::Stable { sync_by: at } => *at = at.plus(by),
        }
        self.roster.put_off(by);
    }

    /// A member is alive. This changes no more than the end of its session.
    fn heartbeat(&mut self, step: &Step<'_>, who: &Who) -> Result<(), GroupError> {
        if step.group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        self.checked(who)?.keep_alive(step.now.mono);
        match self.phase {
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Empty | Phase::Completing { .. } | Phase::Stable { .. } => Ok(()),
        }
    }

    /// The member that asks, if it is who it says and knows the generation.
    pub(super) fn checked(&mut self, who: &Who) -> Result<&mut Member, GroupError> {
        self.roster
            .check(&who.member_id, who.instance_id.as_deref())?;
        if who.generation != self.generation {
            return Err(GroupError::IllegalGeneration {
                asked: who.generation,
                current: self.generation,
            });
        }
        self.roster
            .get_mut(&who.member_id)
            .ok_or(GroupError::UnknownMember)
    }

    /// The current generation as the log keeps it.
    pub(super) fn to_value(
        &self,
        step: &Step<'_>,
        assignment: impl Fn(&str, &Member) -> Bytes,
    ) -> GroupValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |(id, of): (&str, &Member)| of.to_value(id, protocol, assignment(id, of));
        GroupValue {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.roster.leader().map(str::to_owned),
            state_timestamp_ms: step.now.wall.0,
            members: self.roster.iter().map(member).collect(),
        }
    }
}

/// How many requests of a group may wait for its log.
pub(super) const QUEUE_MAX: usize = 4096;
