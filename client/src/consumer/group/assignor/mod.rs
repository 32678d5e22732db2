//! Dealing out the partitions of a generation, as its leader does.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - Every partition of a topic that some member wants is given to exactly one member that wants
//!   it, or under `cooperative-sticky` to nobody while another one may work on it; a member gets
//!   nothing that it does not want.
//! - `range` and `roundrobin`: all of Kafka's clients come to the same result from the same members
//!   and counts.

mod range;
mod round_robin;
pub(super) mod sticky;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Debug;

use crate::config::AssignmentStrategy;

/// How many partitions each topic has; 0 for a topic that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(pub(super) BTreeMap<String, i32>);

/// What each member gets, in the order of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignments(pub(super) Vec<BTreeMap<String, Vec<i32>>>);

impl Assignments {
    /// Nothing for so many members.
    fn empty(members_count: usize) -> Self {
        Self(vec![BTreeMap::new(); members_count])
    }

    /// Gives a partition to the member at a place.
    fn give(&mut self, place: usize, topic: &str, partition: i32) {
        if let Some(topics) = self.0.get_mut(place) {
            topics.entry(topic.to_owned()).or_default().push(partition);
        }
    }
}

/// A member that wants topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanting {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) topics: BTreeSet<String>,
    /// What it has, or had before it gave it back.
    pub(super) owned: Vec<(String, Vec<i32>)>,
    /// Since which generation; -1 if that is not known.
    pub(super) generation: i32,
}

/// A way to deal out partitions.
pub(super) trait Assignor: Debug + Sync {
    /// Deals out all partitions of what the members want.
    fn assign(&self, members: &[Wanting], counts: &Counts) -> Assignments;
}

/// The assignor behind a strategy.
pub(super) fn of(strategy: AssignmentStrategy) -> &'static dyn Assignor {
    match strategy {
        AssignmentStrategy::Range => &range::Range,
        AssignmentStrategy::RoundRobin => &round_robin::RoundRobin,
        AssignmentStrategy::Sticky => &sticky::Sticky,
        AssignmentStrategy::CooperativeSticky => &sticky::CooperativeSticky,
    }
}

/// Whether a member with these strategies keeps its partitions through a rebalance: as in Kafka,
/// if all of them can do that. So a group changes over in two rolling steps: first each member gets
/// `cooperative-sticky` beside its old strategy, then loses the old one.
pub(super) fn is_cooperative(strategies: &[AssignmentStrategy]) -> bool {
    let mut strategies = strategies.iter();
    strategies.all(|it| *it == AssignmentStrategy::CooperativeSticky)
}

/// The places of the members in the order in which they are dealt to: static members first, by
/// their instance ids, then the others by their ids.
fn in_order(members: &[Wanting]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|a, b| match (members.get(*a), members.get(*b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    order
}

fn compare(a: &Wanting, b: &Wanting) -> Ordering {
    match (&a.instance_id, &b.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.member_id.cmp(&b.member_id),
    }
}
