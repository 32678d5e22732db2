//! Which group has something to do, and when: the index over all groups.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - A group stands in the index at most once, at the moment that it remembers.
//! - That moment may be too early, since neither a heartbeat nor a stall moves it; it is never too
//!   late.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_proto::clock::Mono;

use crate::group::state::Group;

/// Groups by the moment of their next timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Mono, Arc<str>)>,
}

impl Timers {
    /// The next moment at which a group has something to do.
    pub(super) fn first(&self) -> Mono {
        self.due.first().map_or(Mono::NEVER, |(at, _)| *at)
    }

    /// A group has something to do earlier than the index knows, perhaps.
    pub(super) fn advance(&mut self, group: &mut Group) {
        let due = group.due();
        if due < group.indexed_at {
            self.forget(group);
            self.due.insert((due, Arc::clone(&group.name)));
            group.indexed_at = due;
        }
    }

    /// Nothing is to be done for a group.
    pub(super) fn forget(&mut self, group: &mut Group) {
        if group.indexed_at != Mono::NEVER {
            self.due
                .remove(&(group.indexed_at, Arc::clone(&group.name)));
            group.indexed_at = Mono::NEVER;
        }
    }

    /// Takes out the groups whose moment has come.
    pub(super) fn take(&mut self, now: Mono) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        while self.first() <= now {
            let Some((_, group)) = self.due.pop_first() else {
                break;
            };
            due.push(group);
        }
        due
    }
}
