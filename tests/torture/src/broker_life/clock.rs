//! The clock of a life: it stands until it is moved, and it can let something happen inside of the
//! broker's next question for the time.
//!
//! A reader that finds nothing asks for the time, to know how long to wait, before it registers.
//! What is appended at that moment must not be missed.
//!
//! Invariants
//! - What is let happen happens once, outside every lock of this file.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_broker::clock::VirtualClock;
use highwater_proto::clock::{Clock, Mono, Now, Sleep, Wall};

/// A clock that is moved by hand.
#[derive(Clone)]
pub(super) struct LifeClock {
    hands: VirtualClock,
    interlude: Arc<Mutex<Option<Interlude>>>,
}

/// What happens inside of a question for the time.
type Interlude = Box<dyn FnOnce() + Send>;

impl LifeClock {
    pub(super) fn new(wall: Wall) -> Self {
        Self {
            hands: VirtualClock::new(wall),
            interlude: Arc::default(),
        }
    }

    pub(super) fn advance(&self, ms: u64) {
        self.hands.advance(Duration::from_millis(ms));
    }

    /// Milliseconds since the clock was made.
    pub(super) fn ms(&self) -> u64 {
        let since = self.hands.now().mono.since(Mono(0));
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn wall_ms(&self) -> i64 {
        self.hands.now().wall.0
    }

    /// Sleeps without letting anything happen.
    pub(super) async fn sleep_ms(&self, ms: u64) {
        let at = self.hands.now().mono.plus(Duration::from_millis(ms));
        self.hands.sleep_until(at).await;
    }

    /// Lets this happen inside of the next question; `None` takes it back.
    pub(super) fn set_interlude(&self, interlude: Option<Interlude>) {
        *self.interlude() = interlude;
    }

    fn interlude(&self) -> MutexGuard<'_, Option<Interlude>> {
        self.interlude
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn play(&self) {
        let interlude = self.interlude().take();
        if let Some(interlude) = interlude {
            interlude();
        }
    }
}

impl Clock for LifeClock {
    fn now(&self) -> Now {
        self.play();
        self.hands.now()
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        self.play();
        self.hands.sleep_until(at)
    }
}

impl fmt::Debug for LifeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifeClock")
            .field("hands", &self.hands)
            .finish_non_exhaustive()
    }
}
