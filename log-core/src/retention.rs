//! Which segments may go: a plan, made from numbers.
//!
//! Floor 2 of log-core. Pure.
//!
//! How old a segment is. Its age counts from its last append or, if that is later, from its
//! largest record timestamp; no clock that jumps may make it older:
//! - The time since the last append is measured by the monotonic clock. Whatever the wall clock
//!   does while the process runs counts for nothing: a jump of fifty years deletes nothing, and
//!   seven days that pass do.
//! - Over a restart the age is kept as a number. The time between is taken from the wall clock
//!   only if it went forward by at most 30 days; a clock that stands at 1970 at boot, or
//!   that jumped, adds nothing.
//! - A record timestamp can only make a segment younger. One more than a day in the future is
//!   wrong, or the clock is: it is not believed, or a single wrong stamp would keep a log forever.
//!
//! So nothing goes before `retention.ms` of measured time has passed since it was written. The
//! price: time in which the machine sleeps, or is off for longer than the limit, is not counted,
//! and data stays longer than it must.
//!
//! Invariants
//! - Only whole segments go, the oldest first, and never the active one.
//! - What `retention.bytes` asks for is kept: the oldest segment goes only if the others suffice.

use crate::config::LogConfig;
use crate::types::Offset;

/// What the plan needs to know about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentAge {
    /// The offset behind its last record.
    pub end: Offset,
    /// The size of its log file.
    pub bytes: u64,
    /// Milliseconds since its last append, by the monotonic clock.
    pub idle_ms: i64,
    /// Its largest record timestamp.
    pub max_timestamp: i64,
}

/// How many of the oldest `sealed` segments may go. `active_bytes` counts towards the size of the
/// log, `start` is its first offset, `wall_ms` the wall clock.
#[must_use]
pub fn plan(
    sealed: &[SegmentAge],
    active_bytes: u64,
    start: Offset,
    config: &LogConfig,
    wall_ms: i64,
) -> usize {
    let mut size = active_bytes + sealed.iter().map(|segment| segment.bytes).sum::<u64>();
    let mut count = 0;
    for segment in sealed {
        let is_below_start = segment.end <= start;
        let left = size - segment.bytes;
        let is_surplus = config.retention_bytes.is_some_and(|kept| left >= kept);
        let is_old = config
            .retention_ms
            .is_some_and(|kept| age_ms(segment, wall_ms) >= kept);
        if !is_below_start && !(config.delete && (is_surplus || is_old)) {
            break;
        }
        size = left;
        count += 1;
    }
    count
}

/// The age that counts against `retention.ms`.
#[must_use]
pub fn age_ms(segment: &SegmentAge, wall_ms: i64) -> i64 {
    let by_records = wall_ms.saturating_sub(segment.max_timestamp);
    if by_records < -FUTURE_MS_MAX {
        return segment.idle_ms;
    }
    segment.idle_ms.min(by_records.max(0))
}

/// How far ahead of the wall clock a record timestamp is believed: a day.
const FUTURE_MS_MAX: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const YEAR_MS: i64 = 365 * DAY_MS;

    fn segment(end: i64, idle_ms: i64, max_timestamp: i64) -> SegmentAge {
        SegmentAge {
            end: Offset(end),
            bytes: 100,
            idle_ms,
            max_timestamp,
        }
    }

    fn week() -> LogConfig {
        LogConfig {
            retention_ms: Some(7 * DAY_MS),
            ..LogConfig::default()
        }
    }

    #[test]
    fn seven_days_that_pass_delete() {
        let wall = 56 * YEAR_MS;
        let old = segment(10, 7 * DAY_MS, wall - 7 * DAY_MS);
        let young = segment(20, 7 * DAY_MS - 1, wall - 7 * DAY_MS + 1);
        assert_eq!(plan(&[old, young], 0, Offset(0), &week(), wall), 1);
        assert_eq!(
            plan(&[young, old], 0, Offset(0), &week(), wall),
            0,
            "the oldest goes first"
        );
    }

    #[test]
    fn a_clock_that_jumps_deletes_nothing() {
        let written = 56 * YEAR_MS;
        let fresh = segment(10, 1000, written);
        for wall in [
            0,
            written - 50 * YEAR_MS,
            written + 50 * YEAR_MS,
            i64::MAX,
            i64::MIN,
        ] {
            assert_eq!(plan(&[fresh], 0, Offset(0), &week(), wall), 0, "at {wall}");
        }
    }

    #[test]
    fn a_later_record_time_keeps_and_an_absurd_one_does_not() {
        let wall = 56 * YEAR_MS;
        let old = |timestamp| segment(10, 8 * DAY_MS, timestamp);
        for (timestamp, goes) in [
            (0, true),
            (wall - 7 * DAY_MS, true),
            (wall - 2 * DAY_MS, false),
            (wall + DAY_MS, false),
            (wall + DAY_MS + 1, true),
            (i64::MAX, true),
        ] {
            let planned = plan(&[old(timestamp)], 0, Offset(0), &week(), wall);
            assert_eq!(planned == 1, goes, "record time {}", timestamp - wall);
        }
    }

    #[test]
    fn size_is_kept_within_a_segment() {
        let segments = [1, 2, 3].map(|end| segment(end, 0, 0));
        let kept = |bytes| {
            let config = LogConfig {
                retention_ms: None,
                retention_bytes: Some(bytes),
                ..LogConfig::default()
            };
            plan(&segments, 50, Offset(0), &config, 0)
        };
        assert_eq!([350, 251, 250, 150, 50, 0].map(kept), [0, 0, 1, 2, 3, 3]);
    }

    proptest! {
        #[test]
        fn without_delete_only_what_lies_below_the_start_goes(
            ends in prop::collection::vec(1..9_i64, 0..6), start in 0..40_i64, idle: i64, wall: i64,
        ) {
            let config = LogConfig { delete: false, retention_bytes: Some(0), ..week() };
            let mut end = 0;
            let segments: Vec<_> = ends
                .into_iter()
                .map(|records| {
                    end += records;
                    segment(end, idle, 0)
                })
                .collect();
            let below = segments.iter().filter(|segment| segment.end.0 <= start).count();
            prop_assert_eq!(plan(&segments, 0, Offset(start), &config, wall), below);
        }
    }
}
