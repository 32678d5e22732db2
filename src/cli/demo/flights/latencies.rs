//! How long things took: counts in classes that are 3 % wide, so that memory does not grow.
//!
//! Floor 6 of cli.

use std::time::Duration;

/// Durations up to an hour and more, from a microsecond on.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: vec![0; CLASSES],
            total: 0,
        }
    }
}

impl Latencies {
    /// Counts one more.
    pub(super) fn add(&mut self, latency: Duration) {
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        self.counts[class(micros)] += 1;
        self.total += 1;
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Counts those of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The duration that this share (0 to 1) of all stays within; zero if there is none.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let mut seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen > 0 && seen as f64 >= share * self.total as f64 {
                return Duration::from_micros(u64::from(highest(class)));
            }
        }
        Duration::ZERO
    }
}

/// Below 64 each microsecond is a class; above, each power of two has 32.
fn class(micros: u32) -> usize {
    if micros < 2 * STEPS {
        return micros as usize;
    }
    let shift = micros.ilog2() - STEPS.ilog2();
    (shift * STEPS + (micros >> shift)) as usize
}

/// The highest number of microseconds of a class.
fn highest(class: usize) -> u32 {
    let class = u32::try_from(class).unwrap_or(u32::MAX);
    if class < 2 * STEPS {
        return class;
    }
    let shift = class / STEPS - 1;
    let first = u64::from(class - shift * STEPS) << shift;
    u32::try_from(first + (1 << shift) - 1).unwrap_or(u32::MAX)
}

/// Classes between a number and its double.
const STEPS: u32 = 32;
/// `class(u32::MAX)` is the last one.
const CLASSES: usize = 28 * STEPS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_lies_in_its_class_and_close_to_its_end() {
        let mut last = 0;
        for micros in (0..100_000).chain([1 << 20, 123_456_789, u32::MAX - 1, u32::MAX]) {
            let class = class(micros);
            assert!(class >= last && class < CLASSES, "{micros}");
            let highest = highest(class);
            assert!(
                highest >= micros && highest - micros <= micros / STEPS,
                "{micros} {highest}"
            );
            last = class;
        }
        assert_eq!(last, CLASSES - 1);
    }

    #[test]
    fn quantiles_are_close() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.5, 500), (0.99, 990), (1.0, 1000), (0.001, 1)] {
            let found = latencies.quantile(share);
            let wanted = Duration::from_millis(ms);
            assert!(
                found >= wanted && found <= wanted.mul_f64(1.04),
                "{share}: {found:?}"
            );
        }
    }
}
