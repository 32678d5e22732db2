//! What reaches the disk before anybody syncs it: pages and names that the kernel writes early.
//!
//! Invariants
//! - The same calls in the same order on the same seed evict the same.
//! - Without a seed nothing is ever early.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::rng::Rng;

/// Decides what goes to the disk early, and how long a sync takes.
#[derive(Debug)]
pub(super) struct Evictor {
    rng: Option<Mutex<Rng>>,
    temper: Temper,
    pause: Option<fn(Duration)>,
}

/// How this disk behaves in this life: losing nearly all and losing nearly nothing find other bugs
/// than half and half.
#[derive(Clone, Copy, Debug, Default)]
struct Temper {
    /// So many writes in a hundred push something out.
    data_percent: usize,
    /// So many changes of names in a hundred push one out.
    name_percent: usize,
    /// The pieces that are pushed out at a time; 0 is all of them.
    burst: usize,
    /// The longest sync, in microseconds.
    stall_us: usize,
}

/// What is pushed out of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Early {
    /// So many sectors.
    Sectors(usize),
    /// All of it.
    All,
    /// The end of the file, if it was cut.
    Cut,
    /// The length, without the bytes.
    Length,
}

impl Evictor {
    pub(super) fn new(seed: Option<u64>) -> Self {
        let mut rng = seed.map(Rng::new);
        let temper = rng.as_mut().map(|rng| Temper {
            data_percent: rng.pick(&[0, 5, 30, 90]),
            name_percent: rng.pick(&[0, 10, 50, 90]),
            burst: rng.pick(&[1, 4, 0]),
            stall_us: rng.pick(&[0, 500, 2_000, 10_000]),
        });
        Self {
            rng: rng.map(Mutex::new),
            temper: temper.unwrap_or_default(),
            pause: None,
        }
    }

    pub(super) fn pausing(self, pause: fn(Duration)) -> Self {
        Self {
            pause: Some(pause),
            ..self
        }
    }

    /// After a change of a file's bytes or length: what of it goes to the disk now.
    pub(super) fn data(&self) -> Option<Early> {
        let mut rng = self.rng()?;
        rng.percent(self.temper.data_percent)
            .then(|| match (rng.below(10), self.temper.burst) {
                (0, _) => Early::Cut,
                (1, _) => Early::Length,
                (_, 0) => Early::All,
                (_, burst) => Early::Sectors(1 + rng.below(burst)),
            })
    }

    /// After a change of names: whether one of those that wait goes to the disk now.
    pub(super) fn names(&self) -> bool {
        let rng = self.rng();
        rng.is_some_and(|mut rng| rng.percent(self.temper.name_percent))
    }

    /// A number below `limit`, which is at least 1; 0 without a seed.
    pub(super) fn below(&self, limit: u64) -> u64 {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.rng().map_or(0, |mut rng| rng.below(limit) as u64)
    }

    /// An order in which `count` pieces reach the disk.
    pub(super) fn order(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        if let Some(mut rng) = self.rng() {
            (1..count).for_each(|last| order.swap(last, rng.below(last + 1)));
        }
        order
    }

    /// Takes the time that a disk takes.
    pub(super) fn stall(&self) {
        let longest = self.temper.stall_us as u64;
        if let Some(pause) = self.pause.filter(|_| longest > 0) {
            pause(Duration::from_micros(self.below(longest)));
        }
    }

    fn rng(&self) -> Option<MutexGuard<'_, Rng>> {
        let rng = self.rng.as_ref()?;
        Some(rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
