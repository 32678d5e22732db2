//! Membership as a machine: when to join, sync, send a heartbeat, leave, and what it all means.
//!
//! Floor 5 of client. Pure: time comes as an argument, requests go out as values.
//!
//! Invariants
//! - Of join, plan and sync at most one is under way, and at most one heartbeat and one check.
//! - Nothing is joined that was not wished: each round of the consumer is served by one generation,
//!   and a round that ended is not served again.
//! - Answers that belong to another generation than the current one change nothing.
//! - A member that was in a generation and is refused has lost what it kept: the consumer is told
//!   before it joins anew.

mod member;

use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;

use self::member::Member;
use super::assignor::Counts;
use super::call::{JoinAnswer, Joined, Plan};
use crate::backoff::Backoff;
use crate::error::ClientError;

/// What membership depends on.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) heartbeat: Duration,
    pub(super) max_poll: Duration,
    pub(super) metadata_max_age: Duration,
    pub(super) retry: Duration,
    /// A static member does not leave; it is missed when its session ends.
    pub(super) is_static: bool,
}

/// Something has happened.
#[derive(Debug)]
pub(super) enum Input {
    /// The consumer wishes to be a member, for this round.
    Wish(u64),
    /// The answer to [`Action::Join`].
    Joined(Result<JoinAnswer, ClientError>),
    /// The answer to [`Action::Plan`].
    Planned(Joined, Result<Plan, ClientError>),
    /// The answer to [`Action::Sync`].
    Synced(Synced, Result<Bytes, ClientError>),
    /// The answer to [`Action::Beat`] of a generation.
    Beaten(i32, Result<(), ClientError>),
    /// The answer to [`Action::Check`] of a generation.
    Checked(i32, Result<Counts, ClientError>),
    /// Time has passed.
    Wake,
    /// The consumer is done.
    Leave,
    /// The answer to [`Action::Leave`], whatever it is.
    Left,
}

/// Something is to be done; each is answered by an [`Input`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Join {
        member_id: String,
        /// The last generation that it was in; -1 for none.
        generation: i32,
    },
    /// The leader deals out the partitions.
    Plan(Joined),
    Sync(Synced, Vec<(String, Bytes)>),
    Beat(Seat),
    /// The leader looks whether the topics have as many partitions as it dealt out.
    Check(i32, Counts),
    /// Everything under way is given up.
    Leave {
        member_id: String,
    },
}

/// A generation that waits for its assignments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Synced {
    pub(super) joined: Joined,
    /// What the leader dealt out.
    pub(super) counts: Option<Counts>,
}

/// A place in a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) generation: i32,
    pub(super) member_id: String,
}

/// What the consumer has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not a member yet.
    Joining,
    /// A member, with what the leader assigned.
    In(Seat, Bytes),
    /// Still a member; the group waits for it to give back what it has and to join again.
    Rebalancing(Seat),
    /// No member any more: what it had belongs to others.
    Lost(ClientError),
    /// It cannot be a member.
    Failed(ClientError),
    /// It has left.
    Left,
}

/// One consumer's membership.
#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    member_id: String,
    /// The last generation that was joined, while nothing was lost since; else -1.
    generation: i32,
    /// The round that is served.
    round: u64,
    /// The round that is wished.
    wished: u64,
    state: State,
    standing: Standing,
    /// Refusals in a row.
    refusals: u32,
    backoff: Backoff,
}

#[derive(Debug)]
enum State {
    Idle,
    JoinAt(Mono),
    /// Join, plan or sync is under way.
    Joining,
    In(Member),
    Leaving,
    Left,
}

impl Machine {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            member_id: String::new(),
            generation: NO_GENERATION,
            round: 0,
            wished: 0,
            state: State::Idle,
            standing: Standing::Joining,
            refusals: 0,
            backoff: Backoff::new(rules.retry, PAUSE_MAX),
            rules,
        }
    }

    /// The round, and how it stands.
    pub(super) const fn standing(&self) -> (u64, &Standing) {
        (self.round, &self.standing)
    }

    /// Whether all is over.
    pub(super) const fn has_left(&self) -> bool {
        matches!(self.state, State::Left)
    }

    /// When [`Input::Wake`] has something to do.
    pub(super) fn wake_at(&self, polled_at: Mono) -> Mono {
        match &self.state {
            State::JoinAt(at) => *at,
            State::In(member) => member.wake_at().min(self.polls_until(polled_at)),
            State::Idle | State::Joining | State::Leaving | State::Left => Mono::NEVER,
        }
    }

    /// Takes note of what happened; gives what is to be done. The consumer polled at `polled_at`.
    pub(super) fn step(&mut self, now: Mono, polled_at: Mono, input: Input) -> Vec<Action> {
        let action = match input {
            Input::Wish(round) => self.wish(now, round),
            Input::Joined(answer) => self.joined(now, answer),
            Input::Planned(joined, plan) => self.planned(now, joined, plan),
            Input::Synced(synced, answer) => self.synced(now, synced, answer),
            Input::Beaten(generation, answer) => self.beaten(now, generation, answer),
            Input::Checked(generation, counts) => self.checked(now, generation, counts),
            Input::Wake => None,
            Input::Leave => self.leave(),
            Input::Left => self.left(),
        };
        let mut actions = Vec::from_iter(action);
        actions.extend(self.join_now(now));
        actions.extend(self.poll_late(now, polled_at));
        if let State::In(member) = &mut self.state {
            actions.extend(member.due(now));
        }
        actions
    }

    fn polls_until(&self, polled_at: Mono) -> Mono {
        polled_at.plus(self.rules.max_poll)
    }

    fn wish(&mut self, now: Mono, round: u64) -> Option<Action> {
        self.wished = self.wished.max(round);
        let is_free = matches!(self.state, State::Idle | State::In(_));
        // A join under way is finished first, and done again if it was for an older round.
        if is_free && self.round < self.wished {
            let pause = match self.refusals {
                0 | 1 => Duration::ZERO,
                _ => self.backoff.next_pause(),
            };
            self.state = State::JoinAt(now.plus(pause));
        }
        None
    }

    /// Joins if the moment has come.
    fn join_now(&mut self, now: Mono) -> Option<Action> {
        if !matches!(self.state, State::JoinAt(at) if at <= now) {
            return None;
        }
        self.state = State::Joining;
        self.round = self.wished;
        self.standing = Standing::Joining;
        Some(Action::Join {
            member_id: self.member_id.clone(),
            generation: self.generation,
        })
    }

    fn joined(&mut self, now: Mono, answer: Result<JoinAnswer, ClientError>) -> Option<Action> {
        if !matches!(self.state, State::Joining) {
            return None;
        }
        match answer {
            Ok(JoinAnswer::TakeId(member_id)) => {
                self.member_id = member_id;
                self.state = State::JoinAt(now);
                None
            }
            Ok(JoinAnswer::Joined(joined)) => {
                self.member_id.clone_from(&joined.seat.member_id);
                self.generation = joined.seat.generation;
                if joined.is_leader {
                    return Some(Action::Plan(joined));
                }
                let counts = None;
                Some(Action::Sync(Synced { joined, counts }, Vec::new()))
            }
            Err(error) => self.refused(now, error),
        }
    }

    fn planned(
        &mut self,
        now: Mono,
        joined: Joined,
        plan: Result<Plan, ClientError>,
    ) -> Option<Action> {
        if !matches!(self.state, State::Joining) {
            return None;
        }
        match plan {
            Ok(Plan {
                counts,
                assignments,
            }) => {
                let counts = Some(counts);
                Some(Action::Sync(Synced { joined, counts }, assignments))
            }
            Err(error) => self.refused(now, error),
        }
    }

    fn synced(
        &mut self,
        now: Mono,
        synced: Synced,
        answer: Result<Bytes, ClientError>,
    ) -> Option<Action> {
        if !matches!(self.state, State::Joining) {
            return None;
        }
        let assignment = match answer {
            Ok(assignment) => assignment,
            Err(error) => return self.refused(now, error),
        };
        (self.refusals, self.backoff) = (0, Backoff::new(self.rules.retry, PAUSE_MAX));
        let seat = synced.joined.seat;
        let leads = synced.counts.map(|counts| {
            let at = now.plus(self.check_pause(&counts));
            (counts, at)
        });
        self.standing = Standing::In(seat.clone(), assignment);
        self.state = match self.round < self.wished {
            true => State::JoinAt(now),
            false => State::In(Member {
                seat,
                beat_at: now.plus(self.rules.heartbeat),
                is_beating: false,
                backoff: self.backoff,
                leads,
                is_checking: false,
            }),
        };
        None
    }

    /// A step of joining was refused.
    fn refused(&mut self, now: Mono, error: ClientError) -> Option<Action> {
        tracing::debug!(%error, self.member_id, "a step of joining was refused");
        self.refusals = self.refusals.saturating_add(1);
        let is_out = is_out(&error);
        if error.code() == Some(ErrorCode::UnknownMemberId) {
            self.member_id.clear();
        }
        if is_out && self.generation != NO_GENERATION {
            self.lose(error);
            return None;
        }
        let may_hurry = match error.code() {
            _ if is_out => true,
            Some(ErrorCode::RebalanceInProgress) => true,
            _ if error.is_retriable() => false,
            _ if self.round < self.wished => true,
            _ => {
                self.fail(error);
                return None;
            }
        };
        self.state = State::JoinAt(match may_hurry && self.refusals == 1 {
            true => now,
            false => now.plus(self.backoff.next_pause()),
        });
        None
    }

    fn beaten(
        &mut self,
        now: Mono,
        generation: i32,
        answer: Result<(), ClientError>,
    ) -> Option<Action> {
        let heartbeat = self.rules.heartbeat;
        let retry = self.rules.retry;
        let member = self.member(generation)?;
        member.is_beating = false;
        member.beat_at = now.plus(heartbeat);
        let Err(error) = answer else {
            member.backoff = Backoff::new(retry, PAUSE_MAX);
            return None;
        };
        match error.code() {
            Some(ErrorCode::RebalanceInProgress) => self.rebalance(),
            _ if is_out(&error) => {
                if error.code() == Some(ErrorCode::UnknownMemberId) {
                    self.member_id.clear();
                }
                self.lose(error);
            }
            _ if error.is_retriable() => {
                tracing::debug!(%error, "a heartbeat failed");
                member.beat_at = now.plus(member.backoff.next_pause().min(heartbeat));
            }
            _ => self.fail(error),
        }
        None
    }

    fn checked(
        &mut self,
        now: Mono,
        generation: i32,
        found: Result<Counts, ClientError>,
    ) -> Option<Action> {
        let pause = match &found {
            Ok(counts) => self.check_pause(counts),
            Err(_) => self.rules.heartbeat,
        };
        let member = self.member(generation)?;
        member.is_checking = false;
        let (dealt_out, at) = member.leads.as_mut()?;
        *at = now.plus(pause);
        match found {
            Ok(counts) if counts != *dealt_out => self.rebalance(),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the topics of the group are not known now"),
        }
        None
    }

    /// The consumer has to give back what it has.
    fn rebalance(&mut self) {
        if let Standing::In(seat, _) = &self.standing {
            self.standing = Standing::Rebalancing(seat.clone());
        }
    }

    fn lose(&mut self, error: ClientError) {
        (self.state, self.generation) = (State::Idle, NO_GENERATION);
        self.standing = Standing::Lost(error);
    }

    fn fail(&mut self, error: ClientError) {
        (self.state, self.generation) = (State::Idle, NO_GENERATION);
        self.refusals = 0;
        self.standing = Standing::Failed(error);
    }

    /// The current member, if it is of this generation.
    fn member(&mut self, generation: i32) -> Option<&mut Member> {
        match &mut self.state {
            State::In(member) if member.seat.generation == generation => Some(member),
            _ => None,
        }
    }

    /// Topics that are not there yet are looked for often.
    fn check_pause(&self, counts: &Counts) -> Duration {
        match counts.0.values().any(|count| *count == 0) {
            true => self.rules.metadata_max_age.min(MISSING_TOPIC_PAUSE),
            false => self.rules.metadata_max_age,
        }
    }

    /// A member that is not polled does not work: it leaves, so that the others can.
    fn poll_late(&mut self, now: Mono, polled_at: Mono) -> Option<Action> {
        if !matches!(self.state, State::In(_)) || self.polls_until(polled_at) > now {
            return None;
        }
        let ms = self.rules.max_poll.as_millis();
        let why = format!("poll was not called for max.poll.interval.ms, {ms} ms");
        self.lose(ClientError::Invalid(why));
        if self.rules.is_static {
            return None;
        }
        let member_id = std::mem::take(&mut self.member_id);
        Some(Action::Leave { member_id })
    }

    fn leave(&mut self) -> Option<Action> {
        if matches!(self.state, State::Leaving | State::Left) {
            return None;
        }
        let member_id = std::mem::take(&mut self.member_id);
        if member_id.is_empty() || self.rules.is_static {
            (self.state, self.standing) = (State::Left, Standing::Left);
            return None;
        }
        self.state = State::Leaving;
        Some(Action::Leave { member_id })
    }

    fn left(&mut self) -> Option<Action> {
        if matches!(self.state, State::Leaving) {
            (self.state, self.standing) = (State::Left, Standing::Left);
        }
        None
    }
}

/// Whether the group has gone on without this member.
fn is_out(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)
    )
}

/// In no generation.
const NO_GENERATION: i32 = -1;

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often a topic is looked for that does not exist yet.
const MISSING_TOPIC_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
