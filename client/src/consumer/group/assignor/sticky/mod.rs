//! `sticky` and `cooperative-sticky`: as even as can be, and of all even ways the one that moves
//! the fewest partitions.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - A partition that two members claim is that of the newer generation; of none if both claims are
//!   equally old.
//! - The results are those of Kafka's assignors without racks, up to the order of members, which
//!   Kafka takes from its hash tables and we from their ids.
//! - Cooperative: a partition that somebody else may still work on is given to nobody; who works on
//!   it sees that, gives it back and joins again.

mod alike;
mod mixed;
#[cfg(test)]
mod tests;
mod user_data;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::{Assignments, Assignor, Counts, Wanting};

pub(in crate::consumer::group) use user_data::{owned, user_data};

/// `sticky`, for members that give back all that they have before they join.
#[derive(Debug)]
pub(super) struct Sticky;

/// `cooperative-sticky`, for members that keep what they have until they hear of their new share.
#[derive(Debug)]
pub(super) struct CooperativeSticky;

impl Assignor for Sticky {
    fn assign(&self, members: &[Wanting], counts: &Counts) -> Assignments {
        Deal::new(members, counts).deal().shares(members.len())
    }
}

impl Assignor for CooperativeSticky {
    fn assign(&self, members: &[Wanting], counts: &Counts) -> Assignments {
        let mut deal = Deal::new(members, counts).deal();
        deal.withhold(members);
        deal.shares(members.len())
    }
}

/// A partition: the topic first, so that they sort by topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Partition<'a> {
    topic: &'a str,
    index: i32,
}

/// What one member wants and gets. Deals are made among shares in the order of the members' ids.
#[derive(Clone, Debug)]
struct Share<'a> {
    /// Its place among the members.
    place: usize,
    topics: BTreeSet<&'a str>,
    /// What it may keep: its claims that nobody contests, of what exists; then what it gets.
    partitions: Vec<Partition<'a>>,
}

/// Members and partitions, while they are dealt out.
#[derive(Debug)]
struct Deal<'a> {
    /// The topics that somebody wants and that exist.
    topics: BTreeMap<&'a str, i32>,
    shares: Vec<Share<'a>>,
    /// By partition: who has it by right now.
    owners: BTreeMap<Partition<'a>, usize>,
    /// By partition: whose it was in an older generation than the newest one, by share.
    before: BTreeMap<Partition<'a>, (i32, usize)>,
}

impl<'a> Deal<'a> {
    fn new(members: &'a [Wanting], counts: &'a Counts) -> Self {
        let mut order: Vec<(usize, &Wanting)> = members.iter().enumerate().collect();
        order.sort_by(|(_, a), (_, b)| a.member_id.cmp(&b.member_id));
        let wanted: BTreeSet<&str> = members
            .iter()
            .flat_map(|member| member.topics.iter().map(String::as_str))
            .collect();
        let exists = |(topic, count): (&'a String, &i32)| {
            (*count > 0 && wanted.contains(&**topic)).then_some((topic.as_str(), *count))
        };
        let mut deal = Self {
            topics: counts.0.iter().filter_map(exists).collect(),
            shares: Vec::with_capacity(members.len()),
            owners: BTreeMap::new(),
            before: BTreeMap::new(),
        };
        for (place, member) in &order {
            deal.shares.push(Share {
                place: *place,
                topics: member.topics.iter().map(String::as_str).collect(),
                partitions: Vec::new(),
            });
        }
        deal.settle_claims(&order);
        deal
    }

    /// Finds out who owns what by right.
    fn settle_claims(&mut self, order: &[(usize, &'a Wanting)]) {
        let newest = order.iter().map(|(_, member)| member.generation).max();
        let mut claims: BTreeMap<Partition<'a>, (i32, Option<usize>)> = BTreeMap::new();
        for (share, (_, member)) in order.iter().enumerate() {
            let age = member.generation;
            for partition in self.existing(member) {
                let best = claims.entry(partition).or_insert((age, Some(share)));
                *best = match (age.cmp(&best.0), best.1) {
                    (Ordering::Greater, _) => (age, Some(share)),
                    // Twice in one list is once.
                    (Ordering::Equal, owner) if owner == Some(share) => *best,
                    (Ordering::Equal, _) => (age, None),
                    (Ordering::Less, _) => *best,
                };
                if Some(age) < newest {
                    let before = self.before.entry(partition).or_insert((age, share));
                    if before.0 < age {
                        *before = (age, share);
                    }
                }
            }
        }
        for (partition, (_, owner)) in claims {
            if let Some(owner) = owner
                && let Some(share) = self.shares.get_mut(owner)
            {
                share.partitions.push(partition);
                self.owners.insert(partition, owner);
            }
        }
    }

    /// The claims of a member to partitions that there are.
    fn existing(&self, member: &'a Wanting) -> Vec<Partition<'a>> {
        let mut existing = Vec::new();
        for (topic, indexes) in &member.owned {
            let count = self.topics.get(&**topic).copied().unwrap_or(0);
            let indexes = indexes.iter().copied();
            existing.extend(
                indexes
                    .filter(|index| (0..count).contains(index))
                    .map(|index| Partition { topic, index }),
            );
        }
        existing
    }

    /// All partitions, by topic and number.
    fn partitions(&self) -> impl Iterator<Item = Partition<'a>> + '_ {
        let topic = |(topic, count): (&&'a str, &i32)| {
            let topic = *topic;
            (0..*count).map(move |index| Partition { topic, index })
        };
        self.topics.iter().flat_map(topic)
    }

    fn deal(mut self) -> Self {
        let mut wants = self.shares.iter().map(|share| &share.topics);
        let first = wants.next();
        match wants.all(|topics| Some(topics) == first) {
            true => alike::deal(&mut self),
            false => mixed::deal(&mut self),
        }
        self
    }

    /// Takes back what was given to a member while somebody else may still work on it.
    fn withhold(&mut self, members: &'a [Wanting]) {
        let mut claimed = BTreeSet::new();
        for member in members {
            claimed.extend(self.existing(member));
        }
        for (number, share) in self.shares.iter_mut().enumerate() {
            let owners = &self.owners;
            share.partitions.retain(|partition| {
                owners.get(partition) == Some(&number) || !claimed.contains(partition)
            });
        }
    }

    fn shares(self, members_count: usize) -> Assignments {
        let mut assignments = Assignments::empty(members_count);
        for share in self.shares {
            for partition in share.partitions {
                assignments.give(share.place, partition.topic, partition.index);
            }
        }
        assignments
    }
}
