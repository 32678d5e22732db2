//! What becomes of each record of a group's handler: called, tried again, recorded, committed.
//!
//! Floor 6 of client. Pure: no clock, socket or task; time comes as an argument.
//!
//! Invariants
//! - Records of one queue (a key, or a whole partition) are called in the order of their offsets,
//!   and none before the one ahead of it is finished.
//! - A record is finished once: handled, skipped, or stored among the dead letters. What may be
//!   committed lies at or below the lowest record that is not finished.
//! - Attempts are counted by partition and offset, whatever the error; in an outage none counts.
//! - Every call and every `Record` is answered by one input, also when its partition is gone.
//! - Of a partition that was dropped nothing is called, recorded or committed any more.

mod lane;
#[cfg(test)]
mod model;
mod outage;
#[cfg(test)]
mod tests;
mod together;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;

use self::lane::{Lane, Queue, State};
use self::outage::Outage;
use self::words::Failure;
use super::backoff::Backoff;
use crate::failure::FailureClass;

pub use words::Order;
pub(super) use words::{Effect, Exhausted, Id, Input, Place, Rules, Stored};

#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    lanes: BTreeMap<Place, Lane>,
    /// Heads of queues that may be called.
    ready: VecDeque<Id>,
    timers: BTreeSet<(Mono, Id)>,
    outage: Outage,
    /// Calls and dead letters without an answer yet.
    under_way: usize,
    bytes: usize,
    epoch: u64,
    is_stopping: bool,
    /// Whether every partition is held back.
    is_held: bool,
}

impl Machine {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            outage: Outage::default(),
            under_way: 0,
            bytes: 0,
            epoch: 0,
            is_stopping: false,
            is_held: false,
        }
    }

    /// Takes an input in; gives what is to be done, in this order.
    pub(super) fn step(&mut self, now: Mono, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        let touched = match &input {
            Input::Assigned(place) | Input::Arrived { place, .. } => Some(place.clone()),
            Input::Called(id, _) | Input::Recorded(id, _) => Some(id.place.clone()),
            Input::CalledTogether(ids, _) => ids.first().map(|id| id.place.clone()),
            Input::Revoked(_) | Input::Dropped(_) | Input::Tick | Input::Stop => None,
        };
        match input {
            Input::Assigned(place) => self.assigned(place),
            Input::Revoked(place) => self.revoked(place, &mut effects),
            Input::Dropped(place) => self.dropped(&place, &mut effects),
            Input::Arrived {
                place,
                offset,
                key,
                bytes,
            } => self.arrived(&place, offset, key, bytes),
            Input::Called(id, result) => self.called(now, id, result, &mut effects),
            Input::CalledTogether(ids, result) => self.called_together(&ids, result, &mut effects),
            Input::Recorded(id, stored) => self.recorded(now, id, stored, &mut effects),
            Input::Tick => {}
            Input::Stop => self.is_stopping = true,
        }
        self.take_due(now, &mut effects);
        self.dispatch(now, &mut effects);
        self.hold_back(touched.as_ref(), &mut effects);
        effects
    }

    /// When time has something to change; [`Mono::NEVER`] if nothing waits for it.
    pub(super) fn wakes_at(&self) -> Mono {
        if self.is_stopping {
            return Mono::NEVER;
        }
        let timer = self.timers.first().map_or(Mono::NEVER, |(at, _)| *at);
        match self.ready.is_empty() {
            true => timer,
            false => timer.min(self.outage.probes_at()),
        }
    }

    /// The offset that may be committed for each partition of which something has arrived.
    pub(super) fn committable(&self) -> impl Iterator<Item = (&Place, i64)> {
        let lanes = self.lanes.iter();
        let stays = lanes.filter(|(_, lane)| !lane.is_leaving);
        stays.filter_map(|(place, lane)| Some((place, lane.committable()?)))
    }

    /// Whether a record is there and not finished.
    pub(super) fn has(&self, place: &Place, offset: i64) -> bool {
        let lane = self.lanes.get(place);
        lane.is_some_and(|lane| lane.state(offset).is_some())
    }

    /// Whether it is of an assignment that still stands.
    pub(super) fn is_current(&self, id: &Id) -> bool {
        let lane = self.lanes.get(&id.place);
        lane.is_some_and(|lane| lane.epoch == id.epoch)
    }

    /// Whether no call and no dead letter is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// How many records are not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.lanes.values().map(Lane::unfinished).sum()
    }

    fn lane(&mut self, id: &Id) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(&id.place)?;
        (lane.epoch == id.epoch).then_some(lane)
    }

    fn assigned(&mut self, place: Place) {
        self.forget(&place);
        self.epoch += 1;
        self.lanes.insert(place, Lane::new(self.epoch));
    }

    fn forget(&mut self, place: &Place) {
        if let Some(lane) = self.lanes.remove(place) {
            self.bytes -= lane.bytes;
            self.ready.retain(|id| id.place != *place);
            self.timers.retain(|(_, id)| id.place != *place);
        }
    }

    fn dropped(&mut self, place: &Place, effects: &mut Vec<Effect>) {
        let leaving = self.lanes.get(place).filter(|lane| lane.is_leaving);
        let released = leaving.map(|it| Effect::Released(place.clone(), it.committable()));
        effects.extend(released);
        self.forget(place);
    }

    fn revoked(&mut self, place: Place, effects: &mut Vec<Effect>) {
        match self.lanes.get_mut(&place) {
            Some(lane) => lane.is_leaving = true,
            None => effects.push(Effect::Released(place.clone(), None)),
        }
        self.release(&place, effects);
    }

    /// Lets a partition go that has to, if nothing of it is under way.
    fn release(&mut self, place: &Place, effects: &mut Vec<Effect>) {
        let lane = self.lanes.get(place);
        if let Some(lane) = lane.filter(|lane| lane.is_leaving && lane.under_way == 0) {
            let offset = lane.committable();
            self.forget(place);
            effects.push(Effect::Released(place.clone(), offset));
        }
    }

    fn arrived(&mut self, place: &Place, offset: i64, key: Option<Bytes>, bytes: usize) {
        let order = self.rules.order;
        let Some(lane) = self.lanes.get_mut(place) else {
            return;
        };
        let queue = match (order, key) {
            (Order::Partition, _) => Queue::Whole,
            (Order::Key, Some(key)) => Queue::Key(key),
            (Order::Key, None) => Queue::Alone(offset),
        };
        if lane.is_leaving || lane.is_halted || !lane.add(offset, queue, bytes) {
            return;
        }
        self.bytes += bytes;
        if lane.is_head(offset) {
            self.make_ready(place.clone(), offset);
        }
    }

    fn make_ready(&mut self, place: Place, offset: i64) {
        if let Some(lane) = self.lanes.get_mut(&place) {
            lane.set(offset, State::Ready);
            let epoch = lane.epoch;
            self.ready.push_back(Id {
                place,
                epoch,
                offset,
            });
        }
    }

    fn called(
        &mut self,
        now: Mono,
        id: Id,
        result: Result<(), FailureClass>,
        effects: &mut Vec<Effect>,
    ) {
        self.under_way -= 1;
        let was_probe = self.outage.probe_ended(&id);
        let Some(lane) = self.lane(&id) else {
            return;
        };
        lane.under_way -= 1;
        let queue = lane.queue(id.offset);
        let is_final = matches!(result, Err(FailureClass::Dead | FailureClass::Invalid));
        if is_final {
            lane.count_attempt(id.offset, now);
        }
        match result {
            Ok(()) => {
                if self.outage.succeeded((id.place.clone(), queue), was_probe) {
                    effects.push(Effect::OutageEnded);
                }
                self.finish(id, effects);
            }
            Err(FailureClass::Skip) => self.finish(id, effects),
            Err(FailureClass::Stop) => self.exhaust(id, Exhausted::Halt, effects),
            Err(_) if is_final => self.exhaust(id, self.rules.exhausted, effects),
            Err(class) => {
                let failure = Failure {
                    queue,
                    class,
                    was_probe,
                };
                self.failed(now, id, failure, effects);
            }
        }
    }

    /// A call failed that may be tried again.
    fn failed(&mut self, now: Mono, id: Id, failure: Failure, effects: &mut Vec<Effect>) {
        if self.outage.is_on() {
            self.outage.goes_on(now, failure.was_probe);
        } else {
            let who = (id.place.clone(), failure.queue);
            let is_systemic = failure.class == FailureClass::Systemic;
            if let Some(misjudged) = self.outage.failed(now, who, &id, is_systemic) {
                // What led to it were no attempts.
                for id in misjudged {
                    if let Some(lane) = self.lane(&id) {
                        lane.discount(id.offset);
                    }
                }
                effects.push(Effect::OutageBegan);
            }
        }
        let asked = match failure.class {
            FailureClass::RetryAfter(pause) => pause,
            _ => Duration::ZERO,
        };
        let counts = !self.outage.is_on();
        let backoff = self.rules.backoff;
        let Some(lane) = self.lane(&id) else {
            return;
        };
        let pause = match counts {
            true => {
                lane.count_attempt(id.offset, now);
                let (attempts, elapsed) = lane.attempts(id.offset, now);
                backoff.next_pause(attempts, elapsed, scrambled(id.offset, attempts))
            }
            false => Some(Duration::ZERO),
        };
        match pause.map(|pause| pause.max(asked)) {
            Some(Duration::ZERO) => self.make_ready(id.place.clone(), id.offset),
            Some(pause) => self.delay(id.clone(), now.plus(pause), State::Delayed),
            None => self.exhaust(id.clone(), self.rules.exhausted, effects),
        }
        self.release(&id.place, effects);
    }

    fn delay(&mut self, id: Id, until: Mono, state: State) {
        if let Some(lane) = self.lane(&id) {
            lane.set(id.offset, state);
            self.timers.insert((until, id));
        }
    }

    /// A record is not tried again.
    fn exhaust(&mut self, id: Id, exhausted: Exhausted, effects: &mut Vec<Effect>) {
        let is_stopping = self.is_stopping;
        let Some(lane) = self.lane(&id) else {
            return;
        };
        if is_stopping || lane.is_leaving || lane.is_halted {
            // It stays unfinished: whoever reads the partition next gets it again.
            lane.set(id.offset, State::Waiting);
            self.release(&id.place, effects);
            return;
        }
        match exhausted {
            Exhausted::Record => self.record(id, effects),
            Exhausted::Halt => {
                lane.set(id.offset, State::Waiting);
                lane.is_halted = true;
                // It keeps its place, not its memory: that belongs to the partitions that go on.
                let bytes = lane.take_bytes();
                self.bytes -= bytes;
                effects.push(Effect::Halted(id));
            }
        }
    }

    fn record(&mut self, id: Id, effects: &mut Vec<Effect>) {
        if let Some(lane) = self.lane(&id) {
            lane.set(id.offset, State::UnderWay);
            lane.under_way += 1;
            let attempts = lane.attempts(id.offset, Mono(0)).0;
            self.under_way += 1;
            effects.push(Effect::Record { id, attempts });
        }
    }

    fn recorded(&mut self, now: Mono, id: Id, stored: Stored, effects: &mut Vec<Effect>) {
        self.under_way -= 1;
        let Some(lane) = self.lane(&id) else {
            return;
        };
        lane.under_way -= 1;
        match stored {
            Stored::Yes => self.finish(id, effects),
            Stored::No => {
                let failures = lane.count_refusal(id.offset);
                let at = now.plus(RECORD_PAUSES.pause(failures));
                self.delay(id.clone(), at, State::Unrecorded);
                self.release(&id.place, effects);
            }
        }
    }

    fn finish(&mut self, id: Id, effects: &mut Vec<Effect>) {
        let Some(lane) = self.lane(&id) else {
            return;
        };
        let (bytes, next) = lane.finish(id.offset);
        // One that was called together with it is under way.
        let next = next.filter(|next| lane.state(*next) == Some(State::Waiting));
        self.bytes -= bytes;
        if let Some(offset) = next {
            self.make_ready(id.place.clone(), offset);
        }
        let place = id.place.clone();
        effects.push(Effect::Finished(id));
        self.release(&place, effects);
    }

    /// Takes up what has waited long enough.
    fn take_due(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        if self.is_stopping {
            return;
        }
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.timers.pop_first() else {
                return;
            };
            let Some(lane) = self.lane(&id) else {
                continue;
            };
            let is_unrecorded = lane.state(id.offset) == Some(State::Unrecorded);
            match (lane.is_leaving || lane.is_halted, is_unrecorded) {
                (true, _) => lane.set(id.offset, State::Waiting),
                (false, true) => self.record(id, effects),
                (false, false) => self.make_ready(id.place, id.offset),
            }
        }
    }

    /// Calls what is ready, as far as there is room; in an outage one record at a time.
    fn dispatch(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        if self.is_stopping {
            return;
        }
        while self.under_way < self.rules.concurrency && self.outage.lets_through(now) {
            let Some(id) = self.ready.pop_front() else {
                return;
            };
            let together_max = match self.outage.is_on() {
                true => 1,
                false => self.rules.together_max,
            };
            let Some(lane) = self.lane(&id) else {
                continue;
            };
            if lane.state(id.offset) != Some(State::Ready) {
                // It was called together with another one.
                continue;
            }
            if lane.is_leaving || lane.is_halted {
                lane.set(id.offset, State::Waiting);
                continue;
            }
            let attempt = lane.attempts(id.offset, now).0.saturating_add(1);
            let others = lane.take(id.offset, together_max);
            lane.under_way += 1;
            self.under_way += 1;
            self.outage.begins(&id);
            effects.push(match others.is_empty() {
                true => Effect::Call { id, attempt },
                false => Effect::CallTogether(together::with(id, others)),
            });
        }
    }

    /// Pauses and resumes partitions: that one, or all if what holds all of them has changed.
    fn hold_back(&mut self, touched: Option<&Place>, effects: &mut Vec<Effect>) {
        let limit = match self.is_held {
            true => self.rules.bytes_max / 2,
            false => self.rules.bytes_max,
        };
        // Without a record there is nothing to probe with.
        let is_held =
            self.bytes > limit || (self.outage.is_on() && !self.lanes.values().all(Lane::is_empty));
        let has_changed = std::mem::replace(&mut self.is_held, is_held) != is_held;
        let rules = &self.rules;
        if has_changed {
            for (place, lane) in &mut self.lanes {
                effects.extend(lane.hold_back(place, is_held, rules));
            }
        } else if let Some(place) = touched
            && let Some(lane) = self.lanes.get_mut(place)
        {
            effects.extend(lane.hold_back(place, is_held, rules));
        }
    }
}

/// Spreads the jitter over the records that failed together.
fn scrambled(offset: i64, attempts: u32) -> u64 {
    let seed = offset
        .unsigned_abs()
        .wrapping_add(u64::from(attempts) << 48);
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
}

/// The pauses before a dead letter that could not be stored is sent again: without an end.
const RECORD_PAUSES: Backoff =
    Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(30));
