//! Lines of the log about connections, so many a minute: whoever connects cannot fill the disk.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - What is left out is counted, and the count stands in the next line.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use highwater_proto::clock::Mono;

use super::broken::Tone;

/// What was said in this minute.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    complaints: Mutex<Minute>,
    foreign: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    /// Nothing was said before it began.
    ends: Option<Mono>,
    lines: u32,
    left_out: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Say it, and that so many were left out before it.
    Say { left_out: u64 },
    /// Leave it out.
    LeaveOut,
}

impl Complaints {
    /// Whether a line may be said now.
    pub(crate) fn line(&self, tone: Tone, now: Mono) -> Line {
        let (minute, lines_max) = match tone {
            Tone::Quiet => return Line::LeaveOut,
            Tone::Complaint => (&self.complaints, LINES_MAX),
            Tone::Foreign => (&self.foreign, 1),
        };
        let mut minute = minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.ends.is_none_or(|ends| now >= ends) {
            minute.ends = Some(now.plus(Duration::from_secs(60)));
            minute.lines = 0;
        }
        if minute.lines == lines_max {
            minute.left_out += 1;
            return Line::LeaveOut;
        }
        minute.lines += 1;
        Line::Say {
            left_out: std::mem::take(&mut minute.left_out),
        }
    }
}

/// Lines a minute about clients that speak Kafka.
const LINES_MAX: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn another_protocol_is_named_once_a_minute() {
        let complaints = Complaints::default();
        let line = |at| complaints.line(Tone::Foreign, Mono(at));
        assert_eq!(line(5), Line::Say { left_out: 0 });
        assert_eq!(line(6), Line::LeaveOut);
        assert_eq!(line(MINUTE + 4), Line::LeaveOut);
        assert_eq!(line(MINUTE + 5), Line::Say { left_out: 2 });
    }

    #[test]
    fn complaints_are_bounded_and_quiet_ends_are_not_said() {
        let complaints = Complaints::default();
        let said = (0..1000)
            .filter(|at| complaints.line(Tone::Complaint, Mono(*at)) != Line::LeaveOut)
            .count();
        assert_eq!(said, 60);
        assert_eq!(complaints.line(Tone::Quiet, Mono(0)), Line::LeaveOut);
        let next = complaints.line(Tone::Complaint, Mono(2 * MINUTE));
        assert_eq!(next, Line::Say { left_out: 940 });
    }
}
