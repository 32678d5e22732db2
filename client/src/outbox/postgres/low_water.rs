//! Below which number a queue has no rows any more, so that a read may begin there.
//!
//! Floor 6 of client. Pure: time comes as an argument.
//!
//! That the rows below a number are gone is not enough. A transaction may have taken a lower number
//! and not committed yet; if its row were passed by, a later row of its key would be published
//! before it. But it holds the table's row-exclusive lock since before it took its number. So:
//! note the sequence's last number, then who holds that lock; when all of those have ended, every
//! row up to the noted number is there to see, or will never be.
//!
//! Invariants
//! - The mark never passes a row that is still to be published, nor one that may still appear.
//! - Nothing is concluded from what was noted before an error or on another connection.

use std::collections::BTreeSet;
use std::time::Duration;

use highwater_proto::clock::Mono;

/// After how long a read begins at the table's first row again, whatever the mark says: for rows
/// whose number was not taken by the table itself, but written by hand.
const RESCAN_AFTER: Duration = Duration::from_secs(30);

/// The mark, and what has to happen before it rises.
#[derive(Debug)]
pub(super) struct LowWater {
    /// So many published rows make it worth to raise the mark.
    raise_after: u64,
    mark: Option<i64>,
    noted: Option<Noted>,
    rescanned: Option<Mono>,
    published: u64,
}

/// The sequence's last number, and who held the lock thereafter.
#[derive(Debug)]
struct Noted {
    last: i64,
    holders: BTreeSet<String>,
}

impl LowWater {
    /// No mark: the next read begins at the table's first row.
    pub(super) const fn new(raise_after: u64) -> Self {
        Self {
            raise_after,
            mark: None,
            noted: None,
            rescanned: None,
            published: 0,
        }
    }

    /// As [`Self::new`], for the same table after something went wrong.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.raise_after);
    }

    /// Where the next read begins; `None` is the table's first row.
    pub(super) fn begin(&mut self, now: Mono) -> Option<i64> {
        let since = self.rescanned.map(|at| now.since(at));
        if since.is_none_or(|since| since >= RESCAN_AFTER) {
            self.rescanned = Some(now);
            return None;
        }
        self.mark
    }

    /// Below it, nothing is known to be.
    pub(super) const fn mark(&self) -> Option<i64> {
        self.mark
    }

    /// Whether the read has to look who holds the lock before it looks for rows.
    pub(super) const fn waits(&self) -> bool {
        self.noted.is_some()
    }

    /// Who holds the lock, told before the rows are read: up to where the mark may rise with this
    /// read.
    pub(super) fn holders(&self, now: &BTreeSet<String>) -> Option<i64> {
        let noted = self.noted.as_ref()?;
        let has_prepared = now.iter().any(|it| it.starts_with(PREPARED));
        let has_ended = !has_prepared && noted.holders.is_disjoint(now);
        has_ended.then(|| noted.last.saturating_add(1))
    }

    /// The lowest row that the read found, and up to where the mark may rise, by
    /// [`Self::holders`] before the read.
    pub(super) fn read(&mut self, lowest: Option<i64>, may_rise_to: Option<i64>) {
        if may_rise_to.is_some() {
            self.noted = None;
        }
        let risen = self.mark.max(may_rise_to);
        self.mark = match (risen, lowest) {
            (Some(mark), Some(lowest)) => Some(mark.min(lowest)),
            (mark, _) => mark,
        };
    }

    /// Rows were published and are gone.
    pub(super) const fn published(&mut self, rows: u64) {
        self.published = self.published.saturating_add(rows);
    }

    /// Whether it is time to note the sequence's last number and the holders of the lock.
    pub(super) const fn wants_note(&self) -> bool {
        self.noted.is_none() && self.published >= self.raise_after
    }

    /// The sequence's last number, and who held the lock after that was read.
    pub(super) fn note(&mut self, last: i64, holders: BTreeSet<String>) {
        self.published = 0;
        self.noted = Some(Noted { last, holders });
    }

    /// An error: what was noted may be of another life of the server.
    pub(super) fn forget_note(&mut self) {
        self.noted = None;
    }
}

/// How the transactions that were prepared before the server's start are called in `pg_locks`:
/// their names of before are not known any more.
const PREPARED: &str = "-1/";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// At a moment at which the table was looked at a while ago.
    fn begins(low_water: &mut LowWater, seconds: u64) -> Option<i64> {
        low_water.begin(Mono(0).plus(Duration::from_secs(seconds)))
    }

    #[test]
    fn the_mark_rises_when_those_have_ended_who_held_the_lock() {
        let mut low_water = LowWater::new(10);
        assert_eq!(begins(&mut low_water, 0), None);
        low_water.published(9);
        assert!(!low_water.wants_note());
        low_water.published(1);
        assert!(low_water.wants_note());
        low_water.note(50, names(&["3/7", "4/1"]));
        assert!(low_water.waits() && !low_water.wants_note());
        assert_eq!(low_water.holders(&names(&["4/1", "5/5"])), None);
        let risen = low_water.holders(&names(&["5/5", "4/2"]));
        assert_eq!(risen, Some(51));
        low_water.read(Some(60), risen);
        assert_eq!(low_water.mark(), Some(51));
        assert_eq!(begins(&mut low_water, 1), Some(51));
    }

    #[test]
    fn the_mark_does_not_pass_a_row_that_waits() {
        let mut low_water = LowWater::new(0);
        low_water.note(50, names(&[]));
        low_water.read(Some(48), Some(51));
        assert_eq!(low_water.mark(), Some(48));
    }

    #[test]
    fn the_whole_table_is_looked_at_again_after_a_while_and_a_row_below_the_mark_lowers_it() {
        let mut low_water = LowWater::new(0);
        assert_eq!(begins(&mut low_water, 0), None);
        low_water.read(None, Some(51));
        assert_eq!(begins(&mut low_water, 29), Some(51));
        assert_eq!(begins(&mut low_water, 30), None);
        low_water.read(Some(7), None);
        assert_eq!(begins(&mut low_water, 31), Some(7));
    }

    #[test]
    fn nothing_is_concluded_while_a_transaction_is_prepared_or_after_an_error() {
        let mut low_water = LowWater::new(0);
        low_water.note(50, names(&["3/7"]));
        assert_eq!(low_water.holders(&names(&["-1/740"])), None);
        low_water.forget_note();
        assert_eq!(low_water.holders(&names(&[])), None);
        assert!(!low_water.waits());
    }
}
