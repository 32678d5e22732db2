//! Which groups have a write under way, one each.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Writes are numbered as they begin, so that who waits for those before a moment does not wait
//!   for those that others begin after it.

use std::collections::HashMap;

/// The writes that are under way.
#[derive(Debug, Default)]
pub(super) struct Writes {
    under_way: HashMap<String, u64>,
    begun_count: u64,
}

impl Writes {
    /// A group begins to write; whether it did not write already.
    pub(super) fn begin(&mut self, group: &str) -> bool {
        self.begun_count += 1;
        let number = self.begun_count;
        self.under_way.insert(group.to_owned(), number).is_none()
    }

    /// The write of a group is over.
    pub(super) fn end(&mut self, group: &str) {
        self.under_way.remove(group);
    }

    /// Nobody will say of any that it is over.
    pub(super) fn give_up(&mut self) {
        self.under_way.clear();
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Who writes.
    pub(super) fn groups(&self) -> impl Iterator<Item = &String> {
        self.under_way.keys()
    }

    /// How many have begun until now.
    pub(super) const fn begun_count(&self) -> u64 {
        self.begun_count
    }

    /// Whether the first so many are over.
    pub(super) fn are_over(&self, count: u64) -> bool {
        self.under_way.values().all(|number| *number > count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_writes_does_not_wait_for_later_ones() {
        let mut writes = Writes::default();
        assert!(writes.begin("a") && writes.begin("b"));
        let count = writes.begun_count();
        writes.end("a");
        // The same group and another one go on writing for ever.
        assert!(writes.begin("a") && writes.begin("c"));
        assert!(!writes.are_over(count), "b writes");
        writes.end("b");
        assert!(writes.are_over(count));
        assert!(!writes.is_empty());
        assert!(!writes.begin("c"), "it writes already");
    }
}
