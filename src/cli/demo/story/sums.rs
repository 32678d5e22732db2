//! Whether the story went as it has to: every change has one effect, in order, and nothing else
//! was seen.
//!
//! Floor 6 of cli. Pure.

use std::collections::{HashMap, HashSet};

use highwater_client::EventId;

use super::payments::Effect;
use super::shop::Books;

/// What does not add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Changes that have no effect.
    pub(super) missing: u64,
    /// Effects that are there more than once.
    pub(super) twice: u64,
    /// Effects that came before one of a lower version of their order.
    pub(super) out_of_order: u64,
    /// Effects and records of what was never committed.
    pub(super) ghosts: u64,
    /// Orders whose last effect is not of the version that the shop's database has.
    pub(super) unlike: u64,
}

impl Sums {
    /// Compares what the shop did with what became of it, and with the events in the topic.
    pub(super) fn of(
        books: &Books,
        orders: &HashMap<u32, u32>,
        effects: &[Effect],
        topic: &HashSet<EventId>,
    ) -> Self {
        let mut sums = Self::default();
        let mut seen: HashSet<(u32, u32)> = HashSet::new();
        let mut last: HashMap<u32, u32> = HashMap::new();
        for effect in effects {
            let change = (effect.order, effect.version);
            if books.events.get(&EventId::from(effect.event.as_str())) != Some(&change) {
                sums.ghosts += 1;
                continue;
            }
            sums.twice += u64::from(!seen.insert(change));
            let last = last.entry(effect.order).or_default();
            sums.out_of_order += u64::from(effect.version < *last);
            *last = effect.version.max(*last);
        }
        let missing = books.events.values().filter(|it| !seen.contains(it));
        sums.missing = missing.count() as u64;
        let ghosts = topic.iter().filter(|it| !books.events.contains_key(*it));
        sums.ghosts += ghosts.count() as u64;
        let unlike = orders
            .iter()
            .filter(|(order, it)| last.get(order) != Some(it));
        sums.unlike = unlike.count() as u64;
        sums
    }

    /// What is wrong, one sentence each.
    pub(super) fn differences(&self) -> Vec<String> {
        let rows = [
            (self.missing, "changes have no effect"),
            (self.twice, "effects are there twice"),
            (
                self.out_of_order,
                "effects came before an older one of their order",
            ),
            (
                self.ghosts,
                "events or effects are of no change that was committed",
            ),
            (self.unlike, "orders are not as far as in the shop"),
        ];
        let wrong = rows.into_iter().filter(|(count, _)| *count > 0);
        wrong
            .map(|(count, what)| format!("{count} {what}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(order: u32, version: u32) -> EventId {
        EventId::from(format!("{order}.{version}"))
    }

    fn effect(order: u32, version: u32) -> Effect {
        Effect {
            order,
            version,
            event: id(order, version).to_string(),
        }
    }

    #[test]
    fn every_damage_shows() {
        let changes = [(1, 1), (1, 2), (2, 1)];
        let books = Books {
            events: changes.iter().map(|it| (id(it.0, it.1), *it)).collect(),
            rolled_back: HashSet::from([id(3, 1)]),
        };
        let topic: HashSet<EventId> = books.events.keys().cloned().collect();
        let orders = HashMap::from([(1, 2), (2, 1)]);
        let sums = |effects: &[(u32, u32)]| {
            let effects: Vec<_> = effects.iter().map(|it| effect(it.0, it.1)).collect();
            Sums::of(&books, &orders, &effects, &topic)
        };
        let none = Sums::default();
        assert_eq!(sums(&[(1, 1), (2, 1), (1, 2)]), none);
        assert!(none.differences().is_empty());
        let missing = Sums {
            missing: 1,
            unlike: 1,
            ..none
        };
        assert_eq!(sums(&[(1, 1), (1, 2)]), missing);
        let twice = Sums { twice: 1, ..none };
        assert_eq!(sums(&[(1, 1), (1, 2), (1, 2), (2, 1)]), twice);
        let out_of_order = Sums {
            out_of_order: 1,
            ..none
        };
        assert_eq!(sums(&[(1, 2), (1, 1), (2, 1)]), out_of_order);
        let ghosts = Sums { ghosts: 1, ..none };
        assert_eq!(sums(&[(1, 1), (1, 2), (2, 1), (3, 1)]), ghosts);
        assert_eq!(ghosts.differences().len(), 1);
        let with_ghost = topic.iter().cloned().chain([id(3, 1)]).collect();
        let effects: Vec<_> = changes.iter().map(|it| effect(it.0, it.1)).collect();
        let found = Sums::of(&books, &orders, &effects, &with_ghost);
        assert_eq!(found, ghosts);
    }
}
