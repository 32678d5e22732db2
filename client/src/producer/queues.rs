//! The topics that a producer sends to, and the batches that wait for each of their partitions.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - One lock guards all; a record takes it once, and nothing is compressed or sent under it.
//! - A partition with a batch in it is in `active`: the sender looks at no other.
//! - The number of batches is bounded by `buffer.memory`.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_proto::clock::{Mono, Now};
use tokio::sync::watch;

use super::batch::{Batch, Fate};
use super::partition::{Partition, Rules, Stance};
use super::partitioner::partition_of;
use super::sender::Identity;
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
    /// Into a batch.
    Batch {
        partition: i32,
        /// Its index in the batch.
        index: i32,
        fate: watch::Receiver<Fate>,
        /// Whether the sender must look again.
        wake: bool,
    },
}

/// What the sender could do now.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Partitions with a batch to send, and the names of their topics.
    pub(super) ready: Vec<(Slot, Arc<str>)>,
    /// Whether a partition cannot go on without a new producer id.
    pub(super) needs_identity: bool,
    /// When to look again if nothing happens.
    pub(super) wake_at: Option<Mono>,
    /// Bytes of `buffer.memory` that are free again.
    pub(super) freed_bytes: usize,
}

/// All batches that were not answered yet.
#[derive(Debug, Default)]
pub(super) struct Queues {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    names: HashMap<Arc<str>, usize>,
    topics: Vec<Topic>,
    /// Partitions that have batches; those that waited longest first.
    active: Vec<Slot>,
    next_number: u64,
    unanswered: HashMap<u64, watch::Receiver<Fate>>,
    is_closed: bool,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// May be more than `count` after the topic was made again with fewer.
    partitions: Vec<Partition>,
    count: usize,
    /// Where records without a key go until that batch leaves.
    sticky: usize,
}

impl Topic {
    fn choose(&self, record: &Record) -> Option<usize> {
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) => usize::try_from(partition).ok()?,
            (None, Some(key)) => {
                let count = i32::try_from(self.count).unwrap_or(i32::MAX);
                usize::try_from(partition_of(key, count)).ok()?
            }
            (None, None) => self.sticky,
        };
        (partition < self.count).then_some(partition)
    }

    /// The batch that records without a key went to leaves: the next one is another partition's.
    const fn move_on(&mut self, from: usize) {
        if self.sticky == from {
            self.sticky = if from + 1 < self.count { from + 1 } else { 0 };
        }
    }
}

impl Queues {
    /// Adds a record to the open batch of its partition.
    pub(super) fn append(
        &self,
        config: &ProducerConfig,
        record: &Record,
        bytes: usize,
        now: Now,
    ) -> Result<Place, ClientError> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.is_closed {
            return Err(ClientError::Closed);
        }
        let topic_index = state.names.get(record.topic.as_str()).copied();
        let found = topic_index.and_then(|index| Some((index, state.topics.get_mut(index)?)));
        let Some((topic_index, topic)) = found else {
            return Ok(Place::Unknown);
        };
        let Some(mut index) = topic.choose(record) else {
            return Ok(Place::Unknown);
        };
        let limit = config.batch_size.min(config.max_request_size);
        let mut wake = false;
        if topic
            .partitions
            .get_mut(index)
            .is_some_and(|it| it.seal_before(bytes, limit))
        {
            wake = true;
            topic.move_on(index);
            index = topic.choose(record).unwrap_or(index);
        }
        let Some(partition) = topic.partitions.get_mut(index) else {
            return Ok(Place::Unknown);
        };
        partition.seal_before(bytes, limit);
        if partition.open.is_none() {
            wake = true;
            let batch = Batch::new(state.next_number, now.mono, config.compression_type);
            state.next_number += 1;
            state.unanswered.insert(batch.number, batch.watch());
            partition.open = Some(batch);
        }
        let slot = Slot {
            topic: topic_index,
            partition: index,
        };
        if !std::mem::replace(&mut partition.is_active, true) {
            state.active.push(slot);
        }
        let Some(batch) = &mut partition.open else {
            return Ok(Place::Unknown);
        };
        let record_index = batch.append(record, bytes, now.wall.0)?;
        let fate = batch.watch();
        if batch.bytes() >= limit {
            partition.seal();
            topic.move_on(index);
            wake = true;
        }
        Ok(Place::Batch {
            partition: slot.number(),
            index: record_index,
            fate,
            wake,
        })
    }

    /// How many partitions a topic has.
    pub(super) fn learn(&self, name: &str, count: usize) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let index = match state.names.get(name) {
            Some(index) => *index,
            None => {
                let name: Arc<str> = Arc::from(name);
                state.names.insert(Arc::clone(&name), state.topics.len());
                state.topics.push(Topic {
                    name,
                    partitions: Vec::new(),
                    count: 0,
                    sticky: 0,
                });
                state.topics.len() - 1
            }
        };
        let Some(topic) = state.topics.get_mut(index) else {
            return;
        };
        if topic.count != count {
            // Many producers that send one record each shall not all choose the same partition.
            let random = RandomState::new().hash_one(name) % (count.max(1) as u64);
            topic.sticky = usize::try_from(random).unwrap_or(0);
        }
        topic.count = count;
        let partitions = topic.partitions.len().max(count);
        topic.partitions.resize_with(partitions, Partition::default);
    }

    /// What could be sent now; gives up what took too long.
    pub(super) fn survey(&self, rules: &Rules<'_>) -> Survey {
        let mut guard = self.lock();
        let state = &mut *guard;
        let hurried = Rules {
            hurry: rules.hurry || state.is_closed,
            ..*rules
        };
        let mut survey = Survey::default();
        let mut wake = |at: Mono| {
            survey.wake_at = Some(survey.wake_at.map_or(at, |known| known.min(at)));
        };
        let (topics, unanswered) = (&mut state.topics, &mut state.unanswered);
        state.active.retain(|slot| {
            let Some(topic) = topics.get_mut(slot.topic) else {
                return false;
            };
            let Some(partition) = topic.partitions.get_mut(slot.partition) else {
                return false;
            };
            for (batch, error) in partition.expire(&hurried) {
                survey.freed_bytes += batch.held_bytes;
                unanswered.remove(&batch.number);
                batch.finish(Fate::Failed(error));
            }
            match partition.stance(&hurried) {
                Stance::Empty => {
                    partition.is_active = false;
                    return false;
                }
                Stance::Ready => survey.ready.push((*slot, Arc::clone(&topic.name))),
                Stance::NeedsIdentity => survey.needs_identity = true,
                Stance::Wait(at) => wake(at),
                Stance::InFlight => {}
            }
            if let Some(at) = partition.expires_at(&hurried) {
                wake(at);
            }
            true
        });
        survey
    }

    /// Takes one batch of each partition, as far as they fit into one request; what was taken
    /// moves behind the others.
    pub(super) fn take(
        &self,
        slots: &[Slot],
        rules: &Rules<'_>,
        identity: Option<Identity>,
        request_bytes_max: usize,
    ) -> Vec<(Slot, Batch)> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let hurried = Rules {
            hurry: rules.hurry || state.is_closed,
            ..*rules
        };
        let mut taken = Vec::with_capacity(slots.len());
        let mut room = request_bytes_max;
        for slot in slots {
            let Some(topic) = state.topics.get_mut(slot.topic) else {
                continue;
            };
            let Some(partition) = topic.partitions.get_mut(slot.partition) else {
                continue;
            };
            // The first one goes even if it is too large: the broker may take it nevertheless.
            if !taken.is_empty() && partition.next_bytes() > room {
                continue;
            }
            let Some((batch, was_open)) = partition.take(&hurried, identity) else {
                continue;
            };
            room = room.saturating_sub(batch.bytes());
            if was_open {
                topic.move_on(slot.partition);
            }
            taken.push((*slot, batch));
        }
        let was_taken = |slot: &Slot| taken.iter().any(|(other, _)| other == slot);
        state.active.sort_by_key(was_taken);
        taken
    }

    /// Takes note of an answer. Gives the bytes of `buffer.memory` that are free again.
    pub(super) fn settle(
        &self,
        slot: Slot,
        batch: Batch,
        result: Result<i64, ClientError>,
        rules: &Rules<'_>,
    ) -> usize {
        let mut guard = self.lock();
        let state = &mut *guard;
        let partition = state
            .topics
            .get_mut(slot.topic)
            .and_then(|it| it.partitions.get_mut(slot.partition));
        let Some(partition) = partition else { return 0 };
        let Some((batch, fate)) = partition.settle(batch, result, rules) else {
            return 0;
        };
        state.unanswered.remove(&batch.number);
        let freed_bytes = batch.held_bytes;
        batch.finish(fate);
        freed_bytes
    }

    /// Sends open batches without lingering. Gives the fates of all that is not answered.
    pub(super) fn seal_all(&self) -> Vec<watch::Receiver<Fate>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        for slot in &state.active {
            let Some(topic) = state.topics.get_mut(slot.topic) else {
                continue;
            };
            if topic
                .partitions
                .get_mut(slot.partition)
                .is_some_and(Partition::seal)
            {
                topic.move_on(slot.partition);
            }
        }
        state.unanswered.values().cloned().collect()
    }

    /// Refuses records from now on.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Whether nothing is left to be sent, and nothing more will come.
    pub(super) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.is_closed && state.unanswered.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock can only come from the allocator, and then it aborts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
