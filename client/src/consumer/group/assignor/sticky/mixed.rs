//! Dealing out to members that want different topics.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - Every move goes to a share that is smaller by two or more: so the shares become more alike
//!   with each, and moving ends.
//! - At the end no partition can move so.

use std::collections::{BTreeMap, BTreeSet};

use super::{Deal, Partition};

/// Gives every free partition to the smallest share that wants it, then evens the shares out.
pub(super) fn deal(deal: &mut Deal<'_>) {
    let mut balance = Balance::new(deal);
    // What the fewest can take is dealt out first, while there is a choice.
    let mut topics: Vec<&str> = deal.topics.keys().copied().collect();
    topics.sort_by_key(|topic| (balance.takers(topic), *topic));
    let counts = &deal.topics;
    let all = topics.into_iter().flat_map(|topic| {
        let count = counts.get(topic).copied().unwrap_or(0);
        (0..count).map(move |index| Partition { topic, index })
    });
    let all: Vec<Partition<'_>> = all.collect();
    let free: Vec<Partition<'_>> = all
        .iter()
        .copied()
        .filter(|it| !balance.owners.contains_key(it))
        .collect();
    for partition in &free {
        if let Some(taker) = balance.smallest_taker(partition.topic) {
            balance.give(*partition, taker);
        }
    }
    // A topic that one member alone wants stays where it is.
    let movable = |balance: &Balance<'_>, it: &Partition<'_>| balance.takers(it.topic) > 1;
    let new: Vec<_> = free
        .into_iter()
        .filter(|it| movable(&balance, it))
        .collect();
    let all: Vec<_> = all.into_iter().filter(|it| movable(&balance, it)).collect();
    if !balance.was_taken_away {
        balance.even_out(&new, &deal.before);
    }
    balance.even_out(&all, &deal.before);
    for (share, partitions) in deal.shares.iter_mut().zip(balance.lists) {
        share.partitions = partitions;
    }
}

/// Who has what at this moment.
#[derive(Debug)]
struct Balance<'a> {
    wants: Vec<BTreeSet<&'a str>>,
    lists: Vec<Vec<Partition<'a>>>,
    owners: BTreeMap<Partition<'a>, usize>,
    /// The shares by their sizes.
    by_size: BTreeSet<(usize, usize)>,
    moves: Moves<'a>,
    /// Whether something was owned that its owner does not want any more.
    was_taken_away: bool,
}

impl<'a> Balance<'a> {
    fn new(deal: &Deal<'a>) -> Self {
        let mut balance = Self {
            wants: Vec::new(),
            lists: Vec::new(),
            owners: BTreeMap::new(),
            by_size: BTreeSet::new(),
            moves: Moves::default(),
            was_taken_away: false,
        };
        for (number, share) in deal.shares.iter().enumerate() {
            let mut kept = share.partitions.clone();
            kept.retain(|it| share.topics.contains(it.topic));
            balance.was_taken_away |= kept.len() < share.partitions.len();
            balance.owners.extend(kept.iter().map(|it| (*it, number)));
            balance.by_size.insert((kept.len(), number));
            balance.lists.push(kept);
            let exists = |topic: &&&str| deal.topics.contains_key(**topic);
            let wants = share.topics.iter().filter(exists).copied();
            balance.wants.push(wants.collect());
        }
        balance
    }

    fn wants(&self, number: usize, topic: &str) -> bool {
        self.wants
            .get(number)
            .is_some_and(|topics| topics.contains(topic))
    }

    /// How many members want a topic.
    fn takers(&self, topic: &str) -> usize {
        let wanting = self.wants.iter().filter(|topics| topics.contains(topic));
        wanting.count()
    }

    fn size(&self, number: usize) -> usize {
        self.lists.get(number).map_or(0, Vec::len)
    }

    /// The smallest share that wants a topic.
    fn smallest_taker(&self, topic: &str) -> Option<usize> {
        let mut shares = self.by_size.iter().map(|(_, number)| *number);
        shares.find(|number| self.wants(*number, topic))
    }

    fn give(&mut self, partition: Partition<'a>, number: usize) {
        let size = self.size(number);
        if let Some(list) = self.lists.get_mut(number) {
            list.push(partition);
            self.by_size.remove(&(size, number));
            self.by_size.insert((size + 1, number));
            self.owners.insert(partition, number);
        }
    }

    fn take(&mut self, partition: Partition<'a>, number: usize) {
        let size = self.size(number);
        if let Some(list) = self.lists.get_mut(number) {
            list.retain(|it| *it != partition);
            self.by_size.remove(&(size, number));
            self.by_size.insert((list.len(), number));
        }
    }

    /// Moves partitions out of this list until nothing can be gained.
    fn even_out(
        &mut self,
        partitions: &[Partition<'a>],
        before: &BTreeMap<Partition<'a>, (i32, usize)>,
    ) {
        loop {
            let mut has_moved = false;
            for partition in partitions {
                if self.is_level() {
                    return;
                }
                let Some(owner) = self.owners.get(partition).copied() else {
                    continue;
                };
                let gains = |taker: usize| self.size(owner) > self.size(taker) + 1;
                let back = before.get(partition).map(|(_, number)| *number);
                let back = back.filter(|taker| self.wants(*taker, partition.topic));
                let taker = back.filter(|taker| gains(*taker));
                let taker = taker.or_else(|| {
                    let smallest = self.smallest_taker(partition.topic);
                    smallest.filter(|taker| gains(*taker))
                });
                if let Some(taker) = taker {
                    self.shift(*partition, owner, taker);
                    has_moved = true;
                }
            }
            if !has_moved {
                return;
            }
        }
    }

    /// Whether the largest share is no more than one larger than the smallest.
    fn is_level(&self) -> bool {
        let size = |it: Option<&(usize, usize)>| it.map_or(0, |(size, _)| *size);
        size(self.by_size.last()) <= size(self.by_size.first()) + 1
    }

    /// Moves a partition, or one of the same topic that went the other way before.
    fn shift(&mut self, partition: Partition<'a>, owner: usize, taker: usize) {
        let partition = self.moves.instead_of(partition, owner, taker);
        let Some(owner) = self.owners.get(&partition).copied() else {
            return;
        };
        self.moves.note(partition, owner, taker);
        self.take(partition, owner);
        self.give(partition, taker);
    }
}

/// What was moved so far, so that of one topic nothing moves both ways between two members.
#[derive(Debug, Default)]
struct Moves<'a> {
    /// From where to where.
    of: BTreeMap<Partition<'a>, (usize, usize)>,
    by_pair: BTreeMap<(&'a str, usize, usize), BTreeSet<Partition<'a>>>,
}

impl<'a> Moves<'a> {
    /// The partition that is better moved.
    fn instead_of(&self, partition: Partition<'a>, owner: usize, taker: usize) -> Partition<'a> {
        let origin = self.of.get(&partition).map_or(owner, |(from, _)| *from);
        let reverse = self.by_pair.get(&(partition.topic, taker, origin));
        let first = reverse.and_then(BTreeSet::first);
        first.copied().unwrap_or(partition)
    }

    fn note(&mut self, partition: Partition<'a>, owner: usize, taker: usize) {
        let mut origin = owner;
        if let Some((from, to)) = self.of.remove(&partition) {
            origin = from;
            if let Some(pair) = self.by_pair.get_mut(&(partition.topic, from, to)) {
                pair.remove(&partition);
            }
        }
        // Back where it began it has not moved at all.
        if origin != taker {
            self.of.insert(partition, (origin, taker));
            let pair = self.by_pair.entry((partition.topic, origin, taker));
            pair.or_default().insert(partition);
        }
    }
}
