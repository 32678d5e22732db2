//! How often a record is tried, and how long it waits in between.
//!
//! Floor 6 of client. Pure: time comes as an argument.
//!
//! Invariants
//! - One word counts: attempts, the first call included. There are no "retries" to add one to.
//! - Jitter only lengthens a pause.

use std::time::Duration;

/// How often a record is tried, and when.
///
/// Three retries, one second apart, are four attempts: a record that keeps failing is called at
/// 0, 1, 2 and 3 s, and is then a dead letter.
///
/// ```
/// use std::time::Duration;
/// use highwater_client::Backoff;
///
/// let second = Duration::from_secs(1);
/// let policy = Backoff::fixed(second).max_attempts(4);
/// let calls: Vec<u64> = policy.calls().map(|at| at.as_secs()).collect();
/// assert_eq!(calls, [0, 1, 2, 3]);
///
/// let policy = Backoff::exponential(second).cap(5 * second).max_attempts(6);
/// let calls: Vec<u64> = policy.calls().map(|at| at.as_secs()).collect();
/// assert_eq!(calls, [0, 1, 3, 7, 12, 17]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Backoff {
    first: Duration,
    factor: u32,
    cap: Duration,
    attempts_max: u32,
    jitter_percent: u32,
    elapsed_max: Duration,
}

impl Backoff {
    /// The same pause after each failure; four attempts.
    pub const fn fixed(pause: Duration) -> Self {
        Self {
            first: pause,
            factor: 1,
            cap: Duration::MAX,
            attempts_max: 4,
            jitter_percent: 0,
            elapsed_max: Duration::MAX,
        }
    }

    /// Pauses that double, up to a minute; four attempts.
    pub const fn exponential(first: Duration) -> Self {
        Self {
            factor: 2,
            cap: Duration::from_secs(60),
            ..Self::fixed(first)
        }
    }

    /// How often a record is tried at most, the first call included; 0 is taken for 1.
    pub const fn max_attempts(mut self, count: u32) -> Self {
        self.attempts_max = if count == 0 { 1 } else { count };
        self
    }

    /// The longest pause, jitter not included.
    pub const fn cap(mut self, pause: Duration) -> Self {
        self.cap = pause;
        self
    }

    /// Lengthens each pause by up to a fifth, so that records that failed together are not tried
    /// again together.
    pub const fn jitter(mut self) -> Self {
        self.jitter_percent = 20;
        self
    }

    /// No call later than so long after the first failure.
    pub const fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed_max = elapsed;
        self
    }

    /// When a record that keeps failing is called, counted from the first call, if the calls take
    /// no time: without jitter.
    pub fn calls(&self) -> impl Iterator<Item = Duration> + use<> {
        let policy = Self {
            jitter_percent: 0,
            ..*self
        };
        let mut next = Some((1, Duration::ZERO));
        std::iter::from_fn(move || {
            let (attempts, at) = next?;
            let pause = policy.next_pause(attempts, at, 0);
            next = pause.map(|pause| (attempts + 1, at.saturating_add(pause)));
            Some(at)
        })
    }

    /// The pause after so many failed attempts, of which the first one failed so long ago; `None`
    /// if there is none left. The jitter follows from the seed.
    pub(crate) fn next_pause(
        &self,
        attempts: u32,
        elapsed: Duration,
        seed: u64,
    ) -> Option<Duration> {
        if attempts >= self.attempts_max {
            return None;
        }
        let pause = self.pause(attempts);
        let percent = u32::try_from(seed % u64::from(self.jitter_percent + 1)).unwrap_or(0);
        let pause = pause.saturating_add(pause.saturating_mul(percent) / 100);
        (elapsed.saturating_add(pause) <= self.elapsed_max).then_some(pause)
    }

    /// The pause after so many failures, whatever their number: without jitter.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let factor = self.factor.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.cap)
    }
}

/// Four attempts: pauses of 1, 2 and 4 s, each up to a fifth longer.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1)).jitter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_call_counts_and_none_is_too_few() {
        let second = Duration::from_secs(1);
        let calls = |policy: Backoff| policy.calls().count();
        assert_eq!(calls(Backoff::fixed(second).max_attempts(1)), 1);
        assert_eq!(calls(Backoff::fixed(second).max_attempts(0)), 1);
        assert_eq!(calls(Backoff::default()), 4);
        let limited = Backoff::fixed(second).max_attempts(100);
        assert_eq!(calls(limited.max_elapsed(5 * second)), 6);
    }

    proptest! {
        #[test]
        fn jitter_only_lengthens_and_by_a_fifth_at_most(
            first in 0..10_000_u64, failures in 1..40_u32, seed: u64,
        ) {
            let plain = Backoff::exponential(Duration::from_millis(first)).max_attempts(u32::MAX);
            let pause = plain.pause(failures);
            let spread = plain.jitter().next_pause(failures, Duration::ZERO, seed).unwrap();
            prop_assert!(spread >= pause && spread <= pause * 6 / 5);
        }
    }
}
