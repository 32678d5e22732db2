//! Where the broker's time comes from: the machine, or a test that moves it by hand.
//!
//! Floor 0 of broker. The only file of the broker that asks the machine for the time or sleeps.
//!
//! Invariants
//! - Monotonic time never goes back; wall time may.

mod by_hand;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use highwater_proto::clock::{Clock, Mono, Now, Sleep, Wall};

pub use by_hand::{Held, VirtualClock};

/// The machine's clocks. Its sleeps need a tokio runtime.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Monotonic time starts here.
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is the seam to the machine's clocks"
    )]
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this file is the seam to the machine's clocks"
    )]
    fn now(&self) -> Now {
        // A wall clock before 1970 counts as 1970: records cannot carry an older time.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: Mono(0).plus(self.started.elapsed()),
            wall: Wall(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let left = at.since(self.now().mono);
        Box::pin(async move { tokio::time::sleep(left).await })
    }

    fn runs_by_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_moves_on() {
        let clock = SystemClock::new();
        let (one, two) = (clock.now(), clock.now());
        assert!(two.mono >= one.mono);
        assert!(one.wall.0 > 1_600_000_000_000, "the machine's clock is set");
    }
}
