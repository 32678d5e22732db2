//! What readers see of a log: its marks, and the list of its segments.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - `start <= stable <= durable <= end` and `synced <= end`; none of them goes back.
//! - A View never changes: a roll or retention makes a new one and swaps it in whole. The segment
//!   that holds an offset is in the View before the mark that covers the offset is moved, so that
//!   whoever loads the mark first and the View after it finds the segment.
//! - A segment's files live until the last View that holds it is gone; unlinking leaves them valid.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::epochs::Epochs;
use crate::segment::{Active, Sealed};
use crate::types::Offset;

/// The offsets that bound a log. Each only moves forward.
#[derive(Debug)]
pub struct Marks {
    start: AtomicI64,
    stable: AtomicI64,
    durable: AtomicI64,
    synced: AtomicI64,
    end: AtomicI64,
}

impl Marks {
    /// Marks of a log whose whole content is synced.
    #[must_use]
    pub fn new(start: Offset, end: Offset) -> Self {
        let [stable, durable, synced, end_mark] = [end.0; 4].map(AtomicI64::new);
        Self {
            start: AtomicI64::new(start.0),
            stable,
            durable,
            synced,
            end: end_mark,
        }
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn start(&self) -> Offset {
        Offset(self.start.load(Ordering::Acquire))
    }

    /// Below it no transaction is open.
    #[must_use]
    pub fn stable(&self) -> Offset {
        Offset(self.stable.load(Ordering::Acquire))
    }

    /// Below it everything is as safe as the log's `durability` promises: consumers read up to
    /// here.
    #[must_use]
    pub fn durable(&self) -> Offset {
        Offset(self.durable.load(Ordering::Acquire))
    }

    /// Below it a power cut takes nothing out of the segment files.
    #[must_use]
    pub fn synced(&self) -> Offset {
        Offset(self.synced.load(Ordering::Acquire))
    }

    /// The next offset.
    #[must_use]
    pub fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Moves the durable mark, and with it the stable one, up to `offset`.
    pub fn advance_durable(&self, offset: Offset) {
        assert!(offset <= self.end(), "what is durable was written before");
        self.durable.fetch_max(offset.0, Ordering::AcqRel);
        self.stable.fetch_max(offset.0, Ordering::AcqRel);
    }

    /// Moves the synced mark up to `offset`.
    pub fn advance_synced(&self, offset: Offset) {
        assert!(offset <= self.end(), "what is synced was written before");
        self.synced.fetch_max(offset.0, Ordering::AcqRel);
    }

    pub(crate) fn advance_end(&self, offset: Offset) {
        self.end.fetch_max(offset.0, Ordering::AcqRel);
    }

    pub(crate) fn advance_start(&self, offset: Offset) {
        assert!(
            offset <= self.durable(),
            "only what is durable can be deleted"
        );
        self.start.fetch_max(offset.0, Ordering::AcqRel);
    }
}

/// The segments of a log at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// In order.
    pub(crate) sealed: Vec<Arc<Sealed>>,
    pub(crate) active: Arc<Active>,
    pub(crate) epochs: Epochs,
}

impl View {
    /// The sealed segment to ask for `offset`: the last one that begins at or below it, if the
    /// active one does not.
    pub(crate) fn sealed_slot(&self, offset: Offset) -> Option<usize> {
        if offset >= self.active.base {
            return None;
        }
        self.sealed
            .partition_point(|sealed| sealed.info.base <= offset)
            .checked_sub(1)
    }

    /// Where reads go on from `offset`, if it lies in damage that they pass over: what a repair
    /// gave up, and all that is known if `skips_damage`.
    pub(crate) fn behind_gap(&self, offset: Offset, skips_damage: bool) -> Option<Offset> {
        let bad = match self.sealed_slot(offset) {
            Some(slot) => self.sealed[slot].bad(),
            None => self.active.bad(),
        };
        let gap = bad.at(offset)?;
        (gap.is_hole || skips_damage).then_some(gap.end)
    }

    /// Whether a segment begins at `offset`.
    pub(crate) fn is_boundary(&self, offset: Offset) -> bool {
        let slot = self
            .sealed
            .binary_search_by_key(&offset, |sealed| sealed.info.base);
        slot.is_ok() || self.active.base == offset
    }

    /// The first offset that any segment holds.
    pub(crate) fn first(&self) -> Offset {
        self.sealed
            .first()
            .map_or(self.active.base, |sealed| sealed.info.base)
    }
}

/// The place where the current View stands. The lock is held to copy or store one pointer.
#[derive(Debug)]
pub(crate) struct CurrentView(RwLock<Arc<View>>);

impl CurrentView {
    pub(crate) fn new(view: View) -> Self {
        Self(RwLock::new(Arc::new(view)))
    }

    pub(crate) fn load(&self) -> Arc<View> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn store(&self, view: View) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_only_move_forward() {
        let marks = Marks::new(Offset(2), Offset(5));
        marks.advance_end(Offset(9));
        marks.advance_durable(Offset(7));
        marks.advance_durable(Offset(6));
        marks.advance_synced(Offset(8));
        marks.advance_start(Offset(3));
        marks.advance_start(Offset(2));
        let all = [
            marks.start(),
            marks.stable(),
            marks.durable(),
            marks.synced(),
            marks.end(),
        ];
        assert_eq!(all, [3, 7, 7, 8, 9].map(Offset));
    }
}
