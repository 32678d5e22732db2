//! The topics that a producer sends to, and the batches that wait for each of their partitions.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - One lock guards all; a record takes it once, and nothing is compressed or sent under it. Who
//!   waits for a batch is woken after it.
//! - A partition with a batch in it is in `active`: the sender looks at no other.
//! - The number of batches is bounded by `buffer.memory`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_proto::clock::{Clock, Mono};
use highwater_proto::cursor::Str;

use super::batch::Batch;
use super::delivery::{Delivery, Fate, Stored};
use super::partition::{Partition, Stance};
use super::rules::Rules;
use super::sender::Identity;
use super::topic::Topic;
use crate::config::ProducerConfig;
use crate::error::ClientError;
use crate::record::Record;

/// A partition by the indexes of its topic and itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) topic: usize,
    pub(super) partition: usize,
}

impl Slot {
    /// The partition's number on the wire.
    pub(super) fn number(self) -> i32 {
        i32::try_from(self.partition).unwrap_or(i32::MAX)
    }
}

/// Where a record went.
#[derive(Debug)]
pub(super) enum Place {
    /// Nowhere: how many partitions the topic has is not known, or fewer than the record asks for.
    Unknown,
    /// Into a batch; and whether the sender must look again.
    Batch(Delivery, bool),
}

/// What the sender could do now.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Partitions with a batch to send, and the names of their topics.
    pub(super) ready: Vec<(Slot, Str)>,
    /// Whether a partition cannot go on without a new producer id.
    pub(super) needs_identity: bool,
    /// When to look again if nothing happens.
    pub(super) wake_at: Option<Mono>,
    /// What was given up.
    pub(super) ended: Ended,
}

/// Batches that have come to their end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    /// How many.
    pub(super) count: usize,
    /// Bytes of `buffer.memory` that are free again.
    pub(super) freed_bytes: usize,
}

/// What became of the records that were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) stored: u64,
    pub(super) failed: u64,
}

/// All batches that were not answered yet.
#[derive(Debug, Default)]
pub(super) struct Queues {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    names: HashMap<Str, usize>,
    topics: Vec<Topic>,
    /// The topic of the newest record: most go to the same one as that before.
    newest: usize,
    /// Partitions that have batches; those that waited longest first.
    active: Vec<Slot>,
    next_number: u64,
    /// How many batches without an outcome there are, by number.
    unanswered: BTreeMap<u64, u32>,
    counts: Counts,
    is_closed: bool,
}

impl State {
    fn topic(&mut self, name: &str) -> Option<(usize, &mut Topic)> {
        let newest = self.topics.get(self.newest);
        if newest.is_none_or(|topic| topic.name.as_bytes() != name.as_bytes()) {
            self.newest = *self.names.get(name)?;
        }
        Some((self.newest, self.topics.get_mut(self.newest)?))
    }

    /// The rules, with nothing lingering once nothing more will come.
    const fn hurried<'a>(&self, rules: &Rules<'a>) -> Rules<'a> {
        Rules {
            hurry: rules.hurry || self.is_closed,
            ..*rules
        }
    }

    /// Takes note of outcomes.
    fn end(&mut self, outcomes: &[(Batch, Fate)]) -> Ended {
        let mut ended = Ended {
            count: outcomes.len(),
            freed_bytes: 0,
        };
        for (batch, fate) in outcomes {
            let records = u64::from(batch.records_count().unsigned_abs());
            // The parts of a batch hold its bytes on.
            let (parts, freed_bytes) = match fate {
                Fate::Split(..) => (2, 0),
                Fate::Stored(_) | Fate::Failed(_) => (0, batch.held_bytes),
            };
            match fate {
                Fate::Stored(_) => self.counts.stored += records,
                Fate::Failed(_) => self.counts.failed += records,
                Fate::Split(..) => {}
            }
            ended.freed_bytes += freed_bytes;
            if let Some(count) = self.unanswered.get_mut(&batch.number) {
                *count = (*count + parts).saturating_sub(1);
                if *count == 0 {
                    self.unanswered.remove(&batch.number);
                }
            }
        }
        ended
    }
}

impl Queues {
    /// Adds a record to the open batch of its partition.
    pub(super) fn append(
        &self,
        config: &ProducerConfig,
        record: &Record,
        bytes: usize,
        clock: &dyn Clock,
    ) -> Result<Place, ClientError> {
        let timestamp = record.timestamp.unwrap_or_else(|| clock.wall().0);
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.is_closed {
            return Err(ClientError::Closed);
        }
        let next_number = state.next_number;
        let Some((topic_index, topic)) = state.topic(&record.topic) else {
            return Ok(Place::Unknown);
        };
        let Some((index, mut wake)) = topic.place(record, bytes, config) else {
            return Ok(Place::Unknown);
        };
        let Some(partition) = topic.partitions.get_mut(index) else {
            return Ok(Place::Unknown);
        };
        let slot = Slot {
            topic: topic_index,
            partition: index,
        };
        let (codec, capacity) = (config.compression_type, partition.capacity(config));
        let is_lonely = partition.waiting() == 0;
        let batch = partition.open.get_or_insert_with(|| {
            // It lingers from now on.
            wake |= is_lonely;
            Batch::new(next_number, clock.now().mono, codec, capacity)
        });
        let record_index = batch.append(record, bytes, timestamp)?;
        let (number, promise) = (batch.number, Arc::clone(batch.promise()));
        if batch.bytes() >= partition.batch_bytes_max(config) {
            wake |= partition.seal() && partition.is_news();
        }
        if !std::mem::replace(&mut partition.is_active, true) {
            state.active.push(slot);
        }
        if number == next_number {
            state.next_number += 1;
            state.unanswered.insert(number, 1);
        }
        state.counts.accepted += 1;
        let delivery = Delivery::new(slot.number(), record_index, timestamp, promise);
        Ok(Place::Batch(delivery, wake))
    }

    /// How many partitions a topic has, if that is known.
    pub(super) fn count(&self, name: &str) -> Option<usize> {
        let mut state = self.lock();
        state.topic(name).map(|(_, topic)| topic.count())
    }

    /// Takes note of how many partitions a topic has.
    pub(super) fn learn(&self, name: &str, count: usize) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.topic(name).is_none() {
            let name = Str::from(name.to_owned());
            state.names.insert(name.clone(), state.topics.len());
            state.topics.push(Topic::new(name));
        }
        if let Some((_, topic)) = state.topic(name) {
            topic.resize(count);
        }
    }

    /// What could be sent now; gives up what took too long.
    pub(super) fn survey(&self, rules: &Rules<'_>) -> Survey {
        let mut guard = self.lock();
        let state = &mut *guard;
        let rules = &state.hurried(rules);
        let mut survey = Survey::default();
        let mut expired = Vec::new();
        let mut wake = |at: Mono| {
            survey.wake_at = Some(survey.wake_at.map_or(at, |known| known.min(at)));
        };
        let topics = &mut state.topics;
        state.active.retain(|slot| {
            let Some(topic) = topics.get_mut(slot.topic) else {
                return false;
            };
            let Some(partition) = topic.partitions.get_mut(slot.partition) else {
                return false;
            };
            expired.extend(partition.expire(rules));
            expired.extend(partition.give_up_astray());
            match partition.stance(rules) {
                Stance::Empty => {
                    partition.is_active = false;
                    return false;
                }
                Stance::Ready => survey.ready.push((*slot, topic.name.clone())),
                Stance::NeedsIdentity => survey.needs_identity = true,
                Stance::Wait(at) => wake(at),
                Stance::InFlight => {}
            }
            if let Some(at) = partition.expires_at(rules) {
                wake(at);
            }
            true
        });
        survey.ended = state.end(&expired);
        drop(guard);
        tell(expired);
        survey
    }

    /// Takes one batch of each partition, as far as they fit into one request; what was taken
    /// moves behind the others. Gives the moment, too, when what lingers behind it may leave.
    pub(super) fn take(
        &self,
        slots: &[Slot],
        rules: &Rules<'_>,
        identity: Option<Identity>,
        request_bytes_max: usize,
    ) -> (Vec<(Slot, Batch)>, Option<Mono>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let rules = &state.hurried(rules);
        let mut taken: Vec<(Slot, Batch)> = Vec::with_capacity(slots.len());
        let (mut room, mut later) = (request_bytes_max, None);
        for slot in slots {
            let topic = state.topics.get_mut(slot.topic);
            let partition = topic.and_then(|topic| topic.partitions.get_mut(slot.partition));
            let Some(partition) = partition else {
                continue;
            };
            // The first one goes even if it is too large: the broker may take it nevertheless.
            if !taken.is_empty() && partition.next_bytes() > room {
                continue;
            }
            if let Some(batch) = partition.take(rules, identity) {
                room = room.saturating_sub(batch.bytes());
                taken.push((*slot, batch));
                if let Stance::Wait(at) = partition.stance(rules) {
                    later = later.into_iter().chain([at]).min();
                }
            }
        }
        if taken.len() < state.active.len() {
            let was_taken = |slot: &Slot| taken.iter().any(|(other, _)| other == slot);
            state.active.sort_by_key(was_taken);
        }
        (taken, later)
    }

    /// Takes note of the answers to some batches.
    pub(super) fn settle(
        &self,
        answers: impl Iterator<Item = (Slot, Batch, Result<Stored, ClientError>)>,
        rules: &Rules<'_>,
    ) -> Ended {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut outcomes = Vec::new();
        for (slot, batch, result) in answers {
            let topic = state.topics.get_mut(slot.topic);
            let partition = topic.and_then(|topic| topic.partitions.get_mut(slot.partition));
            outcomes.extend(partition.and_then(|it| it.settle(batch, result, rules)));
        }
        let ended = state.end(&outcomes);
        drop(guard);
        tell(outcomes);
        ended
    }

    /// Sends open batches without lingering. Gives the number that no batch has yet.
    pub(super) fn seal_all(&self) -> u64 {
        let mut guard = self.lock();
        let state = &mut *guard;
        for slot in &state.active {
            let topic = state.topics.get_mut(slot.topic);
            if let Some(partition) = topic.and_then(|it| it.partitions.get_mut(slot.partition)) {
                partition.seal();
            }
        }
        state.next_number
    }

    /// Whether every batch below that number has come to its end.
    pub(super) fn is_answered_below(&self, number: u64) -> bool {
        let state = self.lock();
        let oldest = state.unanswered.first_key_value();
        oldest.is_none_or(|(oldest, _)| *oldest >= number)
    }

    /// Refuses records from now on.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Gives up everything that is not answered, and refuses records from now on.
    pub(super) fn abort(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.is_closed = true;
        state.unanswered.clear();
        state.active.clear();
        let partitions = state.topics.iter_mut().flat_map(|it| &mut it.partitions);
        let batches: Vec<Batch> = partitions.flat_map(Partition::drain).collect();
        drop(guard);
        // Each tells who waits for it.
        drop(batches);
    }

    /// Whether nothing is left to be sent, and nothing more will come.
    pub(super) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.is_closed && state.unanswered.is_empty()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock can only come from the allocator, and then it aborts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes who waits for these batches.
fn tell(outcomes: Vec<(Batch, Fate)>) {
    for (batch, fate) in outcomes {
        batch.finish(fate);
    }
}
