//! How long to wait before trying again: doubling, up to a limit, spread by a fifth.
//!
//! Floor 1 of client. Pure: time comes as an argument.
//!
//! Invariants
//! - A pause is at most its limit, and off the doubled one by a fifth at most.
//! - The spread follows from the moment of the failure: clients that lose a broker in one moment
//!   differ in the nanoseconds of their clocks, and a run on a virtual clock repeats itself.

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

    /// As [`Self::next_pause`], up to a fifth shorter or longer, so that those who failed together
    /// do not try again together. Never above the limit.
    pub fn spread_pause(&mut self, now: Mono) -> Duration {
        let pause = self.next_pause();
        let percent = u32::try_from(scrambled(now.0) % SPREAD_PERCENT).unwrap_or(0);
        let shortest = pause.saturating_mul(100 - SPREAD_HALF) / 100;
        let more = pause.saturating_mul(percent) / 100;
        shortest.saturating_add(more).min(self.max)
    }

    /// The moment of the next try, after a failure now.
    pub fn next_try(&mut self, now: Mono) -> Mono {
        now.plus(self.spread_pause(now))
    }

    /// A success: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// SplitMix64: neighbouring moments give numbers that have nothing in common.
const fn scrambled(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
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
            let backoff = self
                .backoff
                .get_or_insert_with(|| Backoff::new(first, PAUSE_MAX));
            self.not_before = Some(backoff.next_try(now));
        }
    }
}

/// The longest pause before something is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How much a pause may be off, in percent: as in Kafka, a fifth.
const SPREAD_HALF: u32 = 20;

/// From a fifth less to a fifth more.
const SPREAD_PERCENT: u64 = 2 * SPREAD_HALF as u64 + 1;

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

    #[test]
    fn those_who_fail_together_do_not_try_again_together() {
        let ms = Duration::from_millis;
        let pause = |nanos| Backoff::new(ms(100), ms(1_000)).spread_pause(Mono(nanos));
        let mut pauses: Vec<Duration> = (0..1_000).map(pause).collect();
        assert!(pauses.iter().all(|it| (ms(80)..=ms(120)).contains(it)));
        pauses.sort_unstable();
        pauses.dedup();
        assert_eq!(pauses.len(), 41, "every percent occurs");
        let mut full = Backoff::new(ms(100), ms(100));
        assert!((0..100).all(|nanos| full.spread_pause(Mono(nanos)) <= ms(100)));
    }
}
