//! One step of one group: when it happens, by which settings, and what it wants to happen.
//!
//! Floor 2 of broker.

use std::time::Duration;

use highwater_proto::clock::{Mono, Now};
use highwater_proto::group_log::{GroupRecord, GroupValue};

use crate::error::GroupError;
use crate::group::call::{Effects, Joined, Reply, Synced, Ticket};
use crate::group::config::GroupConfig;

/// What a group needs to decide, and where its decisions go.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) now: Now,
    pub(super) config: &'a GroupConfig,
    /// The group's id.
    pub(super) group: &'a str,
    pub(super) effects: &'a mut Effects,
}

impl Step<'_> {
    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.effects.replies.push((ticket, reply));
    }

    pub(super) fn joined(&mut self, ticket: Ticket, outcome: Result<Joined, GroupError>) {
        self.reply(ticket, Reply::Join(outcome));
    }

    pub(super) fn synced(&mut self, ticket: Ticket, outcome: Result<Synced, GroupError>) {
        self.reply(ticket, Reply::Sync(outcome));
    }

    /// The record of a generation of this group.
    pub(super) fn record(&self, value: GroupValue) -> GroupRecord {
        GroupRecord::Group {
            group: self.group.to_owned(),
            value: Some(value),
        }
    }

    /// The moment so many milliseconds from now.
    pub(super) fn after_ms(&self, ms: u64) -> Mono {
        self.now.mono.plus(Duration::from_millis(ms))
    }
}

/// A timeout from the wire; below 0 it is over at once.
pub(super) fn timeout_ms(ms: i32) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
