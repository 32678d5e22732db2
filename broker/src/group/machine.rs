//! The machine of all groups: questions in, records and answers out.
//!
//! Floor 2 of broker. Pure: time is an argument.
//!
//! Invariants
//! - Durable facts are changed by records alone, live ones not before they are in the log, so that
//!   a machine that reads the log knows what this one knows.
//! - Every ticket is answered once: now, by a later call, or when its member is given up.
//! - A group of which nothing is known takes no room.
//!
//! ```
//! use std::sync::Arc;
//! use highwater_broker::group::{
//!     Ask, Commit, GroupConfig, GroupMachine, Member, OffsetToCommit, Reply, Ticket,
//! };
//! use highwater_proto::clock::Now;
//!
//! let mut machine = GroupMachine::new(Arc::new(GroupConfig {
//!     session_timeout_ms_min: 6_000,
//!     session_timeout_ms_max: 1_800_000,
//!     initial_rebalance_delay_ms: 0,
//!     members_max: 1_000,
//!     groups_max: 1_000,
//!     offsets_retention_ms: 604_800_000,
//! }));
//! let offset = OffsetToCommit { topic: "orders".to_owned(), offset: 42, ..Default::default() };
//! let outside = Member { generation: -1, ..Member::default() };
//! let commit = Commit { member: outside, retention_ms: None, offsets: vec![offset] };
//! let asked = machine.ask(Now::default(), "billing", Ticket(1), Ask::Commit(commit));
//! assert_eq!((asked.replies.len(), asked.appends.len()), (0, 1));
//!
//! // The records are durable.
//! let done = machine.written(Now::default(), "billing", Ok(()));
//! assert_eq!(done.replies, [(Ticket(1), Reply::Commit(Ok(())))]);
//! assert_eq!(machine.offsets("billing", None)[0].offset, 42);
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::{Mono, Now};
use highwater_proto::group_log::GroupRecord;

use crate::error::GroupError;
use crate::group::call::{
    Ask, Effects, FetchedOffset, GroupDescription, GroupListing, Reply, Ticket,
};
use crate::group::config::GroupConfig;
use crate::group::offsets::ClockWatch;
use crate::group::state::Group;
use crate::group::step::Step;
use crate::group::timers::Timers;

/// All groups of a broker.
#[derive(Debug)]
pub struct GroupMachine {
    config: Arc<GroupConfig>,
    pub(super) groups: HashMap<Arc<str>, Group>,
    timers: Timers,
    clock_watch: ClockWatch,
}

impl GroupMachine {
    /// No groups.
    #[must_use]
    pub fn new(config: Arc<GroupConfig>) -> Self {
        Self {
            config,
            groups: HashMap::new(),
            timers: Timers::default(),
            clock_watch: ClockWatch::default(),
        }
    }

    /// Applies one record of the log, at recovery.
    pub fn apply(&mut self, record: &GroupRecord) {
        let (GroupRecord::Offset { group, .. } | GroupRecord::Group { group, .. }) = record;
        let record = unpinned(record.clone());
        if let Some(state) = self.groups.get_mut(group.as_str()) {
            return state.durable.apply(record);
        }
        let mut state = Group::new(group);
        state.durable.apply(record);
        self.groups.insert(Arc::clone(&state.name), state);
    }

    /// Recovery is over: the members of all groups get fresh session timers.
    pub fn recovered(&mut self, now: Now) {
        self.groups.retain(|_, state| !state.is_forgotten());
        let (config, mut effects) = (&*self.config, Effects::default());
        for (group, state) in &mut self.groups {
            state.recover(&mut Step {
                now,
                config,
                group,
                effects: &mut effects,
            });
            self.timers.advance(state);
        }
        debug_assert!(effects.replies.is_empty() && effects.appends.is_empty());
    }

    /// One request about one group; it may be answered later, by any other call.
    pub fn ask(&mut self, now: Now, group: &str, ticket: Ticket, ask: Ask) -> Effects {
        let mut effects = Effects::default();
        if matches!(ask, Ask::Expire) && !self.is_steady(now) {
            effects.replies.push((ticket, Reply::Done(Ok(()))));
            return effects;
        }
        let mut step = Step {
            now,
            config: &self.config,
            group,
            effects: &mut effects,
        };
        if let Some(state) = self.groups.get_mut(group) {
            let is_heartbeat = matches!(ask, Ask::Heartbeat(_));
            state.ask(&mut step, ticket, ask);
            // A heartbeat moves timers away only; the index may be early.
            if !is_heartbeat {
                self.settle(group);
            }
            return effects;
        }
        let groups_max = self.config.groups_max;
        if self.groups.len() >= groups_max && makes_a_group(&ask) {
            step.reply(
                ticket,
                ask.refused(GroupError::TooManyGroups { groups_max }),
            );
            return effects;
        }
        // What does not exist refuses like what is empty; most requests leave nothing behind.
        let mut state = Group::new(group);
        state.ask(&mut step, ticket, ask);
        self.groups.insert(Arc::clone(&state.name), state);
        self.settle(group);
        effects
    }

    /// The group's append is durable, or could not be written and why.
    pub fn written(&mut self, now: Now, group: &str, result: Result<(), String>) -> Effects {
        let mut effects = Effects::default();
        if let Some(state) = self.groups.get_mut(group) {
            let config = &self.config;
            state.written(
                &mut Step {
                    now,
                    config,
                    group,
                    effects: &mut effects,
                },
                result,
            );
            self.settle(group);
        }
        effects
    }

    /// Does what is due at this time.
    pub fn wake(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        for group in self.timers.take(now.mono) {
            if let Some(state) = self.groups.get_mut(&group) {
                let (config, group) = (&*self.config, &*group);
                state.indexed_at = Mono::NEVER;
                state.run_due(&mut Step {
                    now,
                    config,
                    group,
                    effects: &mut effects,
                });
            }
            self.settle(&group);
        }
        effects
    }

    /// The broker stood still for so long, until now: nobody could be heard, so that this time
    /// counts for nobody, and all that time alone brings about comes so much later.
    pub fn stood_still(&mut self, time: Duration) {
        // The index is early from here on, which it may be.
        let groups = self.groups.values_mut();
        groups.for_each(|group| group.put_off(time));
    }

    /// When [`Self::wake`] has something to do; too early is possible, too late is not.
    #[must_use]
    pub fn wake_at(&self) -> Mono {
        self.timers.first()
    }

    /// Committed offsets of a group: of these partitions, in their order, or of all.
    #[must_use]
    pub fn offsets(&self, group: &str, of: Option<&[(String, i32)]>) -> Vec<FetchedOffset> {
        match self.groups.get(group) {
            Some(state) => state.durable.offsets.get(of),
            None => Group::new(group).durable.offsets.get(of),
        }
    }

    /// A group, as tools see it; `Dead` if there is none.
    #[must_use]
    pub fn describe(&self, group: &str) -> GroupDescription {
        match self.groups.get(group) {
            Some(state) => state.describe(group),
            None => Group::new(group).describe(group),
        }
    }

    /// Every group, by name.
    #[must_use]
    pub fn list(&self) -> Vec<GroupListing> {
        let known = self.groups.iter().filter(|(_, state)| !state.is_unknown());
        let mut listed: Vec<_> = known.map(|(group, state)| state.list(group)).collect();
        listed.sort_unstable_by(|a, b| a.group.cmp(&b.group));
        listed
    }

    /// After a step: a group of which nothing is left goes, any other is found when it is due.
    fn settle(&mut self, group: &str) {
        let Some(state) = self.groups.get_mut(group) else {
            return;
        };
        if state.is_forgotten() {
            self.timers.forget(state);
            self.groups.remove(group);
        } else {
            self.timers.advance(state);
        }
    }

    /// While the wall clock jumps nothing is old.
    fn is_steady(&mut self, now: Now) -> bool {
        let retention_ms = self.config.offsets_retention_ms;
        self.clock_watch.steady_for(now, retention_ms)
    }
}

/// Whether a request about a group that does not exist may make one.
fn makes_a_group(ask: &Ask) -> bool {
    match ask {
        Ask::Join(join) => join.member_id.is_empty(),
        Ask::Commit(commit) => commit.member.generation < 0,
        _ => false,
    }
}

/// A record that keeps no more memory alive than its own.
fn unpinned(mut record: GroupRecord) -> GroupRecord {
    if let GroupRecord::Group {
        value: Some(value), ..
    } = &mut record
    {
        for member in &mut value.members {
            member.subscription = Bytes::copy_from_slice(&member.subscription);
            member.assignment = Bytes::copy_from_slice(&member.assignment);
        }
    }
    record
}
