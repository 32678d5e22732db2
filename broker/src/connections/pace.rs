//! How fast a begun request arrives.
//!
//! Floor 2 of broker. Pure: time is an argument.
//!
//! Invariants
//! - Only time counts in which the socket was waited for: a client does not pay for a broker that
//!   does not read.

use std::time::Duration;

use highwater_proto::clock::Mono;

/// Bytes and time of the window at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    window: Duration,
    /// Fewer bytes in a window are too few.
    bytes_min: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(bytes_per_second_min: u64, window: Duration) -> Self {
        let bytes_min = u128::from(bytes_per_second_min) * window.as_millis() / 1000;
        let bytes_min = u64::try_from(bytes_min).unwrap_or(u64::MAX);
        Self {
            window,
            bytes_min,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// A request begins.
    pub(crate) fn restart(&mut self) {
        (self.waited, self.bytes) = (Duration::ZERO, 0);
    }

    /// When the window ends, if the socket is waited for from now on.
    pub(crate) fn window_end(&self, now: Mono) -> Mono {
        now.plus(self.window.saturating_sub(self.waited))
    }

    /// The socket was waited for.
    pub(crate) fn waited(&mut self, duration: Duration) {
        self.waited = self.waited.saturating_add(duration);
    }

    /// So many bytes came.
    pub(crate) fn received(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_add(count as u64);
    }

    /// At the end of a window: begins the next one, unless too little came.
    pub(crate) fn is_kept(&mut self) -> bool {
        let is_kept = self.waited < self.window || self.bytes >= self.bytes_min;
        if self.waited >= self.window {
            self.restart();
        }
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_with_too_few_bytes_is_the_end() {
        let mut pace = Pace::new(100, 10 * SECOND);
        assert_eq!(pace.window_end(Mono(5)), Mono(5).plus(10 * SECOND));
        pace.received(999);
        pace.waited(9 * SECOND);
        assert_eq!(pace.window_end(Mono(7)), Mono(7).plus(SECOND));
        assert!(pace.is_kept(), "the window is not over");
        pace.waited(SECOND);
        assert!(!pace.is_kept());
    }

    #[test]
    fn each_window_is_counted_by_itself() {
        let mut pace = Pace::new(100, 10 * SECOND);
        pace.received(100_000);
        pace.waited(10 * SECOND);
        assert!(pace.is_kept());
        pace.received(999);
        pace.waited(10 * SECOND);
        assert!(!pace.is_kept(), "what came before does not count");
        pace.restart();
        pace.received(1000);
        pace.waited(20 * SECOND);
        assert!(pace.is_kept());
    }
}
