//! Records of a partition that are called together.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - They are finished together, or none of them is: then no attempt counts, and each is called by
//!   itself from then on.
//! - Of each queue they are the first, in their order.

use super::lane::State;
use super::{Effect, Id, Machine};
use crate::handler::Undone;

impl Machine {
    pub(super) fn called_together(
        &mut self,
        ids: &[Id],
        result: Result<(), Undone>,
        effects: &mut Vec<Effect>,
    ) {
        self.under_way -= 1;
        let Some(first) = ids.first().filter(|id| self.is_current(id)) else {
            return;
        };
        for id in ids {
            match result {
                Ok(()) => self.finish_together(id, effects),
                Err(Undone) => self.set_apart(id),
            }
        }
        // Only now: a partition that leaves is let go when nothing of it is under way.
        if let Some(lane) = self.lane(first) {
            lane.under_way -= 1;
        }
        self.release(&first.place, effects);
    }

    fn finish_together(&mut self, id: &Id, effects: &mut Vec<Effect>) {
        if let Some(lane) = self.lane(id) {
            let who = (id.place.clone(), lane.queue(id.offset));
            // No probe is called together with others.
            self.outage.succeeded(who, false);
            self.finish(id.clone(), effects);
        }
    }

    fn set_apart(&mut self, id: &Id) {
        let Some(lane) = self.lane(id) else {
            return;
        };
        lane.set_apart(id.offset);
        lane.set(id.offset, State::Waiting);
        if lane.is_head(id.offset) {
            self.make_ready(id.place.clone(), id.offset);
        }
    }
}

/// A record, and others of its partition.
pub(super) fn with(id: Id, others: Vec<i64>) -> Vec<Id> {
    let mut ids = vec![id];
    for offset in others {
        ids.push(Id {
            offset,
            ..ids[0].clone()
        });
    }
    ids
}
