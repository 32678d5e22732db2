//! One assigned partition: its unfinished records and their queues.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - Every unfinished record stands in one queue, and the queues are in the order of the offsets.
//! - `next` lies behind everything that has arrived.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;

use super::{Effect, Place, Rules};

/// Which records wait for one another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Queue {
    Key(Bytes),
    /// A record without a key: alone.
    Alone(i64),
    /// The whole partition.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Behind another record of its queue, or behind a stop.
    Waiting,
    Ready,
    /// Being called or recorded.
    UnderWay,
    /// Waits for its next attempt.
    Delayed,
    /// Waits for its dead letter to be sent again.
    Unrecorded,
}

#[derive(Debug)]
struct Entry {
    queue: Queue,
    bytes: usize,
    attempts: u32,
    refusals: u32,
    first_failed: Option<Mono>,
    /// It is called by itself: together with others it was not handled.
    is_apart: bool,
    state: State,
}

impl Entry {
    /// Whether it may be called together with others.
    const fn is_fresh(&self) -> bool {
        self.attempts == 0 && !self.is_apart
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) epoch: u64,
    next: Option<i64>,
    entries: BTreeMap<i64, Entry>,
    queues: HashMap<Queue, VecDeque<i64>>,
    waiting: usize,
    pub(super) bytes: usize,
    pub(super) under_way: usize,
    pub(super) is_paused: bool,
    /// It goes to somebody else.
    pub(super) is_leaving: bool,
    /// It has stopped at a record.
    pub(super) is_halted: bool,
}

impl Lane {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            next: None,
            entries: BTreeMap::new(),
            queues: HashMap::new(),
            waiting: 0,
            bytes: 0,
            under_way: 0,
            is_paused: false,
            is_leaving: false,
            is_halted: false,
        }
    }

    /// Takes a record in; refuses one that has been there.
    pub(super) fn add(&mut self, offset: i64, queue: Queue, bytes: usize) -> bool {
        if self.next.is_some_and(|next| offset < next) {
            return false;
        }
        self.next = Some(offset.saturating_add(1));
        self.bytes += bytes;
        let line = self.queues.entry(queue.clone()).or_default();
        line.push_back(offset);
        let entry = Entry {
            queue,
            bytes,
            attempts: 0,
            refusals: 0,
            first_failed: None,
            is_apart: false,
            state: State::Waiting,
        };
        self.entries.insert(offset, entry);
        true
    }

    /// Whether nothing of its queue is ahead of it.
    pub(super) fn is_head(&self, offset: i64) -> bool {
        let entry = self.entries.get(&offset);
        let line = entry.and_then(|entry| self.queues.get(&entry.queue));
        line.is_some_and(|line| line.front() == Some(&offset))
    }

    pub(super) fn queue(&self, offset: i64) -> Queue {
        let entry = self.entries.get(&offset);
        entry.map_or(Queue::Alone(offset), |entry| entry.queue.clone())
    }

    pub(super) fn state(&self, offset: i64) -> Option<State> {
        self.entries.get(&offset).map(|entry| entry.state)
    }

    pub(super) fn set(&mut self, offset: i64, state: State) {
        let is_waiting = |state: State| matches!(state, State::Delayed | State::Unrecorded);
        if let Some(entry) = self.entries.get_mut(&offset) {
            self.waiting += usize::from(is_waiting(state));
            self.waiting -= usize::from(is_waiting(entry.state));
            entry.state = state;
        }
    }

    pub(super) fn set_apart(&mut self, offset: i64) {
        if let Some(entry) = self.entries.get_mut(&offset) {
            entry.is_apart = true;
        }
    }

    /// Takes a record for a call, and those behind it that go with it, at most so many in all: the
    /// first ones of their queues. Gives the others.
    pub(super) fn take(&mut self, first: i64, count_max: usize) -> Vec<i64> {
        let mut others = Vec::new();
        let is_fresh = self.entries.get(&first).is_some_and(Entry::is_fresh);
        if is_fresh && count_max > 1 {
            let mut taken: HashMap<&Queue, usize> = HashMap::new();
            let near = self.entries.range(first..).take(count_max * LOOKED_AT);
            for (offset, entry) in near {
                let place = taken.entry(&entry.queue).or_default();
                let line = self.queues.get(&entry.queue);
                let is_next = line.is_some_and(|line| line.get(*place) == Some(offset));
                let is_free = matches!(entry.state, State::Ready | State::Waiting);
                if !is_next || !is_free || !entry.is_fresh() {
                    continue;
                }
                *place += 1;
                if *offset != first {
                    others.push(*offset);
                }
                if others.len() + 1 >= count_max {
                    break;
                }
            }
        }
        for offset in others.iter().chain([&first]) {
            self.set(*offset, State::UnderWay);
        }
        others
    }

    pub(super) fn count_attempt(&mut self, offset: i64, now: Mono) {
        if let Some(entry) = self.entries.get_mut(&offset) {
            entry.attempts = entry.attempts.saturating_add(1);
            entry.first_failed.get_or_insert(now);
        }
    }

    /// Takes an attempt back.
    pub(super) fn discount(&mut self, offset: i64) {
        if let Some(entry) = self.entries.get_mut(&offset) {
            entry.attempts = entry.attempts.saturating_sub(1);
            if entry.attempts == 0 {
                entry.first_failed = None;
            }
        }
    }

    /// How often it failed, and how long ago for the first time.
    pub(super) fn attempts(&self, offset: i64, now: Mono) -> (u32, Duration) {
        self.entries.get(&offset).map_or((0, Duration::ZERO), |it| {
            let first = it.first_failed.unwrap_or(now);
            (it.attempts, now.since(first))
        })
    }

    /// Its dead letter could not be stored; gives how often that was.
    pub(super) fn count_refusal(&mut self, offset: i64) -> u32 {
        self.entries.get_mut(&offset).map_or(1, |entry| {
            entry.refusals = entry.refusals.saturating_add(1);
            entry.refusals
        })
    }

    /// Takes a record out; gives its bytes, and which record of its queue is the next.
    pub(super) fn finish(&mut self, offset: i64) -> (usize, Option<i64>) {
        self.set(offset, State::Waiting);
        let Some(entry) = self.entries.remove(&offset) else {
            return (0, None);
        };
        self.bytes -= entry.bytes;
        let Some(line) = self.queues.get_mut(&entry.queue) else {
            return (entry.bytes, None);
        };
        assert_eq!(
            line.pop_front(),
            Some(offset),
            "only the head of a queue is finished"
        );
        let next = line.front().copied();
        if next.is_none() {
            self.queues.remove(&entry.queue);
        }
        (entry.bytes, next)
    }

    /// The offset up to which everything is finished; nothing before the first record.
    pub(super) fn committable(&self) -> Option<i64> {
        let lowest = self.entries.keys().next();
        lowest.copied().or(self.next)
    }

    pub(super) fn unfinished(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its records take no memory any more; gives what they took.
    pub(super) fn take_bytes(&mut self) -> usize {
        self.entries.values_mut().for_each(|entry| entry.bytes = 0);
        std::mem::take(&mut self.bytes)
    }

    /// Pauses or resumes it, if that is a change.
    pub(super) fn hold_back(
        &mut self,
        place: &Place,
        all_are_held: bool,
        rules: &Rules,
    ) -> Option<Effect> {
        let holds = all_are_held || self.is_full(rules);
        let was_paused = std::mem::replace(&mut self.is_paused, holds);
        match (was_paused, holds) {
            (false, true) => Some(Effect::Pause(place.clone())),
            (true, false) => Some(Effect::Resume(place.clone())),
            _ => None,
        }
    }

    /// Whether nothing more of it may be fetched now; once it is paused, until half of a limit is
    /// free.
    fn is_full(&self, rules: &Rules) -> bool {
        let part = if self.is_paused { 2 } else { 1 };
        let distance = match (self.committable(), self.next) {
            (Some(from), Some(to)) => to.saturating_sub(from).unsigned_abs(),
            _ => 0,
        };
        self.is_halted
            || self.waiting >= (rules.waiting_max / part).max(1)
            || distance >= (rules.distance_max / part as u64).max(1)
    }
}

/// So many records are looked at for each that is called together with others: behind a key that
/// waits there may be thousands.
const LOOKED_AT: usize = 4;
