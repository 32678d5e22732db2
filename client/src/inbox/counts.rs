//! What an inbox has seen, counted.
//!
//! Floor 6 of client.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::exposition::{Figures, Samples};

/// What an inbox has seen since it was made; from [`Inbox::counts`](super::Inbox::counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxCounts {
    /// Records that were left out because their offset was finished before:
    /// `inbox_duplicates_total{tool="offset"}`.
    pub duplicate_offsets: u64,
    /// Records that were left out because their event's id was there already:
    /// `inbox_duplicates_total{tool="id"}`.
    pub duplicate_ids: u64,
    /// Records that were left out because their key has that version or a newer one:
    /// `inbox_duplicates_total{tool="version"}`.
    pub old_versions: u64,
    /// Records ahead of which a version of their key is missing: `inbox_gaps_total`.
    pub gaps: u64,
    /// Records without an id, which got one from where they stand: `inbox_derived_ids_total`.
    pub derived_ids: u64,
    /// Transactions that were refused because their partition belongs to a newer member:
    /// `inbox_fenced_total`.
    pub fenced: u64,
    /// Claims that were cleaned away: `inbox_cleaned_total`.
    pub cleaned: u64,
}

impl Figures for InboxCounts {
    fn tell(&self, samples: &mut Samples<'_>) {
        let duplicates = [
            ("offset", self.duplicate_offsets),
            ("id", self.duplicate_ids),
            ("version", self.old_versions),
        ];
        let what = "Records that were left out because they were handled before";
        samples.counters("inbox_duplicates_total", what, "tool", duplicates);
        let what = "Records ahead of which a version of their key is missing";
        samples.counter("inbox_gaps_total", what, self.gaps);
        let what = "Records without an id, which got one from where they stand";
        samples.counter("inbox_derived_ids_total", what, self.derived_ids);
        let what = "Transactions that were refused because of a newer member";
        samples.counter("inbox_fenced_total", what, self.fenced);
        let what = "Claims that were cleaned away";
        samples.counter("inbox_cleaned_total", what, self.cleaned);
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) duplicate_offsets: AtomicU64,
    pub(super) duplicate_ids: AtomicU64,
    pub(super) old_versions: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) derived_ids: AtomicU64,
    pub(super) fenced: AtomicU64,
    pub(super) cleaned: AtomicU64,
}

impl Counts {
    pub(super) fn snapshot(&self) -> InboxCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        InboxCounts {
            duplicate_offsets: read(&self.duplicate_offsets),
            duplicate_ids: read(&self.duplicate_ids),
            old_versions: read(&self.old_versions),
            gaps: read(&self.gaps),
            derived_ids: read(&self.derived_ids),
            fenced: read(&self.fenced),
            cleaned: read(&self.cleaned),
        }
    }
}

/// Adds to one of the counts.
pub(super) fn count(which: &AtomicU64, more: u64) {
    which.fetch_add(more, Ordering::Relaxed);
}
