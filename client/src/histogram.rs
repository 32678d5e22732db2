//! How often which size occurred.
//!
//! Floor 0 of client. Pure.

/// How often which size occurred.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds, each with how many were at most so large.
    pub buckets: Vec<(f64, u64)>,
    /// All sizes together.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
}

impl Histogram {
    pub(crate) fn new(bounds: &[f64]) -> Self {
        Self {
            buckets: bounds.iter().map(|bound| (*bound, 0)).collect(),
            sum: 0.0,
            count: 0,
        }
    }

    pub(crate) fn add(&mut self, size: f64) {
        for (bound, count) in &mut self.buckets {
            *count += u64::from(size <= *bound);
        }
        self.sum += size;
        self.count += 1;
    }
}
