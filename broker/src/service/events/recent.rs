//! The ids of events that were appended a while ago at most, where only they can tell a repeat.
//!
//! Floor 4 of broker. Pure but for its lock: time is an argument.
//!
//! An append that expects `NoStream` or a revision names the place where its events would be, and
//! the log is asked (`repeat`). One that expects anything else names none; so where its events
//! went is remembered here, as long as there is room. It is a weak promise: an id that is
//! forgotten, by time, by count or by a restart, is that of a new event.
//!
//! Invariants
//! - What is under way is waited for, what failed was never here, and what is durable only says
//!   where in the log to look.
//! - At most [`IDS_MAX`] ids are remembered, in two generations; each for [`KEPT`] at least,
//!   unless so many came after it.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_log::keys::KeySeed;
use highwater_log::types::LogId;
use highwater_proto::clock::Mono;
use tokio::sync::watch;

use super::repeat::{Claim, ID_HEADER};
use super::{AppendCall, NewEvent};

/// What a broker remembers.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Those whose append has no outcome yet; its end is the end of the sender.
    under_way: HashMap<EventHash, watch::Receiver<()>>,
    /// The revisions of those that are durable.
    young: HashMap<EventHash, u64>,
    old: HashMap<EventHash, u64>,
    /// When the young ones were none.
    since: Mono,
}

/// An event of a log, by its key and by who says which one it is; keyed with the log's secret, so
/// that nobody can choose two that are alike. In bytes, so that an entry has no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EventHash([u8; 16]);

/// What is known of the events of an append.
pub(super) enum Seen {
    /// Nothing: they are under way from now on.
    Never(UnderWay),
    /// One of them is under way already; this ends when it is not any more.
    UnderWay(watch::Receiver<()>),
    /// One of them was appended, there.
    Before(Claim),
}

impl Recent {
    /// Looks for any of the events.
    pub(super) fn look(self: &Arc<Self>, events: &[EventHash], now: Mono) -> Seen {
        let mut state = self.state();
        state.turn(now, 0);
        for (index, event) in events.iter().enumerate() {
            if let Some(under_way) = state.under_way.get(event) {
                return Seen::UnderWay(under_way.clone());
            }
            let revision = state.young.get(event).or_else(|| state.old.get(event));
            if let Some(&revision) = revision {
                return Seen::Before(Claim { index, revision });
            }
        }
        let (over, ended) = watch::channel(());
        for event in events {
            state.under_way.insert(*event, ended.clone());
        }
        Seen::Never(UnderWay {
            recent: Arc::clone(self),
            events: events.to_vec(),
            _over: over,
        })
    }

    /// Forgets an event that turned out not to be in the log.
    pub(super) fn forget(&self, event: EventHash) {
        let mut state = self.state();
        state.young.remove(&event);
        state.old.remove(&event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic leaves half-way is a hint that is missing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go of what is too old, or too much once so many more are there.
    fn turn(&mut self, now: Mono, more: usize) {
        let age = now.since(self.since);
        if age < KEPT && self.young.len() + more <= IDS_MAX / 2 {
            return;
        }
        self.old = mem::take(&mut self.young);
        if age >= 2 * KEPT {
            self.old = HashMap::new();
        }
        // However late it is seen that it is time.
        let is_due = (KEPT..2 * KEPT).contains(&age);
        self.since = if is_due { self.since.plus(KEPT) } else { now };
    }
}

/// Events of an append that has no outcome yet. Dropped without one, it was never here.
pub(super) struct UnderWay {
    recent: Arc<Recent>,
    events: Vec<EventHash>,
    /// Who waits is woken once it is gone.
    _over: watch::Sender<()>,
}

impl UnderWay {
    /// The events are durable: these are their revisions.
    pub(super) fn stored(self, revisions: &[u64], now: Mono) {
        let mut state = self.recent.state();
        state.turn(now, self.events.len());
        // Of events that one append has twice, the first one says where it began.
        for (event, revision) in self.events.iter().zip(revisions).rev() {
            state.young.insert(*event, *revision);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.recent.state();
        for event in &self.events {
            state.under_way.remove(event);
        }
    }
}

/// The events of a call, if they are to be remembered: all have ids, and they are not too many.
pub(super) fn hashes(call: &AppendCall, log: LogId, seed: KeySeed) -> Option<Vec<EventHash>> {
    if call.events.len() > APPEND_IDS_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    let hash = |event: &NewEvent| {
        let id = event.header(ID_HEADER)?;
        bytes.clear();
        bytes.extend_from_slice(&log.topic);
        bytes.extend_from_slice(&log.partition.to_be_bytes());
        // An id says which event of its source it is.
        for part in [Some(&event.key), event.header(SOURCE_HEADER), Some(id)] {
            let size = part.map_or(u64::MAX, |part| part.len() as u64);
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(part.map_or(&[], |part| part));
        }
        Some(EventHash(seed.hash(&bytes).0.to_be_bytes()))
    };
    call.events.iter().map(hash).collect()
}

/// Whose id it is, in CloudEvents.
const SOURCE_HEADER: &str = "ce_source";
/// How long an id is remembered at least, and half of how long at most.
const KEPT: Duration = Duration::from_secs(600);
/// Ids at most: two tables of 2^19 places that are seven eighths full, 25 bytes each, 25 MiB in
/// all.
const IDS_MAX: usize = (1 << 20) / 8 * 7;
/// Events of one append whose ids are remembered.
const APPEND_IDS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> EventHash {
        EventHash(u128::from(n).to_be_bytes())
    }

    fn at(duration: Duration) -> Mono {
        Mono(0).plus(duration)
    }

    fn never(recent: &Arc<Recent>, events: &[EventHash], now: Mono) -> UnderWay {
        match recent.look(events, now) {
            Seen::Never(under_way) => under_way,
            Seen::UnderWay(_) => panic!("it is under way"),
            Seen::Before(claim) => panic!("it was there before: {claim:?}"),
        }
    }

    fn before(recent: &Arc<Recent>, events: &[EventHash], now: Mono) -> Option<(usize, u64)> {
        match recent.look(events, now) {
            Seen::Before(claim) => Some((claim.index, claim.revision)),
            Seen::Never(_) | Seen::UnderWay(_) => None,
        }
    }

    #[test]
    fn what_is_durable_is_remembered_with_its_revision() {
        let recent = Arc::new(Recent::default());
        let (a, b) = (event(1), event(2));
        never(&recent, &[a, b, a], Mono(0)).stored(&[4, 0, 5], Mono(0));
        assert_eq!(before(&recent, &[a], Mono(0)), Some((0, 4)));
        assert_eq!(before(&recent, &[event(3), b], Mono(0)), Some((1, 0)));
        recent.forget(a);
        assert_eq!(before(&recent, &[a], Mono(0)), None);
        assert!(recent.state().under_way.is_empty());
    }

    #[test]
    fn what_failed_was_never_here() {
        let recent = Arc::new(Recent::default());
        drop(never(&recent, &[event(1)], Mono(0)));
        assert!(recent.state().under_way.is_empty());
        drop(never(&recent, &[event(1)], Mono(0)));
    }

    #[tokio::test]
    async fn who_repeats_what_is_under_way_waits_for_its_outcome() {
        let recent = Arc::new(Recent::default());
        let first = never(&recent, &[event(1), event(2)], Mono(0));
        let Seen::UnderWay(mut outcome) = recent.look(&[event(3), event(2)], Mono(0)) else {
            panic!("it is under way")
        };
        assert!(matches!(outcome.has_changed(), Ok(false)));
        // The other event of this look is not under way by it.
        drop(never(&recent, &[event(3)], Mono(0)));
        first.stored(&[7, 8], Mono(0));
        assert!(outcome.changed().await.is_err());
        assert_eq!(
            before(&recent, &[event(3), event(2)], Mono(0)),
            Some((1, 8))
        );
    }

    #[test]
    fn an_id_is_kept_for_ten_minutes_and_for_no_more_than_twice_that() {
        let tenth = KEPT / 10;
        for (start, step) in (0..25).flat_map(|start| (1..40).map(move |step| (start, step))) {
            let recent = Arc::new(Recent::default());
            let stored_at = at(tenth * start);
            never(&recent, &[event(1)], stored_at).stored(&[0], stored_at);
            for passed in (0..40).step_by(step) {
                let is_there = before(&recent, &[event(1)], at(tenth * (start + passed)));
                match passed {
                    ..10 => assert!(is_there.is_some(), "{start} {step} {passed}"),
                    20.. => assert!(is_there.is_none(), "{start} {step} {passed}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn the_memory_is_bounded_by_count() {
        let recent = Arc::new(Recent::default());
        let half = IDS_MAX as u64 / 2;
        for first in (0..3 * half).step_by(1 << 10) {
            let events: Vec<_> = (first..first + (1 << 10)).map(event).collect();
            never(&recent, &events, Mono(0)).stored(&vec![0; 1 << 10], Mono(0));
        }
        let state = recent.state();
        assert!(state.young.len() + state.old.len() <= IDS_MAX);
        // Tables of this capacity have 2^19 places.
        assert_eq!(
            state.young.capacity().max(state.old.capacity()),
            IDS_MAX / 2
        );
        assert_eq!(size_of::<(EventHash, u64)>(), 24);
        drop(state);
        let last = event(3 * half - 1);
        assert!(before(&recent, &[last], Mono(0)).is_some());
        assert!(before(&recent, &[event(2 * half)], Mono(0)).is_some());
        assert!(before(&recent, &[event(0)], Mono(0)).is_none());
    }
}
