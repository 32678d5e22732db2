//! Where the broker's time comes from: the machine, or a test that moves it by hand.
//!
//! Floor 0 of broker. The only file of the broker that asks for the time or sleeps.
//!
//! Invariants
//! - Monotonic time never goes back; wall time may.
//! - A sleeper of the virtual clock wakes when its moment is reached, however far a step goes.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use highwater_proto::clock::{Clock, Mono, Now, Sleep, Wall};

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
}

/// A clock that stands until it is moved.
///
/// ```
/// use std::time::Duration;
/// use highwater_broker::clock::VirtualClock;
/// use highwater_proto::clock::{Clock, Wall};
///
/// let clock = VirtualClock::new(Wall(1_700_000_000_000));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().wall, Wall(1_700_000_060_000));
/// clock.set_wall(Wall(0));
/// assert_eq!(clock.now().mono.since(Default::default()), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct VirtualClock {
    inner: Arc<Mutex<Hands>>,
}

#[derive(Debug)]
struct Hands {
    now: Now,
    sleepers: BTreeMap<(Mono, u64), Waker>,
    sleeps_count: u64,
}

impl VirtualClock {
    /// Stands at this wall time; monotonic time starts at 0.
    #[must_use]
    pub fn new(wall: Wall) -> Self {
        let now = Now {
            mono: Mono(0),
            wall,
        };
        let hands = Hands {
            now,
            sleepers: BTreeMap::new(),
            sleeps_count: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(hands)),
        }
    }

    /// Moves both clocks on and wakes everyone whose moment has come.
    pub fn advance(&self, duration: Duration) {
        let awake = {
            let mut hands = self.hands();
            hands.now.mono = hands.now.mono.plus(duration);
            let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            hands.now.wall = Wall(hands.now.wall.0.saturating_add(ms));
            let after = (Mono(hands.now.mono.0.saturating_add(1)), 0);
            let asleep = hands.sleepers.split_off(&after);
            std::mem::replace(&mut hands.sleepers, asleep)
        };
        awake.into_values().for_each(Waker::wake);
    }

    /// Sets the wall clock, as an operator or a time server does; timers do not notice.
    pub fn set_wall(&self, wall: Wall) {
        self.hands().now.wall = wall;
    }

    /// How many sleeps are waiting for their moment.
    #[must_use]
    pub fn sleepers_count(&self) -> usize {
        self.hands().sleepers.len()
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        // Every change of the hands is whole, so that a panic elsewhere leaves them usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        self.hands().now
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let mut hands = self.hands();
        hands.sleeps_count += 1;
        Box::pin(VirtualSleep {
            clock: self.clone(),
            slot: (at, hands.sleeps_count),
        })
    }
}

struct VirtualSleep {
    clock: VirtualClock,
    slot: (Mono, u64),
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut hands = self.clock.hands();
        if hands.now.mono >= self.slot.0 {
            return Poll::Ready(());
        }
        hands.sleepers.insert(self.slot, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        self.clock.hands().sleepers.remove(&self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polled(sleep: &mut Sleep) -> Poll<()> {
        sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_sleeper_wakes_at_its_moment_and_not_before() {
        let clock = VirtualClock::new(Wall(0));
        let mut sleep = clock.sleep_until(Mono(10));
        assert!(polled(&mut sleep).is_pending());
        clock.advance(Duration::from_nanos(9));
        assert!(polled(&mut sleep).is_pending());
        assert_eq!(clock.sleepers_count(), 1);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(clock.sleepers_count(), 0, "the sleeper was woken");
        assert!(polled(&mut sleep).is_ready());
    }

    #[test]
    fn a_dropped_sleep_is_forgotten() {
        let clock = VirtualClock::new(Wall(0));
        let mut sleep = clock.sleep_until(Mono(10));
        assert!(polled(&mut sleep).is_pending());
        drop(sleep);
        assert_eq!(clock.sleepers_count(), 0);
    }

    #[test]
    fn a_jump_of_the_wall_wakes_nobody() {
        let clock = VirtualClock::new(Wall(0));
        let mut sleep = clock.sleep_until(Mono(10));
        assert!(polled(&mut sleep).is_pending());
        clock.set_wall(Wall(i64::MAX));
        assert!(polled(&mut sleep).is_pending());
        assert_eq!(clock.now().mono, Mono(0));
    }

    #[test]
    fn the_system_clock_moves_on() {
        let clock = SystemClock::new();
        let (one, two) = (clock.now(), clock.now());
        assert!(two.mono >= one.mono);
        assert!(one.wall.0 > 1_600_000_000_000, "the machine's clock is set");
    }
}
