//! How long to wait before trying again: doubling, up to a limit, without a clock.
//!
//! Floor 1 of client.

use std::time::Duration;

use highwater_proto::clock::Mono;

/// A pause that doubles with each failure.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts at `first` and never exceeds `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            failures: 0,
        }
    }

    /// The pause before the next try.
    pub fn next_pause(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// A success: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Something that is asked for, not twice at a time, with pauses after failures.
#[derive(Debug, Default)]
pub(crate) struct Question {
    is_asked: bool,
    not_before: Option<Mono>,
    backoff: Option<Backoff>,
}

impl Question {
    /// Whether it may be asked now; then it counts as asked. If not: when.
    pub(crate) fn ask(&mut self, now: Mono) -> Result<(), Option<Mono>> {
        if self.is_asked {
            return Err(None);
        }
        if let Some(at) = self.not_before.filter(|at| *at > now) {
            return Err(Some(at));
        }
        self.is_asked = true;
        Ok(())
    }

    /// Takes note of the answer; `first` is the first pause after a failure.
    pub(crate) fn answered(&mut self, now: Mono, first: Duration, is_ok: bool) {
        self.is_asked = false;
        if is_ok {
            *self = Self::default();
        } else {
            self.not_before = Some(now.plus(next_pause(&mut self.backoff, first)));
        }
    }
}

/// The pause after one more failure; `first` after the first one.
pub(crate) fn next_pause(failures: &mut Option<Backoff>, first: Duration) -> Duration {
    failures
        .get_or_insert_with(|| Backoff::new(first, PAUSE_MAX))
        .next_pause()
}

/// The longest pause before something is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_limit_and_starts_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        assert_eq!(
            [(); 4].map(|()| backoff.next_pause()),
            [ms(100), ms(200), ms(350), ms(350)]
        );
        for _ in 0..100 {
            assert!(backoff.next_pause() <= ms(350));
        }
        backoff.reset();
        assert_eq!(backoff.next_pause(), ms(100));
    }
}
