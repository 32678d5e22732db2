//! Whether the wall clock can be trusted with ages: it has not jumped for some time.
//!
//! Floor 2 of broker. Pure: both clocks are arguments.
//!
//! Invariants
//! - A jump of the wall clock, forwards or back, by more than [`JUMP_MS_MIN`] between two looks
//!   starts the time anew; slow corrections of a clock that drifts do not.

use std::time::Duration;

use highwater_proto::clock::{Mono, Now};

/// Compares the wall clock with the one that never jumps, at each look.
///
/// Who deletes by wall time asks first. A clock that leaps from 1970 to today, or 50 years ahead,
/// makes all that was committed before look old; so for one whole retention after a jump nothing
/// is deleted, and by then what looks old is old.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::group) struct ClockWatch {
    seen: Option<Now>,
    jumped: Option<Mono>,
}

impl ClockWatch {
    /// Looks at both clocks; says whether the wall clock has gone right for at least so long, or
    /// ever since the first look.
    pub(in crate::group) fn steady_for(&mut self, now: Now, retention_ms: i64) -> bool {
        if let Some(seen) = self.seen.replace(now) {
            let passed = now.mono.since(seen.mono).as_millis();
            let passed = i64::try_from(passed).unwrap_or(i64::MAX);
            let drift = now.wall.ms_since(seen.wall).saturating_sub(passed);
            if drift.unsigned_abs() > JUMP_MS_MIN {
                self.jumped = Some(now.mono);
            }
        }
        let retention = Duration::from_millis(u64::try_from(retention_ms).unwrap_or(0));
        self.jumped
            .is_none_or(|jumped| now.mono.since(jumped) >= retention)
    }
}

/// Between two looks some minutes apart no honest clock is off by more.
const JUMP_MS_MIN: u64 = 60_000;

#[cfg(test)]
mod tests {
    use highwater_proto::clock::Wall;

    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const WEEK_MS: i64 = 7 * 24 * 60 * MINUTE_MS;
    const TODAY_MS: i64 = 1_700_000_000_000;
    const FIFTY_YEARS_MS: i64 = 50 * 365 * 24 * 60 * MINUTE_MS;

    fn at(mono_ms: i64, wall_ms: i64) -> Now {
        let mono = u64::try_from(mono_ms).unwrap() * 1_000_000;
        Now {
            mono: Mono(mono),
            wall: Wall(wall_ms),
        }
    }

    #[test]
    fn a_clock_that_goes_right_is_steady_from_the_start() {
        let mut watch = ClockWatch::default();
        for minute in 0..30 {
            let passed = minute * MINUTE_MS;
            assert!(watch.steady_for(at(passed, TODAY_MS + passed + 50 * minute), WEEK_MS));
        }
    }

    #[test]
    fn after_a_jump_either_way_it_is_not_for_one_retention() {
        for jump in [FIFTY_YEARS_MS, -FIFTY_YEARS_MS, 61_000, -61_000] {
            let mut watch = ClockWatch::default();
            assert!(watch.steady_for(at(0, TODAY_MS), WEEK_MS));
            let wall = TODAY_MS + jump;
            for passed in [MINUTE_MS, WEEK_MS / 2, WEEK_MS + MINUTE_MS - 1] {
                assert!(!watch.steady_for(at(passed, wall + passed), WEEK_MS));
            }
            let passed = WEEK_MS + MINUTE_MS;
            assert!(watch.steady_for(at(passed, wall + passed), WEEK_MS));
        }
    }

    #[test]
    fn a_second_jump_starts_the_time_anew() {
        let mut watch = ClockWatch::default();
        assert!(watch.steady_for(at(0, 0), WEEK_MS));
        assert!(!watch.steady_for(at(1, TODAY_MS), WEEK_MS));
        assert!(!watch.steady_for(at(WEEK_MS, 0), WEEK_MS));
        assert!(!watch.steady_for(at(WEEK_MS + 1, 1), WEEK_MS));
        assert!(watch.steady_for(at(2 * WEEK_MS, WEEK_MS), WEEK_MS));
    }

    #[test]
    fn wild_numbers_do_not_overflow() {
        let mut watch = ClockWatch::default();
        for wall in [i64::MIN, i64::MAX, 0, i64::MIN] {
            watch.steady_for(at(0, wall), i64::MAX);
            assert!(watch.steady_for(at(0, wall), -1));
        }
    }
}
