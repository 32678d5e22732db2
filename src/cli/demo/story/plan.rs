//! What happens in the story, all of it out of one seed: the changes of the orders, and which of
//! their events go wrong.
//!
//! Floor 6 of cli. Pure.
//!
//! Invariants
//! - The same seed gives the same story.
//! - The changes of an order have the versions 1, 2, 3 and so on, in this order.

use std::time::Duration;

/// A story.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) orders: u32,
}

/// A change of an order: one transaction of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) order: u32,
    /// What the order is then.
    pub(super) version: u32,
    /// Whether the shop changes its mind at the end of the transaction; it tries again later.
    pub(super) is_rolled_back: bool,
}

/// What becomes of an event where it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Fine,
    /// It fails so often, then it comes through.
    Transient(u32),
    /// It takes so long.
    Slow(Duration),
    /// It cannot be handled before its cause is mended.
    Poison,
}

impl Plan {
    /// The changes, in the order in which the shop makes them: those of several orders at a time.
    pub(super) fn changes(&self) -> Vec<Change> {
        let mut random = Random(self.seed);
        let mut changes = Vec::new();
        let mut next = 0;
        // Orders at work: their number, the next version, the last one.
        let mut open: Vec<(u32, u32, u32)> = Vec::new();
        loop {
            while open.len() < OPEN_MAX && next < self.orders {
                open.push((next, 1, 1 + random.below(VERSIONS_MAX)));
                next += 1;
            }
            if open.is_empty() {
                return changes;
            }
            let at = random.below(u32::try_from(open.len()).unwrap_or(1)) as usize;
            let (order, version, last) = open[at];
            let is_rolled_back = random.below(100) < ROLLED_BACK_PERCENT;
            changes.push(Change {
                order,
                version,
                is_rolled_back,
            });
            match (is_rolled_back, version == last) {
                (true, _) => {}
                (false, true) => drop(open.swap_remove(at)),
                (false, false) => open[at].1 += 1,
            }
        }
    }

    /// What becomes of an event.
    pub(super) fn fate(&self, order: u32, version: u32) -> Fate {
        let mut random = self.random_of(order, version, 1);
        match random.below(1_000) {
            0..15 => Fate::Poison,
            15..45 => Fate::Transient(1 + random.below(3)),
            45..65 => Fate::Slow(Duration::from_millis(u64::from(5 + random.below(20)))),
            _ => Fate::Fine,
        }
    }

    /// Whether an event is sent a second time, by somebody who did not see that it was stored.
    pub(super) fn is_sent_again(&self, order: u32, version: u32) -> bool {
        self.random_of(order, version, 2).below(100) < SENT_AGAIN_PERCENT
    }

    fn random_of(&self, order: u32, version: u32, what: u64) -> Random {
        let event = u64::from(order) << 32 | u64::from(version);
        let mut random = Random(self.seed ^ what.rotate_left(60));
        Random(random.next() ^ event)
    }
}

/// SplitMix64, whose numbers do not change with a release of anything.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 up to, but not including, a count above 0.
    const fn below(&mut self, count: u32) -> u32 {
        (((self.next() >> 32) * count as u64) >> 32) as u32
    }
}

/// Orders that are changed in turns.
const OPEN_MAX: usize = 40;
/// Changes of an order.
const VERSIONS_MAX: u32 = 5;
const ROLLED_BACK_PERCENT: u32 = 4;
const SENT_AGAIN_PERCENT: u32 = 5;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_order_goes_from_version_to_version() {
        let plan = Plan {
            seed: 7,
            orders: 500,
        };
        let changes = plan.changes();
        assert_eq!(changes, plan.changes(), "the same seed, the same story");
        let mut versions: HashMap<u32, u32> = HashMap::new();
        let mut turns = 0;
        for (at, change) in changes.iter().enumerate() {
            let version = versions.entry(change.order).or_default();
            assert_eq!(change.version, *version + 1);
            *version += u32::from(!change.is_rolled_back);
            turns += usize::from(at > 0 && changes[at - 1].order != change.order);
        }
        assert_eq!(versions.len(), 500);
        assert!(versions.values().all(|it| (1..=VERSIONS_MAX).contains(it)));
        assert!(turns * 10 > changes.len() * 9, "orders take turns: {turns}");
    }

    #[test]
    fn each_thing_that_can_happen_happens() {
        let plan = Plan {
            seed: 1,
            orders: 500,
        };
        let changes = plan.changes();
        let count = |is: &dyn Fn(&Change) -> bool| changes.iter().filter(|it| is(it)).count();
        let fate = |it: &Change| plan.fate(it.order, it.version);
        assert!(count(&|it| it.is_rolled_back) > 20);
        assert!(count(&|it| plan.is_sent_again(it.order, it.version)) > 20);
        assert!(count(&|it| fate(it) == Fate::Poison) > 5);
        assert!(count(&|it| matches!(fate(it), Fate::Transient(_))) > 10);
        assert!(count(&|it| matches!(fate(it), Fate::Slow(_))) > 5);
        assert!(count(&|it| fate(it) == Fate::Fine) > changes.len() * 8 / 10);
    }
}
