//! How often which value occurred, on a scale whose steps grow with the value.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - Counting takes no lock: threads count in cells of their own.
//! - Between the first bound and the last one a value lies above `1 - 1 / (2^sub_bits + 1)` of the
//!   bound that it is counted under: what is told of times is at most a quarter too large.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{CELLS, own};

/// Where the bounds of a histogram are: one at `2^low`, and `2^sub_bits` in each doubling from
/// there up to `2^high`, all of them equally far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    low: u32,
    high: u32,
    sub_bits: u32,
}

impl Scale {
    /// Nanoseconds from 8.2 us, which is as good as nothing, to 34 s, which is longer than a long
    /// poll; four bounds in each doubling.
    pub const TIMES: Self = Self {
        low: 13,
        high: 35,
        sub_bits: 2,
    };
    /// Counts of things, from one to 65,536; one bound in each doubling.
    pub const COUNTS: Self = Self {
        low: 0,
        high: 16,
        sub_bits: 0,
    };

    /// The bounds, each with its place; what is above the last one has a place behind it.
    pub fn bounds(self) -> impl Iterator<Item = u64> {
        let Self {
            low,
            high,
            sub_bits,
        } = self;
        let steps = move |octave: u32| {
            (1..=1_u64 << sub_bits).map(move |step| (1 << octave) + (step << (octave - sub_bits)))
        };
        std::iter::once(1 << low).chain((low..high).flat_map(steps))
    }

    const fn places(self) -> usize {
        2 + (((self.high - self.low) as usize) << self.sub_bits)
    }

    /// The place of a value: the first whose bound it does not pass.
    #[inline]
    fn place(self, value: u64) -> usize {
        // Bounds belong to what is below them.
        let value = value.saturating_sub(1);
        if value < 1 << self.low {
            return 0;
        }
        let octave = value.ilog2();
        if octave >= self.high {
            return self.places() - 1;
        }
        let step = (value >> (octave - self.sub_bits)) & ((1 << self.sub_bits) - 1);
        // It is below four.
        let step = usize::try_from(step).unwrap_or(0);
        1 + (((octave - self.low) as usize) << self.sub_bits) + step
    }
}

/// How often which value occurred.
#[derive(Debug)]
pub struct Histogram {
    scale: Scale,
    /// Nothing: it does not count.
    cells: Option<[HistogramCell; CELLS]>,
}

/// What a [`Histogram`] says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramNow {
    /// Where the bounds are.
    pub scale: Scale,
    /// How many values fell between each bound and the one before it; the last: above all bounds.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

#[derive(Debug)]
#[repr(align(64))]
struct HistogramCell {
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new(scale: Scale, is_on: bool) -> Self {
        let cell = |_| HistogramCell {
            counts: (0..scale.places()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        };
        Self {
            scale,
            cells: is_on.then(|| std::array::from_fn(cell)),
        }
    }

    /// Counts a value.
    #[inline]
    pub fn observe(&self, value: u64) {
        let Some(cells) = &self.cells else {
            return;
        };
        let cell = own(cells);
        if let Some(count) = cell.counts.get(self.scale.place(value)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        cell.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a time.
    #[inline]
    pub fn observe_time(&self, took: Duration) {
        self.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The numbers now.
    #[must_use]
    pub fn now(&self) -> HistogramNow {
        let mut counts = vec![0; self.scale.places()];
        let mut sum = 0_u64;
        for cell in self.cells.iter().flatten() {
            for (count, of_cell) in counts.iter_mut().zip(&cell.counts) {
                *count += of_cell.load(Ordering::Relaxed);
            }
            sum = sum.wrapping_add(cell.sum.load(Ordering::Relaxed));
        }
        HistogramNow {
            scale: self.scale,
            counts,
            sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_in_order_and_as_many_as_there_are_places() {
        for scale in [Scale::TIMES, Scale::COUNTS] {
            let bounds: Vec<_> = scale.bounds().collect();
            assert!(bounds.is_sorted_by(|one, other| one < other), "{bounds:?}");
            assert_eq!(bounds.len() + 1, scale.places());
            assert_eq!(bounds.last(), Some(&(1 << scale.high)));
        }
        let counts: Vec<_> = Scale::COUNTS.bounds().take(4).collect();
        assert_eq!(counts, [1, 2, 4, 8]);
    }

    #[test]
    fn a_histogram_that_is_off_counts_nothing() {
        let off = Histogram::new(Scale::COUNTS, false);
        off.observe(7);
        assert_eq!(
            (off.now().counts.iter().sum::<u64>(), off.now().sum),
            (0, 0)
        );
    }

    proptest! {
        #[test]
        fn a_value_is_counted_under_the_first_bound_that_it_does_not_pass(
            shift in 0_u32..64,
            value in any::<u64>(),
            nudge in 0_u64..3,
        ) {
            // Of every size, and just around the bounds.
            let value = (value >> shift).saturating_add(nudge);
            for scale in [Scale::TIMES, Scale::COUNTS] {
                let bounds: Vec<_> = scale.bounds().collect();
                for value in bounds.iter().map(|bound| bound + nudge - 1).chain([value]) {
                    let place = scale.place(value);
                    let expected = bounds.partition_point(|bound| *bound < value);
                    prop_assert_eq!(place, expected, "{} of {:?}", value, scale);
                    if let Some(bound) = bounds.get(place).filter(|_| place > 0) {
                        let error = (bound - value) as f64 / value as f64;
                        let error_max = 1.0 / f64::from(1_u32 << scale.sub_bits);
                        prop_assert!(error <= error_max, "{} is told as {}", value, bound);
                    }
                }
            }
        }
    }
}
