//! Whether a dependency of all records is down: told by handlers, or seen from many failures.
//!
//! Floor 6 of client. Pure: time comes as an argument.
//!
//! Invariants
//! - It sets in by itself when the newest outcomes of [`STREAK`] keys in a row are failures, or
//!   half of those of the last [`WINDOW`] keys. A key counts once, with its newest outcome: one
//!   poisoned key is no outage.
//! - While it lasts, one record probes at a time, and only a probe that succeeds ends it.

use std::collections::VecDeque;
use std::time::Duration;

use highwater_proto::clock::Mono;

use super::lane::Queue;
use super::{Id, Place};
use crate::retry::backoff::Backoff;

#[derive(Debug, Default)]
pub(super) struct Outage {
    /// The newest outcome of the last keys; with the record if it was a failure.
    recent: VecDeque<((Place, Queue), Option<Id>)>,
    on: Option<On>,
}

#[derive(Debug)]
struct On {
    failures: u32,
    probes_at: Mono,
    probe: Option<Id>,
}

impl Outage {
    pub(super) const fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// When the next probe may be called.
    pub(super) fn probes_at(&self) -> Mono {
        match &self.on {
            Some(on) if on.probe.is_none() => on.probes_at,
            _ => Mono::NEVER,
        }
    }

    /// Whether a call may begin now.
    pub(super) fn lets_through(&self, now: Mono) -> bool {
        match &self.on {
            Some(on) => on.probe.is_none() && on.probes_at <= now,
            None => true,
        }
    }

    /// A call begins; in an outage it is the probe.
    pub(super) fn begins(&mut self, id: &Id) {
        if let Some(on) = &mut self.on {
            on.probe = Some(id.clone());
        }
    }

    /// A call has ended; gives whether it was the probe.
    pub(super) fn probe_ended(&mut self, id: &Id) -> bool {
        let Some(on) = self.on.as_mut().filter(|on| on.probe.as_ref() == Some(id)) else {
            return false;
        };
        on.probe = None;
        true
    }

    /// Takes note of a success; gives whether it ends the outage.
    pub(super) fn succeeded(&mut self, who: (Place, Queue), was_probe: bool) -> bool {
        match self.is_on() {
            true if was_probe => {
                self.on = None;
                true
            }
            true => false,
            false => {
                self.note(who, None);
                false
            }
        }
    }

    /// A call failed while it lasts.
    pub(super) fn goes_on(&mut self, now: Mono, was_probe: bool) {
        if let Some(on) = self.on.as_mut().filter(|_| was_probe) {
            on.failures = on.failures.saturating_add(1);
            on.probes_at = now.plus(PROBES.pause(on.failures));
        }
    }

    /// Takes note of a failure. If it begins an outage: the other records whose failures led to it.
    pub(super) fn failed(
        &mut self,
        now: Mono,
        who: (Place, Queue),
        id: &Id,
        is_systemic: bool,
    ) -> Option<Vec<Id>> {
        self.note(who, Some(id.clone()));
        if !is_systemic && !self.looks_down() {
            return None;
        }
        self.on = Some(On {
            failures: 1,
            probes_at: now.plus(PROBES.pause(1)),
            probe: None,
        });
        let recent = self.recent.drain(..);
        Some(
            recent
                .filter_map(|(_, failed)| failed)
                .filter(|it| it != id)
                .collect(),
        )
    }

    fn note(&mut self, who: (Place, Queue), failed: Option<Id>) {
        self.recent.retain(|(it, _)| *it != who);
        self.recent.push_back((who, failed));
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
    }

    fn looks_down(&self) -> bool {
        let has_failed = |(_, failed): &&((Place, Queue), Option<Id>)| failed.is_some();
        let streak = self.recent.iter().rev().take_while(has_failed).count();
        let failures = self.recent.iter().filter(has_failed).count();
        streak >= STREAK || (self.recent.len() == WINDOW && 2 * failures >= WINDOW)
    }
}

/// So many keys in a row.
const STREAK: usize = 5;

/// Of so many keys the half.
const WINDOW: usize = 20;

/// The pauses before probes.
const PROBES: Backoff = Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(30));
