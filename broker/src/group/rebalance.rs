//! A rebalance: all members join, a generation is complete, its leader shares out the work.
//!
//! Floor 2 of broker.
//!
//! - An empty group waits a little for more members; any other group waits for those it knows.
//! - A generation is complete when all have joined, or when the slowest has had its time.

use crate::error::GroupError;
use crate::group::state::{Group, Initial, Phase, Then};
use crate::group::step::{Step, timeout_ms};
use crate::group::vote::elected;

impl Group {
    /// Members came, went or changed: a rebalance starts, or goes on.
    pub(super) fn rebalance(&mut self, step: &mut Step<'_>) {
        match self.phase {
            Phase::Preparing { .. } => self.complete_if_all_joined(step),
            Phase::Empty => self.prepare_first(step),
            Phase::Completing { .. } | Phase::Stable { .. } => self.prepare(step),
        }
    }

    /// The first rebalance of an empty group: more members may be on their way.
    fn prepare_first(&mut self, step: &mut Step<'_>) {
        let delay_ms = step.config.initial_rebalance_delay_ms;
        let timeout_ms = timeout_ms(self.roster.rebalance_timeout_ms());
        let initial = Initial {
            delay_ms,
            remaining_ms: timeout_ms.saturating_sub(delay_ms),
            has_grown: false,
        };
        let due = step.after_ms(delay_ms);
        self.phase = Phase::Preparing {
            due,
            initial: Some(initial),
        };
        self.empty_since = None;
        if delay_ms == 0 {
            self.complete(step);
        }
    }

    fn prepare(&mut self, step: &mut Step<'_>) {
        // Those who wait for the leader's word join again, too.
        self.answer_syncs(step, Err(&GroupError::RebalanceInProgress));
        let due = step.after_ms(timeout_ms(self.roster.rebalance_timeout_ms()));
        self.phase = Phase::Preparing { due, initial: None };
        self.complete_if_all_joined(step);
    }

    fn complete_if_all_joined(&mut self, step: &mut Step<'_>) {
        let is_first = matches!(
            self.phase,
            Phase::Preparing {
                initial: Some(_),
                ..
            }
        );
        if !is_first && self.roster.has_all_joined() {
            self.complete(step);
        }
    }

    /// The time for joining or for syncing is over.
    pub(super) fn expire_phase(&mut self, step: &mut Step<'_>) {
        let now = step.now.mono;
        match &mut self.phase {
            Phase::Preparing { due, initial } if *due <= now => {
                if let Some(initial) = initial
                    && initial.has_grown
                    && initial.remaining_ms > 0
                {
                    let delay_ms = initial
                        .remaining_ms
                        .min(step.config.initial_rebalance_delay_ms);
                    initial.remaining_ms = initial.remaining_ms.saturating_sub(initial.delay_ms);
                    initial.delay_ms = delay_ms;
                    initial.has_grown = false;
                    *due = step.after_ms(delay_ms);
                } else {
                    self.complete(step);
                }
            }
            Phase::Completing { sync_by } | Phase::Stable { sync_by } if *sync_by <= now => {
                for id in self.roster.ids(|member| !member.has_synced) {
                    self.remove(step, &id);
                }
                self.prepare(step);
            }
            _ => {}
        }
    }

    /// The generation is complete with those who have joined.
    fn complete(&mut self, step: &mut Step<'_>) {
        for id in self.roster.missing() {
            self.remove(step, &id);
        }
        if self.roster.is_empty() {
            return self.complete_empty(step);
        }
        if !self.roster.elect_leader() {
            // Only static members are left, and none has joined: their sessions decide.
            let ms = timeout_ms(self.roster.rebalance_timeout_ms()).max(POSTPONE_MS_MIN);
            self.phase = Phase::Preparing {
                due: step.after_ms(ms),
                initial: None,
            };
            return;
        }
        self.generation = self.next_generation();
        self.protocol = elected(&self.roster.in_order()).map(str::to_owned);
        let sync_by = step.after_ms(timeout_ms(self.roster.rebalance_timeout_ms()));
        self.phase = Phase::Completing { sync_by };
        for id in self.roster.ids(|_| true) {
            let joined = self.to_joined(&id);
            let Some(member) = self.roster.get_mut(&id) else {
                continue;
            };
            member.begin_generation(step.now.mono);
            if let Some(ticket) = member.join.take() {
                step.joined(ticket, Ok(joined));
            }
        }
    }

    /// Nobody is left. The log hears of it, so that nobody is waited for after a restart; if it
    /// does not, the former members are given up again then.
    fn complete_empty(&mut self, step: &mut Step<'_>) {
        self.generation = self.next_generation();
        self.protocol = None;
        self.phase = Phase::Empty;
        self.empty_since = Some(step.now.wall);
        let value = self.to_value(step, |_, of| of.assignment.clone());
        self.write(step, vec![step.record(value)], Then::Nothing);
    }

    fn next_generation(&self) -> i32 {
        self.generation.checked_add(1).unwrap_or(1)
    }
}

/// A rebalance that nobody joined is looked at again after this time at least, so that a member
/// with a rebalance timeout of 0 does not keep the machine busy.
const POSTPONE_MS_MIN: u64 = 1_000;
