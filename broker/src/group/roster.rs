//! Who is in a group: members by id, static members by instance, ids that were given out.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Every instance id belongs to exactly one member, which has it.
//! - The leader, if there is one, is a member.
//! - An id is pending or a member, never both.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_proto::clock::Mono;

use crate::error::GroupError;
use crate::group::member::Member;

/// The members of a group, and those that are about to join.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<String, Member>,
    instances: BTreeMap<String, String>,
    /// Ids that were given out, and until when they may be used.
    pub(super) pending: BTreeMap<String, Mono>,
    leader: Option<String>,
    numbers: u64,
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    /// All members, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members
            .iter()
            .map(|(id, member)| (id.as_str(), member))
    }

    /// All members, by id.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Member)> {
        let members = self.members.iter_mut();
        members.map(|(id, member)| (id.as_str(), member))
    }

    /// All members as they came.
    pub(super) fn in_order(&self) -> Vec<&Member> {
        let mut members: Vec<_> = self.members.values().collect();
        members.sort_unstable_by_key(|member| member.number);
        members
    }

    pub(super) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// The member that has an instance id.
    pub(super) fn of_instance(&self, instance: &str) -> Option<&str> {
        self.instances.get(instance).map(String::as_str)
    }

    /// Whether the member is who it says it is.
    pub(super) fn check(&self, id: &str, instance: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            let holder = self.of_instance(instance);
            if holder.ok_or(GroupError::UnknownMember)? != id {
                return Err(GroupError::FencedInstance);
            }
        }
        if self.contains(id) {
            return Ok(());
        }
        Err(GroupError::UnknownMember)
    }

    /// The number of the next member.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn insert(&mut self, id: String, member: Member) {
        self.pending.remove(&id);
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.members.insert(id, member);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = None;
        }
        Some(member)
    }

    /// A static member goes on under another id; a leader stays the leader.
    pub(super) fn rename(&mut self, old: &str, id: String, member: Member) {
        let led = self.is_leader(old);
        self.remove(old);
        if led {
            self.leader = Some(id.clone());
        }
        self.insert(id, member);
    }

    pub(super) fn set_leader(&mut self, leader: Option<String>) {
        self.leader = leader;
    }

    /// The leader stays if it has joined; else the first that has takes over. False if nobody
    /// has joined.
    pub(super) fn elect_leader(&mut self) -> bool {
        let joined = |member: &Member| member.join.is_some();
        if self
            .leader()
            .and_then(|id| self.get(id))
            .is_some_and(joined)
        {
            return true;
        }
        let there = self.members.iter().filter(|(_, member)| joined(member));
        let first = there.min_by_key(|(_, member)| member.number);
        let first = first.map(|(id, _)| id.clone());
        if first.is_some() {
            self.leader = first;
            return true;
        }
        false
    }

    /// Every member has joined, and nobody is on the way.
    pub(super) fn has_all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.join.is_some())
    }

    /// Members that did not rejoin; static ones stay until their session ends.
    pub(super) fn missing(&self) -> Vec<String> {
        self.ids(|member| member.join.is_none() && member.instance_id.is_none())
    }

    /// The ids of the members of which something is true.
    pub(super) fn ids(&self, of: impl Fn(&Member) -> bool) -> Vec<String> {
        let members = self.members.iter().filter(|(_, member)| of(member));
        members.map(|(id, _)| id.clone()).collect()
    }

    /// How long the slowest member may take in a rebalance, in milliseconds.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        let timeouts = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0)
    }

    /// When the first member or pending id is given up.
    pub(super) fn expires_at(&self) -> Mono {
        let members = self.members.values().map(Member::expires_at);
        members
            .chain(self.pending.values().copied())
            .min()
            .unwrap_or(Mono::NEVER)
    }

    /// Everyone is given up so much later.
    pub(super) fn put_off(&mut self, by: Duration) {
        let members = self.members.values_mut();
        members.for_each(|member| member.put_off(by));
        let pending = self.pending.values_mut();
        pending.for_each(|until| *until = until.plus(by));
    }
}
