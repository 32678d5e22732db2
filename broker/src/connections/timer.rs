//! A timer that is set anew at each wait and seldom fires.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - It never fires early. A sleep that is due before the asked moment is kept and slept on from,
//!   so that a connection in use sets no timer for each request.

use std::sync::Arc;

use highwater_proto::clock::{Clock, Mono, Sleep};

/// One timer.
pub(crate) struct Timer {
    clock: Arc<dyn Clock>,
    armed: Option<(Mono, Sleep)>,
}

impl Timer {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            clock: Arc::clone(clock),
            armed: None,
        }
    }

    pub(crate) fn now(&self) -> Mono {
        self.clock.now().mono
    }

    /// Completes when the moment has come. Dropping the future keeps what was set.
    pub(crate) async fn until(&mut self, at: Mono) {
        while self.now() < at {
            let armed = self.armed.take_if(|(due, _)| *due <= at);
            let armed = armed.unwrap_or_else(|| (at, self.clock.sleep_until(at)));
            let (_, sleep) = self.armed.insert(armed);
            sleep.await;
            self.armed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use highwater_proto::clock::Wall;

    use super::*;
    use crate::clock::VirtualClock;

    fn is_due(timer: &mut Timer, at: u64) -> bool {
        let mut until = std::pin::pin!(timer.until(Mono(at)));
        until
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn it_fires_at_the_moment_of_the_last_wait() {
        let clock = VirtualClock::new(Wall(0));
        let mut timer = Timer::new(&(Arc::new(clock.clone()) as Arc<dyn Clock>));
        assert!(!is_due(&mut timer, 10));
        // Later: the first sleep is kept, and slept on from.
        assert!(!is_due(&mut timer, 20));
        assert_eq!(clock.sleepers_count(), 1);
        clock.advance(Duration::from_nanos(10));
        assert!(!is_due(&mut timer, 20));
        // Earlier: another sleep takes its place.
        assert!(!is_due(&mut timer, 15));
        clock.advance(Duration::from_nanos(5));
        assert!(is_due(&mut timer, 15));
        assert!(!is_due(&mut timer, 20));
        clock.advance(Duration::from_nanos(5));
        assert!(is_due(&mut timer, 20));
    }
}
