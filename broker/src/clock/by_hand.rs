//! A clock that a test moves: it stands until it is moved, or runs as the machine's and jumps.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - Monotonic time never goes back; wall time may.
//! - A sleeper wakes when its moment is reached, however far a step goes; a clock that runs by
//!   itself never passes the moment of a sleeper that was not woken.
//! - Wall time follows from monotonic time, so that many small steps lose nothing.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use highwater_proto::clock::{Clock, Mono, Now, Sleep, Wall};
use tokio::sync::Notify;

use crate::clock::SystemClock;

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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hands: Mutex<Hands>,
    machine: SystemClock,
    /// Told when there is a sleeper that is due before all others, and when the hands are let go.
    sooner: Notify,
}

#[derive(Debug)]
struct Hands {
    mono: Mono,
    /// What the wall clock shows when monotonic time is 0.
    wall_at_start_ms: i64,
    sleepers: BTreeMap<(Mono, u64), Waker>,
    sleeps_count: u64,
    /// While the clock runs by itself: what the machine's showed when this one showed `mono`.
    running_since: Option<Mono>,
}

impl VirtualClock {
    /// Stands at this wall time; monotonic time starts at 0.
    #[must_use]
    pub fn new(wall: Wall) -> Self {
        let hands = Hands {
            mono: Mono(0),
            wall_at_start_ms: wall.0,
            sleepers: BTreeMap::new(),
            sleeps_count: 0,
            running_since: None,
        };
        Self {
            inner: Arc::new(Inner {
                hands: Mutex::new(hands),
                machine: SystemClock::new(),
                sooner: Notify::new(),
            }),
        }
    }

    /// Moves both clocks on and wakes everyone whose moment has come.
    pub fn advance(&self, duration: Duration) {
        let awake = {
            let mut hands = self.hands();
            let target = hands.mono.plus(duration);
            hands.set(target, self.machine_now());
            hands.due()
        };
        awake.into_values().for_each(Waker::wake);
    }

    /// Sets the wall clock, as an operator or a time server does; timers do not notice.
    pub fn set_wall(&self, wall: Wall) {
        let mut hands = self.hands();
        hands.wall_at_start_ms = wall.0.saturating_sub(hands.mono_ms());
    }

    /// How many sleeps are waiting for their moment.
    #[must_use]
    pub fn sleepers_count(&self) -> usize {
        self.hands().sleepers.len()
    }

    /// Lets the time pass as it does on the machine, until the future is dropped. It has to be
    /// polled for the sleepers to wake.
    ///
    /// ```
    /// use std::time::Duration;
    /// use highwater_broker::clock::VirtualClock;
    /// use highwater_proto::clock::{Clock, Mono, Wall};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # runtime.block_on(async {
    /// let clock = VirtualClock::new(Wall(0));
    /// let until = clock.now().mono.plus(Duration::from_millis(2));
    /// tokio::select! {
    ///     () = clock.run() => unreachable!("it runs for ever"),
    ///     () = clock.sleep_until(until) => {}
    /// }
    /// assert!(clock.now().mono >= until);
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn run(&self) {
        let _running = Running::start(self);
        loop {
            let (awake, next) = {
                let mut hands = self.hands();
                hands.catch_up(self.machine_now());
                let awake = hands.due();
                (awake, hands.next_on_machine())
            };
            awake.into_values().for_each(Waker::wake);
            tokio::select! {
                biased;
                () = self.inner.sooner.notified() => {}
                () = self.inner.machine.sleep_until(next), if next != Mono::NEVER => {}
            }
        }
    }

    /// Stops a clock that runs, until what is returned is dropped; moves it by steps meanwhile.
    #[must_use]
    pub fn hold(&self) -> Held<'_> {
        let machine_now = self.machine_now();
        let mut hands = self.hands();
        hands.catch_up(machine_now);
        let was_running = hands.running_since.take().is_some();
        drop(hands);
        Held {
            clock: self,
            was_running,
        }
    }

    fn machine_now(&self) -> Mono {
        self.inner.machine.now().mono
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        // Every change of the hands is whole, so that a panic elsewhere leaves them usable.
        self.inner
            .hands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hands {
    fn mono_ms(&self) -> i64 {
        i64::try_from(self.mono.0 / 1_000_000).unwrap_or(i64::MAX)
    }

    fn next(&self) -> Option<Mono> {
        self.sleepers.first_key_value().map(|((due, _), _)| *due)
    }

    fn set(&mut self, mono: Mono, machine_now: Mono) {
        self.mono = mono;
        if let Some(since) = &mut self.running_since {
            *since = machine_now;
        }
    }

    /// Moves a clock that runs to where it is by now, but not past a sleeper.
    fn catch_up(&mut self, machine_now: Mono) {
        let Some(since) = self.running_since else {
            return;
        };
        let reached = self.mono.plus(machine_now.since(since));
        let reached = self.next().map_or(reached, |next| reached.min(next));
        // A sleeper of the past is yet to be woken.
        self.set(reached.max(self.mono), machine_now);
    }

    /// When the next sleeper is due by the machine's clock, if this one runs.
    fn next_on_machine(&self) -> Mono {
        match (self.running_since, self.next()) {
            (Some(since), Some(next)) => since.plus(next.since(self.mono)),
            _ => Mono::NEVER,
        }
    }

    /// Takes those out whose moment has come.
    fn due(&mut self) -> BTreeMap<(Mono, u64), Waker> {
        let after = (Mono(self.mono.0.saturating_add(1)), 0);
        let asleep = self.sleepers.split_off(&after);
        std::mem::replace(&mut self.sleepers, asleep)
    }
}

/// A clock in somebody's hand: it moves by steps only.
#[derive(Debug)]
pub struct Held<'a> {
    clock: &'a VirtualClock,
    was_running: bool,
}

impl Held<'_> {
    /// Moves to the moment of the next sleeper and wakes everyone whose moment it is; if nobody is
    /// due by `limit`, moves there and answers `false`.
    pub fn step(&mut self, limit: Mono) -> bool {
        let awake = {
            let mut hands = self.clock.hands();
            let next = hands.next().filter(|next| *next <= limit);
            hands.mono = next.unwrap_or(limit).max(hands.mono);
            hands.due()
        };
        let is_step = !awake.is_empty();
        awake.into_values().for_each(Waker::wake);
        is_step
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.was_running {
            self.clock.hands().running_since = Some(self.clock.machine_now());
            self.clock.inner.sooner.notify_one();
        }
    }
}

/// A clock that runs until this is dropped.
struct Running<'a>(&'a VirtualClock);

impl<'a> Running<'a> {
    fn start(clock: &'a VirtualClock) -> Self {
        clock.hands().running_since = Some(clock.machine_now());
        Self(clock)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut hands = self.0.hands();
        hands.catch_up(self.0.machine_now());
        hands.running_since = None;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let mut hands = self.hands();
        if hands.running_since.is_some() {
            hands.catch_up(self.machine_now());
        }
        Now {
            mono: hands.mono,
            wall: Wall(hands.wall_at_start_ms.saturating_add(hands.mono_ms())),
        }
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
        if hands.mono >= self.slot.0 {
            return Poll::Ready(());
        }
        let is_sooner = hands.next().is_none_or(|next| self.slot.0 < next);
        hands.sleepers.insert(self.slot, context.waker().clone());
        if is_sooner && hands.running_since.is_some() {
            self.clock.inner.sooner.notify_one();
        }
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
    fn many_small_steps_are_as_long_as_one_large_one() {
        let clock = VirtualClock::new(Wall(5));
        (0..4_000).for_each(|_| clock.advance(Duration::from_micros(250)));
        assert_eq!(clock.now().wall, Wall(1_005));
    }

    #[test]
    fn steps_stop_at_every_sleeper_and_then_at_the_limit() {
        let clock = VirtualClock::new(Wall(0));
        let mut sleeps = [30, 10, 20, 10].map(|at| clock.sleep_until(Mono(at)));
        sleeps
            .iter_mut()
            .for_each(|sleep| assert!(polled(sleep).is_pending()));
        let mut held = clock.hold();
        let mut reached = Vec::new();
        while held.step(Mono(25)) {
            reached.push(clock.now().mono.0);
        }
        assert_eq!(reached, [10, 20]);
        assert_eq!(clock.now().mono, Mono(25));
        assert_eq!(clock.sleepers_count(), 1);
    }

    #[test]
    fn a_clock_that_runs_does_not_pass_a_sleeper_and_stands_while_it_is_held() {
        let clock = VirtualClock::new(Wall(0));
        let mut sleep = clock.sleep_until(Mono(1));
        assert!(polled(&mut sleep).is_pending());
        let running = Running::start(&clock);
        while clock.now().mono == Mono(0) {}
        assert_eq!(clock.now().mono, Mono(1));
        drop(sleep);
        while clock.now().mono == Mono(1) {}
        let held = clock.hold();
        let stands_at = clock.now();
        let machine = clock.machine_now();
        while clock.machine_now() == machine {}
        assert_eq!(clock.now(), stands_at);
        drop(held);
        while clock.now() == stands_at {}
        drop(running);
        assert_eq!(clock.now(), clock.now());
    }
}
