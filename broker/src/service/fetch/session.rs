//! Fetch sessions: what a reader asked for before, so that it need not say it again, and what it
//! was told, so that it need not hear it again.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Pure: times and new numbers come as arguments.
//! - What an answer leaves out is as the reader knows it already.
//! - The partitions of one session stay within `request.partitions.max`, those of all sessions
//!   within `fetch.session.partitions.max`; a session that would grow beyond them is closed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use highwater_log::types::Offset;
use highwater_proto::clock::Mono;

use crate::config::BrokerConfig;
use crate::error::FetchSessionError;
use crate::ids::TopicRef;
use crate::service::fetch::{FetchPartition, FetchedPartition, SessionFetched};

/// How a fetch relates to the session of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStep {
    /// The session; 0 for none.
    pub session_id: i32,
    /// 0 closes that session and begins one; -1 closes it and begins none; else the number of this
    /// step in the session.
    pub epoch: i32,
    /// How the request names topics.
    pub naming: Naming,
    /// Partitions that leave the session.
    pub forgotten: Vec<(TopicRef, i32)>,
}

/// How the requests of a session name topics: all in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By name.
    Names,
    /// By id.
    Ids,
}

/// What is left to do for a step once its partitions were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Answer everything.
    Full,
    /// Answer everything and begin a session.
    Begin(Naming),
    /// Answer what is news to the session, if no other step came in between.
    Continue { session_id: i32, epoch: i32 },
}

/// All sessions of a broker.
#[derive(Debug)]
pub(in crate::service) struct Sessions {
    sessions_max: usize,
    session_partitions_max: usize,
    partitions_max: usize,
    sessions: HashMap<i32, Session>,
    /// Of all sessions.
    partitions_count: usize,
}

impl Sessions {
    pub(in crate::service) fn new(config: &BrokerConfig) -> Self {
        Self {
            sessions_max: config.fetch_session_slots_max,
            session_partitions_max: config.request_partitions_max,
            partitions_max: config.fetch_session_partitions_max,
            sessions: HashMap::new(),
            partitions_count: 0,
        }
    }

    /// The partitions that this step reads, in their order.
    pub(super) fn begin(
        &mut self,
        now: Mono,
        step: SessionStep,
        asked: Vec<FetchPartition>,
    ) -> Result<(Turn, Vec<FetchPartition>), FetchSessionError> {
        if let INITIAL | FINAL = step.epoch {
            self.close(step.session_id);
            let turn = if step.epoch == INITIAL {
                Turn::Begin(step.naming)
            } else {
                Turn::Full
            };
            return Ok((turn, asked));
        }
        let session_id = step.session_id;
        let session = self
            .sessions
            .get_mut(&session_id)
            .ok_or(FetchSessionError::Unknown)?;
        session.check(&step)?;
        let can_be_kept = asked.iter().all(can_be_kept);
        self.partitions_count -= session.order.len();
        session.used = now;
        session.epoch = next_epoch(session.epoch);
        asked.into_iter().for_each(|asked| session.put(asked));
        for (topic, partition) in &step.forgotten {
            session.forget(topic, *partition);
        }
        self.partitions_count += session.order.len();
        let (count, epoch, partitions) = (session.order.len(), session.epoch, session.partitions());
        if count == 0 {
            self.close(session_id);
            return Ok((Turn::Full, partitions));
        }
        if !can_be_kept || count > self.session_partitions_max || !self.has_room(now, 0, 0) {
            // The reader starts over, and is told then that it cannot have a session.
            self.close(session_id);
            return Err(FetchSessionError::Unknown);
        }
        Ok((Turn::Continue { session_id, epoch }, partitions))
    }

    /// The partitions of a session, in their order.
    pub(super) fn partitions(&self, session_id: i32) -> Vec<(TopicRef, i32)> {
        let asked = self.sessions.get(&session_id).map(Session::partitions);
        let asked = asked.unwrap_or_default().into_iter();
        asked.map(|asked| (asked.topic, asked.partition)).collect()
    }

    /// What the reader is told of that which was read. `fresh_id` is the number of a session that
    /// is begun now.
    pub(super) fn finish(
        &mut self,
        now: Mono,
        turn: Turn,
        fresh_id: i32,
        asked: Vec<FetchPartition>,
        fetched: Vec<FetchedPartition>,
    ) -> Result<SessionFetched, FetchSessionError> {
        match turn {
            Turn::Full => Ok(SessionFetched {
                session_id: NONE,
                partitions: fetched,
            }),
            Turn::Begin(naming) => {
                let session_id = if self.keep(now, naming, fresh_id, asked, &fetched) {
                    fresh_id
                } else {
                    NONE
                };
                Ok(SessionFetched {
                    session_id,
                    partitions: fetched,
                })
            }
            Turn::Continue { session_id, epoch } => {
                let session = self
                    .sessions
                    .get_mut(&session_id)
                    .ok_or(FetchSessionError::Unknown)?;
                if session.epoch != epoch {
                    return Err(FetchSessionError::WrongEpoch {
                        asked: epoch,
                        expected: session.epoch,
                    });
                }
                session.used = now;
                let mut partitions = fetched;
                partitions.retain(|one| session.tell(one));
                Ok(SessionFetched {
                    session_id,
                    partitions,
                })
            }
        }
    }

    /// Begins a session, if there is room for it.
    fn keep(
        &mut self,
        now: Mono,
        naming: Naming,
        id: i32,
        asked: Vec<FetchPartition>,
        fetched: &[FetchedPartition],
    ) -> bool {
        let is_free = id != NONE && !self.sessions.contains_key(&id);
        let is_small = (1..=self.session_partitions_max).contains(&asked.len());
        if !is_free
            || !is_small
            || !asked.iter().all(can_be_kept)
            || !self.has_room(now, 1, asked.len())
        {
            return false;
        }
        let mut session = Session::new(now, naming);
        asked.into_iter().for_each(|asked| session.put(asked));
        for one in fetched {
            session.tell(one);
        }
        self.partitions_count += session.order.len();
        self.sessions.insert(id, session);
        true
    }

    /// Whether so much more fits; sessions that are idle for long give way.
    fn has_room(&mut self, now: Mono, sessions: usize, partitions: usize) -> bool {
        let fits = |all: &Self| {
            all.sessions.len() + sessions <= all.sessions_max
                && all.partitions_count + partitions <= all.partitions_max
        };
        if !fits(self) {
            self.sessions
                .retain(|_, session| now.since(session.used) <= IDLE_MAX);
            let left = self.sessions.values();
            self.partitions_count = left.map(|session| session.order.len()).sum();
        }
        fits(self)
    }

    fn close(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions_count -= session.order.len();
        }
    }
}

/// One reader's session.
#[derive(Debug)]
struct Session {
    naming: Naming,
    /// The step that comes next.
    epoch: i32,
    used: Mono,
    /// The partitions in the order in which they are served, by growing numbers.
    order: BTreeMap<u64, Kept>,
    next_place: u64,
    places: HashMap<TopicRef, BTreeMap<i32, u64>>,
}

/// One partition of a session.
#[derive(Debug)]
struct Kept {
    asked: FetchPartition,
    /// High watermark and log start as the reader knows them; none after an error.
    told: Option<(Offset, Offset)>,
}

impl Session {
    fn new(now: Mono, naming: Naming) -> Self {
        Self {
            naming,
            epoch: FIRST,
            used: now,
            order: BTreeMap::new(),
            next_place: 0,
            places: HashMap::new(),
        }
    }

    fn check(&self, step: &SessionStep) -> Result<(), FetchSessionError> {
        if step.epoch != self.epoch {
            return Err(FetchSessionError::WrongEpoch {
                asked: step.epoch,
                expected: self.epoch,
            });
        }
        if step.naming != self.naming {
            return Err(FetchSessionError::OtherNaming);
        }
        Ok(())
    }

    fn partitions(&self) -> Vec<FetchPartition> {
        self.order.values().map(|kept| kept.asked.clone()).collect()
    }

    /// Adds a partition at the end, or changes what is asked of one in its place.
    fn put(&mut self, asked: FetchPartition) {
        match self.place(&asked.topic, asked.partition) {
            Some(place) => {
                if let Some(kept) = self.order.get_mut(&place) {
                    kept.asked = asked;
                }
            }
            None => self.append(Kept { asked, told: None }),
        }
    }

    fn forget(&mut self, topic: &TopicRef, partition: i32) {
        let Some(places) = self.places.get_mut(topic) else {
            return;
        };
        if let Some(place) = places.remove(&partition) {
            self.order.remove(&place);
        }
        if places.is_empty() {
            self.places.remove(topic);
        }
    }

    /// Whether the reader must be told of this. Partitions with records go to the end, so that
    /// the others have their turn.
    fn tell(&mut self, fetched: &FetchedPartition) -> bool {
        let place = self.place(&fetched.topic, fetched.partition);
        let Some(place) = place else { return true };
        let Some(kept) = self.order.get_mut(&place) else {
            return true;
        };
        let Ok(found) = &fetched.result else {
            // Once the error is over, the reader is told so.
            kept.told = None;
            return true;
        };
        let marks = Some((found.high_watermark, found.log_start_offset));
        let is_news = kept.told != marks;
        kept.told = marks;
        let has_records = !found.records.is_empty();
        if has_records && let Some(kept) = self.order.remove(&place) {
            self.append(kept);
        }
        is_news || has_records || found.diverging.is_some()
    }

    fn append(&mut self, kept: Kept) {
        let place = self.next_place;
        self.next_place += 1;
        let places = self.places.entry(kept.asked.topic.clone()).or_default();
        places.insert(kept.asked.partition, place);
        self.order.insert(place, kept);
    }

    fn place(&self, topic: &TopicRef, partition: i32) -> Option<u64> {
        self.places.get(topic)?.get(&partition).copied()
    }
}

/// A name that no topic can have is not kept: it may be long.
fn can_be_kept(asked: &FetchPartition) -> bool {
    match &asked.topic {
        TopicRef::Name(name) => name.len() <= NAME_BYTES_MAX,
        TopicRef::Id(_) => true,
    }
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { FIRST } else { epoch + 1 }
}

/// No session.
pub(super) const NONE: i32 = 0;
/// The epoch that begins a session.
const INITIAL: i32 = 0;
/// The epoch that ends one.
const FINAL: i32 = -1;
/// The epoch of a session's second step.
const FIRST: i32 = 1;
/// A session that was not used for longer gives way to new ones, as in Kafka.
const IDLE_MAX: Duration = Duration::from_secs(120);
const NAME_BYTES_MAX: usize = 249;

#[cfg(test)]
mod tests;
