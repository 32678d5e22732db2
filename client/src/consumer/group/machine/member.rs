//! A member in its generation: when the next heartbeat and the next look at the topics are due.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - At most one heartbeat and one look are under way.

use highwater_proto::clock::Mono;

use super::{Action, Seat};
use crate::backoff::Backoff;
use crate::consumer::group::assignor::Counts;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) seat: Seat,
    pub(super) beat_at: Mono,
    pub(super) is_beating: bool,
    pub(super) backoff: Backoff,
    /// What the leader dealt out, and when it looks again.
    pub(super) leads: Option<(Counts, Mono)>,
    pub(super) is_checking: bool,
}

impl Member {
    /// When [`Self::due`] has something to do.
    pub(super) fn wake_at(&self) -> Mono {
        let beat = match self.is_beating {
            true => Mono::NEVER,
            false => self.beat_at,
        };
        match &self.leads {
            Some((_, at)) if !self.is_checking => beat.min(*at),
            _ => beat,
        }
    }

    /// What has to be done now.
    pub(super) fn due(&mut self, now: Mono) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.is_beating && self.beat_at <= now {
            self.is_beating = true;
            actions.push(Action::Beat(self.seat.clone()));
        }
        if let Some((counts, at)) = &self.leads
            && !self.is_checking
            && *at <= now
        {
            self.is_checking = true;
            actions.push(Action::Check(self.seat.generation, counts.clone()));
        }
        actions
    }
}
