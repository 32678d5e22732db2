//! The sequence window of each idempotent producer of one log.
//!
//! Floor 2 of log-core. Pure.
//!
//! A producer numbers its records; the log stores a batch only if its first number follows the
//! last one, and answers a batch that it stored already with the offsets that it has.
//!
//! Invariants
//! - Applying the headers of a log in order gives the same windows as appending its batches did.
//! - A snapshot is taken only of batches that are synced, so that no snapshot knows a batch which
//!   a power cut can take.
//! - Idle producers are forgotten by the monotonic clock; a wall clock that jumps forgets none.

mod moved;
mod snapshot;

use std::collections::HashMap;

use highwater_proto::batch::{BatchHeader, sequence_add};

use crate::error::ProducerError;
use crate::types::Offset;

pub(crate) use self::moved::Moved;

/// Batches of a producer that are remembered: clients keep at most 5 in flight.
pub const WINDOW_BATCHES: usize = 5;

/// The windows of all producers of one log.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    states: HashMap<i64, ProducerState>,
}

/// What is known about one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProducerState {
    epoch: i16,
    /// Milliseconds of the log's monotonic clock; below 0 for what lies before the start.
    last_seen_ms: i64,
    /// The last batches, oldest first; the first `count` are set.
    window: [SeenBatch; WINDOW_BATCHES],
    count: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SeenBatch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: Offset,
}

/// What a batch is to its producer's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It continues the window, or its producer is unknown.
    New,
    /// It is stored already, at this offset.
    Duplicate {
        /// Its base offset in the log.
        base_offset: Offset,
    },
}

/// What a producer's state was before an append that may fail.
#[derive(Clone, Copy, Debug)]
pub struct Undo {
    producer_id: i64,
    state: Option<ProducerState>,
}

impl Producers {
    /// How many producers are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether no producer is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// What a batch is to its producer's window; nothing is changed.
    ///
    /// An older epoch is fenced. A newer one begins at sequence 0. Within an epoch a batch whose
    /// first and last sequence are those of a remembered one is a duplicate, and any other must
    /// follow the last. A producer that is not known may begin anywhere: retention may have
    /// deleted its batches.
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, ProducerError> {
        let BatchHeader {
            producer_id,
            producer_epoch: epoch,
            base_sequence,
            ..
        } = *header;
        let Some(state) = self
            .states
            .get(&producer_id)
            .filter(|_| header.is_idempotent())
        else {
            return Ok(Verdict::New);
        };
        if epoch < state.epoch {
            let current = state.epoch;
            return Err(ProducerError::Fenced {
                producer_id,
                epoch,
                current,
            });
        }
        let out_of_order = |expected| ProducerError::OutOfOrder {
            producer_id,
            sequence: base_sequence,
            expected,
        };
        if epoch > state.epoch {
            return if base_sequence == 0 {
                Ok(Verdict::New)
            } else {
                Err(out_of_order(0))
            };
        }
        let duplicate = state.seen().iter().find(|seen| {
            seen.first_sequence == base_sequence && seen.last_sequence == header.last_sequence()
        });
        if let Some(seen) = duplicate {
            return Ok(Verdict::Duplicate {
                base_offset: seen.base_offset,
            });
        }
        let expected = state
            .seen()
            .last()
            .map_or(0, |last| sequence_add(last.last_sequence, 1));
        if base_sequence == expected {
            Ok(Verdict::New)
        } else {
            Err(out_of_order(expected))
        }
    }

    /// Notes a batch of the log; batches without a producer id change nothing. Answers what undoes
    /// the note.
    pub fn apply(&mut self, header: &BatchHeader, now_ms: i64) -> Option<Undo> {
        if !header.is_idempotent() || header.base_sequence < 0 {
            return None;
        }
        if self.states.len() >= PRODUCERS_MAX && !self.states.contains_key(&header.producer_id) {
            self.forget_longest_idle();
        }
        let before = self.states.get(&header.producer_id).copied();
        let fresh = ProducerState {
            epoch: header.producer_epoch,
            last_seen_ms: now_ms,
            window: [SeenBatch::default(); WINDOW_BATCHES],
            count: 0,
        };
        let mut state = before
            .filter(|s| s.epoch == header.producer_epoch)
            .unwrap_or(fresh);
        state.last_seen_ms = now_ms;
        state.push(SeenBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: Offset(header.base_offset),
        });
        self.states.insert(header.producer_id, state);
        Some(Undo {
            producer_id: header.producer_id,
            state: before,
        })
    }

    /// Takes notes back, the last one first.
    pub fn undo(&mut self, undo: Undo) {
        match undo.state {
            Some(state) => self.states.insert(undo.producer_id, state),
            None => self.states.remove(&undo.producer_id),
        };
    }

    /// Forgets producers that were idle for longer than `expiration_ms`.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.states
            .retain(|_, state| now_ms.saturating_sub(state.last_seen_ms) <= expiration_ms);
    }

    /// Makes room by forgetting the sixteenth of the producers that was idle for longest.
    fn forget_longest_idle(&mut self) {
        let mut seen: Vec<i64> = self
            .states
            .values()
            .map(|state| state.last_seen_ms)
            .collect();
        let rank = seen.len() / 16;
        let (_, oldest_kept, _) = seen.select_nth_unstable(rank);
        let limit = *oldest_kept;
        let mut surplus = rank.max(1);
        self.states.retain(|_, state| {
            let goes = state.last_seen_ms <= limit && surplus > 0;
            surplus -= usize::from(goes);
            !goes
        });
    }
}

/// Two histories are equal if every producer would be answered the same.
impl PartialEq for Producers {
    fn eq(&self, other: &Self) -> bool {
        self.states.len() == other.states.len()
            && self.states.iter().all(|(id, state)| {
                let same = |theirs: &ProducerState| {
                    theirs.epoch == state.epoch && theirs.seen() == state.seen()
                };
                other.states.get(id).is_some_and(same)
            })
    }
}

impl ProducerState {
    fn seen(&self) -> &[SeenBatch] {
        &self.window[..usize::from(self.count)]
    }

    fn push(&mut self, batch: SeenBatch) {
        if usize::from(self.count) == WINDOW_BATCHES {
            self.window.rotate_left(1);
            self.window[WINDOW_BATCHES - 1] = batch;
        } else {
            self.window[usize::from(self.count)] = batch;
            self.count += 1;
        }
    }
}

/// A log's producers take at most about 20 MB of memory.
const PRODUCERS_MAX: usize = 100_000;

#[cfg(test)]
mod tests;
