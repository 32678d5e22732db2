//! The producers that have written since the last snapshot, as a recovery point notes them: they
//! spare a start after a crash the walk through everything that the snapshot does not know.
//!
//! Floor 2 of log-core. Pure.
//!
//! Invariants
//! - What is noted at an offset is what the batches below it give, to the last window, however many
//!   batches above it are written already: a power cut may take those.

use std::collections::{HashMap, VecDeque};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{ProducerState, Producers, SeenBatch, WINDOW_BATCHES};
use crate::types::Offset;

type States = HashMap<i64, ProducerState>;

/// The windows that a snapshot does not know.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// At the end of what is synced.
    synced: States,
    /// Behind it, each up to the end of a sync that was begun.
    syncing: VecDeque<(Offset, States)>,
    /// Behind the last of these.
    open: States,
}

impl Moved {
    /// The windows of `ids` in `producers`, which are those at the end of what is synced.
    pub(crate) fn of(producers: &Producers, ids: impl IntoIterator<Item = i64>) -> Self {
        let window = |id| producers.states.get(&id).map(|state| (id, *state));
        Self {
            synced: ids.into_iter().filter_map(window).collect(),
            ..Self::default()
        }
    }

    /// Notes what became of a producer whose batch was written.
    pub(crate) fn note(&mut self, producers: &Producers, producer_id: i64) {
        if let Some(state) = producers.states.get(&producer_id) {
            self.open.insert(producer_id, *state);
        }
    }

    /// A sync begins that covers everything below `end`.
    pub(crate) fn begin_sync(&mut self, end: Offset) {
        if !self.open.is_empty() {
            self.syncing
                .push_back((end, std::mem::take(&mut self.open)));
        }
    }

    /// Everything below `end` is synced, and `end` is where a sync began.
    pub(crate) fn synced(&mut self, end: Offset) {
        while self
            .syncing
            .front()
            .is_some_and(|(covered, _)| *covered <= end)
        {
            if let Some((_, states)) = self.syncing.pop_front() {
                self.synced.extend(states);
            }
        }
    }

    /// A snapshot knows everything that is noted here.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The windows at the end of what is synced; equal windows give equal bytes. When they were
    /// seen last is not among them.
    pub(crate) fn encode(&self) -> Bytes {
        let mut states: Vec<_> = self.synced.iter().collect();
        states.sort_unstable_by_key(|(id, _)| **id);
        let mut out = BytesMut::with_capacity(states.len() * STATE_BYTES);
        for (id, state) in states {
            out.put_i64(*id);
            out.put_i16(state.epoch);
            out.put_u8(state.count);
            state.put_window(&mut out);
        }
        out.freeze()
    }
}

impl Producers {
    /// Takes in what [`Moved::encode`] wrote, and says whose windows they are. A producer counts
    /// as seen now. `None`, and nothing is changed, if the bytes are malformed.
    pub(crate) fn take_moved(&mut self, mut bytes: Bytes, now_ms: i64) -> Option<Vec<i64>> {
        if !bytes.len().is_multiple_of(STATE_BYTES) {
            return None;
        }
        let mut moved = States::with_capacity(bytes.len() / STATE_BYTES);
        while bytes.has_remaining() {
            let id = bytes.try_get_i64().ok()?;
            let state = ProducerState {
                epoch: bytes.try_get_i16().ok()?,
                last_seen_ms: now_ms,
                count: bytes
                    .try_get_u8()
                    .ok()
                    .filter(|count| *count as usize <= WINDOW_BATCHES)?,
                window: SeenBatch::take_window(&mut bytes)?,
            };
            moved.insert(id, state);
        }
        let ids = moved.keys().copied().collect();
        self.states.extend(moved);
        Some(ids)
    }
}

const STATE_BYTES: usize = 11 + WINDOW_BATCHES * 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::producers::tests::header;

    /// What a crash gives back: a snapshot, and what was noted since.
    fn recovered(snapshot: &Producers, moved: &Moved) -> Producers {
        let mut producers = snapshot.clone();
        producers.take_moved(moved.encode(), 7).unwrap();
        producers
    }

    proptest! {
        /// Whenever a sync ends, a snapshot and what moved give the windows of what is synced.
        #[test]
        fn what_is_noted_is_what_the_synced_batches_give(
            steps in prop::collection::vec((0_i64..4, 0_u8..4), 1..80),
        ) {
            let (mut live, mut moved) = (Producers::default(), Moved::default());
            let mut snapshot = Producers::default();
            let mut sequences = [0_i32; 4];
            // The windows when each sync began.
            let mut begun: VecDeque<(Offset, Producers)> = VecDeque::new();
            for (end, (id, step)) in (1_i64..).zip(steps) {
                let sequence = &mut sequences[usize::try_from(id).unwrap()];
                live.apply(&header(id, 0, *sequence, 1, end - 1), 0).unwrap();
                *sequence += 1;
                moved.note(&live, id);
                match step {
                    0 => {
                        moved.begin_sync(Offset(end));
                        begun.push_back((Offset(end), live.clone()));
                    }
                    1 => {
                        if let Some((end, synced)) = begun.pop_front() {
                            moved.synced(end);
                            prop_assert_eq!(recovered(&snapshot, &moved), synced);
                        }
                    }
                    2 => {
                        snapshot = live.clone();
                        moved.clear();
                        begun.clear();
                    }
                    _ => {}
                }
            }
        }

        #[test]
        fn any_bytes_give_windows_or_nothing(
            noise in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut producers = Producers::default();
            let taken = producers.take_moved(Bytes::from(noise), 0);
            prop_assert!(taken.is_some() || producers.is_empty());
        }
    }
}
