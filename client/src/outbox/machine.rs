//! What a relay does next: takes the lead, reads, publishes, parks, stores how far it is.
//!
//! Floor 6 of client. Pure: no clock, socket or task; time comes as an argument.
//!
//! Invariants
//! - Nothing is published before it is known to be on the disk, by a durable commit of our own that
//!   came after the rows were read, or from the database; and while the relay is known to lead.
//! - Nothing is stored before everything of a batch is published or parked.
//! - Of a lane, nothing counts as published behind a row that is not: when a row fails, the later
//!   rows of its lane are sent again after it, or parked behind it.
//! - What concerns the whole broker parks nothing.
//! - At most one work is with the database, and one with the broker; each is answered once.
//! - After the lead is lost, nothing more of what was read is published or stored.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashSet;
use std::time::Duration;

use highwater_proto::clock::Mono;

use self::words::{Asked, Stop};
use super::router::Lane;
use crate::backoff::Backoff;
use crate::record::Record;

pub(super) use words::{Effect, Fault, Input, Item, Led, Origin, Proof, Rules, Trouble, Work};

#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    /// Whether it leads, as far as it knows.
    leads: bool,
    /// The beat of another leader, and since when it stands still.
    silent: Option<(i64, Mono)>,
    /// When the lead is tried for, or shown again.
    leads_at: Mono,
    /// Lanes that are parked.
    parked: HashSet<Lane>,
    current: Option<Work>,
    /// Read while `current` waits to be stored.
    next: Option<Work>,
    /// Whether `current` is known to be on the disk.
    is_proven: bool,
    /// Until when nobody else can have taken the lead.
    proven_until: Mono,
    /// What the database is asked for.
    asked: Option<Asked>,
    is_publishing: bool,
    /// When what was not published is tried again.
    publishes_at: Mono,
    /// When the database is asked again after a failure.
    asks_at: Mono,
    polls_at: Mono,
    poll_pause: Duration,
    /// The number of the database's commits when rows were read last.
    version: Option<i64>,
    /// Whether there may be new rows.
    wants_read: bool,
    broker: Backoff,
    database: Backoff,
    stop: Stop,
}

impl Machine {
    pub(super) fn new(rules: Rules, now: Mono) -> Self {
        Self {
            leads: false,
            silent: None,
            leads_at: now,
            parked: HashSet::new(),
            current: None,
            next: None,
            is_proven: false,
            proven_until: now,
            asked: None,
            is_publishing: false,
            publishes_at: now,
            asks_at: now,
            polls_at: now,
            poll_pause: rules.poll_first,
            version: None,
            wants_read: true,
            broker: Backoff::new(PAUSE_FIRST, PAUSE_MAX),
            database: Backoff::new(PAUSE_FIRST, PAUSE_MAX),
            stop: Stop::No,
            rules,
        }
    }

    /// Takes an input in; gives what is to be done, in this order.
    pub(super) fn step(&mut self, now: Mono, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Led(led) => self.led(now, led),
            Input::Version(version) => self.versioned(now, version),
            Input::Read(read) => self.read(now, read, &mut effects),
            Input::Proven(proven) => self.proven(now, proven, &mut effects),
            Input::Published(results) => self.published(now, results),
            Input::Stored(stored) => self.stored(now, stored, &mut effects),
            Input::Resigned => self.resigned(),
            Input::Woken => self.wants_read = true,
            Input::Tick => {}
            Input::Stop => self.stop(now),
        }
        self.give_up_late(now, &mut effects);
        self.publish(now, &mut effects);
        self.ask(now, &mut effects);
        effects
    }

    /// The database has not done what it was asked for.
    pub(super) fn failed(&self, trouble: Trouble) -> Input {
        match self.asked {
            Some(Asked::Lead) => Input::Led(Err(trouble)),
            Some(Asked::Version) => Input::Version(Err(trouble)),
            Some(Asked::Read { .. }) => Input::Read(Err(trouble)),
            Some(Asked::Prove { .. }) => Input::Proven(Err(trouble)),
            Some(Asked::Store { .. }) => Input::Stored(Err(trouble)),
            Some(Asked::Resign) | None => Input::Tick,
        }
    }

    /// When time has something to change; [`Mono::NEVER`] if nothing waits for it.
    pub(super) fn wakes_at(&self) -> Mono {
        let mut at = match self.stop {
            Stop::Asked(until) | Stop::Late(until) => until,
            Stop::No | Stop::Done => Mono::NEVER,
        };
        if self.asked.is_none() && self.stop != Stop::Done {
            at = at.min(self.wanted_at().max(self.asks_at));
        }
        if self.stop == Stop::No && !self.is_publishing && self.is_proven && self.is_unpublished() {
            at = at.min(self.publishes_at.min(self.proven_until));
        }
        at
    }

    /// When [`Self::wanted`] will want something.
    fn wanted_at(&self) -> Mono {
        match &self.current {
            _ if self.stop != Stop::No && self.is_publishing => Mono::NEVER,
            _ if self.stop != Stop::No => self.asks_at,
            _ if !self.leads => self.leads_at,
            Some(work) if work.is_settled() || !self.is_proven => self.asks_at,
            Some(work) if work.origin == Origin::Table && self.reads_on() => self.asks_at,
            Some(_) => self.leads_at,
            None if self.wants_read => self.asks_at,
            None => self.leads_at.min(self.polls_at),
        }
    }

    /// Whether the next rows are read while these are published: if there are any, as far as it
    /// is known. There is never more than one batch ahead.
    const fn reads_on(&self) -> bool {
        self.is_publishing && self.wants_read && self.next.is_none()
    }

    /// What is published now, or was and is not stored.
    pub(super) const fn current(&self) -> Option<&Work> {
        self.current.as_ref()
    }

    /// The record of a row that is published now, if it has not been sent before.
    pub(super) fn take_record(&mut self, index: usize) -> Option<Result<Record, String>> {
        let work = self.current.as_mut()?;
        work.items.get_mut(index)?.take_record()
    }

    /// Whether nothing was there behind what is being stored.
    pub(super) fn has_read_all(&self) -> bool {
        self.next.as_ref().is_some_and(|work| work.items.is_empty())
    }

    /// Whether it is over.
    pub(super) fn is_done(&self) -> bool {
        self.stop == Stop::Done
    }

    pub(super) const fn leads(&self) -> bool {
        self.leads
    }

    pub(super) fn parked_count(&self) -> usize {
        self.parked.len()
    }

    fn led(&mut self, now: Mono, led: Result<Led, Trouble>) {
        self.asked = None;
        match led {
            Ok(Led::Leads(parked)) => {
                self.database.reset();
                self.leads = true;
                self.silent = None;
                self.leads_at = now.plus(self.rules.lease / LEASE_PARTS);
                self.parked = parked.into_iter().collect();
                self.wants_read = true;
                self.version = None;
            }
            Ok(Led::Follows(beat)) => {
                self.database.reset();
                if self.silent.is_none_or(|(it, _)| it != beat) {
                    self.silent = Some((beat, now));
                }
                self.leads_at = now.plus(self.rules.lease / LEASE_PARTS);
            }
            Err(Trouble::Away) => self.asks_at = self.database.next_try(now),
            Err(Trouble::Overtaken) => self.leads_at = now.plus(self.rules.lease / LEASE_PARTS),
        }
    }

    fn versioned(&mut self, now: Mono, version: Result<Option<i64>, Trouble>) {
        self.asked = None;
        match version {
            Ok(version) => {
                self.database.reset();
                // A database that does not tell has to be read.
                match version.is_none() || version != self.version {
                    true => self.wants_read = true,
                    false => self.slow_down(now),
                }
            }
            Err(_) => self.asks_at = self.database.next_try(now),
        }
    }

    fn slow_down(&mut self, now: Mono) {
        self.polls_at = now.plus(self.poll_pause);
        // A look comes late by a fifth of the time that nothing came, at most.
        self.poll_pause = (self.poll_pause + self.poll_pause / 4).min(self.rules.poll_max);
    }

    fn read(
        &mut self,
        now: Mono,
        read: Result<(Option<i64>, Work), Trouble>,
        effects: &mut Vec<Effect>,
    ) {
        let asked = self.asked.take();
        let (version, work) = match read {
            Ok(read) => read,
            Err(Trouble::Overtaken) => return self.overtaken(now, effects),
            Err(Trouble::Away) => {
                self.asks_at = self.database.next_try(now);
                return;
            }
        };
        self.database.reset();
        self.version = version;
        self.wants_read |= work.has_more;
        if work.items.is_empty() {
            self.slow_down(now);
            if let Some(Asked::Read { ahead: true, .. }) = asked {
                self.next = Some(work);
            }
            return;
        }
        self.poll_pause = self.rules.poll_first;
        self.polls_at = now.plus(self.poll_pause);
        match asked {
            Some(Asked::Read { ahead: false, at }) => {
                self.is_proven = work.proof != Proof::None;
                if work.proof == Proof::Committed {
                    self.shown(at);
                }
                self.current = Some(work);
            }
            _ => self.next = Some(work),
        }
    }

    fn proven(&mut self, now: Mono, proven: Result<(), Trouble>, effects: &mut Vec<Effect>) {
        let asked = self.asked.take();
        match (proven, asked) {
            (Ok(()), Some(Asked::Prove { at })) => {
                self.database.reset();
                self.shown(at);
                self.is_proven = true;
            }
            (Err(Trouble::Overtaken), _) => self.overtaken(now, effects),
            _ => self.asks_at = self.database.next_try(now),
        }
    }

    fn stored(
        &mut self,
        now: Mono,
        stored: Result<Option<Vec<Lane>>, Trouble>,
        effects: &mut Vec<Effect>,
    ) {
        let asked = self.asked.take();
        match (stored, asked) {
            (Ok(parked), Some(Asked::Store { at })) => {
                self.database.reset();
                self.shown(at);
                if let Some(parked) = parked {
                    self.parked = parked.into_iter().collect();
                }
                // What was read ahead was read before this commit.
                self.current = self.next.take().filter(|work| !work.items.is_empty());
                self.is_proven = self.current.is_some();
            }
            (Err(Trouble::Overtaken), _) => self.overtaken(now, effects),
            _ => self.asks_at = self.database.next_try(now),
        }
    }

    /// A commit that names its token has succeeded; it was begun then.
    fn shown(&mut self, at: Mono) {
        self.leads_at = at.plus(self.rules.lease / LEASE_PARTS);
        self.proven_until = at.plus(self.rules.lease);
    }

    fn resigned(&mut self) {
        self.asked = None;
        self.leads = false;
        self.stop = Stop::Done;
    }

    /// Somebody else leads.
    fn overtaken(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        self.leads = false;
        self.silent = None;
        self.leads_at = now.plus(self.rules.lease / LEASE_PARTS);
        self.drop_works(effects);
    }

    fn drop_works(&mut self, effects: &mut Vec<Effect>) {
        self.current = None;
        self.next = None;
        self.is_proven = false;
        if std::mem::take(&mut self.is_publishing) {
            effects.push(Effect::Abandon);
        }
    }

    fn stop(&mut self, now: Mono) {
        if self.stop == Stop::No {
            self.stop = Stop::Asked(now.plus(self.rules.drain));
        }
    }

    /// Ends what takes longer than it may at the end.
    fn give_up_late(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        match self.stop {
            Stop::Asked(until) if until <= now => self.stop = Stop::Late(now.plus(RESIGN_MAX)),
            Stop::Late(until) if until <= now => self.stop = Stop::Done,
            _ => return,
        }
        self.drop_works(effects);
        if self.asked.take().is_some() {
            effects.push(Effect::Disconnect);
        }
    }

    fn published(&mut self, now: Mono, results: Vec<(usize, Result<(), Fault>)>) {
        self.is_publishing = false;
        let Some(work) = &mut self.current else {
            return;
        };
        let round = work.settle(results, self.rules.attempts_max);
        let pause = match round {
            words::Round::Done => {
                self.broker.reset();
                return;
            }
            words::Round::RowsFailed(attempts) => {
                let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
                PAUSE_FIRST.saturating_mul(factor).min(PAUSE_MAX)
            }
            words::Round::BrokerFailed => self.broker.spread_pause(now),
        };
        self.publishes_at = now.plus(pause);
    }

    fn is_unpublished(&self) -> bool {
        self.current.as_ref().is_some_and(|work| !work.is_settled())
    }

    fn publish(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        let is_in_time = now >= self.publishes_at && self.stop == Stop::No;
        if self.is_publishing || !self.is_proven || !is_in_time {
            return;
        }
        if now >= self.proven_until {
            self.is_proven = false;
            return;
        }
        let Some(work) = &mut self.current else {
            return;
        };
        work.park_behind(&self.parked);
        let unsent = work.unsent();
        if !unsent.is_empty() {
            self.is_publishing = true;
            effects.push(Effect::Publish(unsent));
        }
    }

    /// Asks the database for what is most urgent.
    fn ask(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        if self.asked.is_some() || now < self.asks_at {
            return;
        }
        let Some(asked) = self.wanted(now) else {
            return;
        };
        self.asked = Some(asked);
        effects.push(match asked {
            Asked::Lead => Effect::Lead {
                silent: self
                    .silent
                    .filter(|(_, since)| now.since(*since) >= self.rules.lease)
                    .map(|(beat, _)| beat),
            },
            Asked::Version => Effect::Version,
            Asked::Read { .. } => {
                self.wants_read = false;
                Effect::Read
            }
            Asked::Prove { .. } => Effect::Prove,
            Asked::Store { .. } => Effect::Store,
            Asked::Resign => Effect::Resign,
        });
    }

    fn wanted(&mut self, now: Mono) -> Option<Asked> {
        if self.stop != Stop::No {
            return self.wanted_at_the_end(now);
        }
        if !self.leads {
            return (now >= self.leads_at).then_some(Asked::Lead);
        }
        let [read_ahead, read] = [true, false].map(|ahead| Asked::Read { ahead, at: now });
        if let Some(work) = &self.current {
            return match (work.is_settled(), work.origin, &self.next) {
                // Behind parked rows nothing is read: they would be found again.
                (true, Origin::Table, None) => Some(read_ahead),
                (true, ..) => Some(Asked::Store { at: now }),
                (false, ..) if !self.is_proven || now >= self.leads_at => {
                    Some(Asked::Prove { at: now })
                }
                // While the broker works, the database need not stand idle.
                (false, Origin::Table, None) if self.reads_on() => Some(read_ahead),
                (false, ..) => None,
            };
        }
        if self.wants_read {
            return Some(read);
        }
        if now >= self.leads_at {
            return Some(Asked::Prove { at: now });
        }
        (now >= self.polls_at).then_some(Asked::Version)
    }

    fn wanted_at_the_end(&mut self, now: Mono) -> Option<Asked> {
        if self.is_publishing || self.stop == Stop::Done {
            return None;
        }
        // What was read ahead is not wanted any more.
        self.next = None;
        if self.current.as_ref().is_some_and(Work::is_settled) {
            return Some(Asked::Store { at: now });
        }
        self.current = None;
        if !self.leads {
            self.stop = Stop::Done;
            return None;
        }
        Some(Asked::Resign)
    }
}

/// The lead is shown so often in a lease.
const LEASE_PARTS: u32 = 3;

/// How long it may take to give the lead back.
const RESIGN_MAX: Duration = Duration::from_secs(1);

/// The pauses after a failure.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
