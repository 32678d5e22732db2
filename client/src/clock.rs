//! The real clock: the client's only file that asks for the time or uses `tokio::time`.
//!
//! Floor 0 of client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use highwater_proto::clock::{Clock, Mono, Now, Sleep, Wall};
use tokio::time::Instant;

/// The machine's clocks; in a test on a paused tokio runtime, the clock of that runtime.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic part starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            mono: Mono(0).plus(self.start.elapsed()),
            wall: self.wall(),
        }
    }

    fn wall(&self) -> Wall {
        #[expect(clippy::disallowed_methods, reason = "the seam to the machine's clock")]
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Wall(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let left = at.since(self.now().mono);
        Box::pin(tokio::time::sleep(left))
    }
}
