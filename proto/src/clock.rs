//! Time as a value: `Now` is handed to whoever needs it, and `Clock` is where it comes from.
//!
//! Floor 0 of proto.
//!
//! Invariants
//! - Timers and deadlines use [`Mono`], which never goes back; [`Wall`] only stamps records and
//!   decides retention and expiry.
//! - Arithmetic saturates: a wild duration is "never", not a deadline in the past.
//! - This crate implements no `Clock`: the broker and the client each have one.
//!
//! ```
//! use std::time::Duration;
//! use highwater_proto::clock::{Mono, Now, Wall};
//!
//! let now = Now { mono: Mono(1_000), wall: Wall(1_700_000_000_000) };
//! let deadline = now.mono.plus(Duration::from_millis(5));
//! assert_eq!(deadline.since(now.mono), Duration::from_millis(5));
//! assert_eq!(now.mono.since(deadline), Duration::ZERO);
//! ```

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

/// Nanoseconds since an arbitrary start, of a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// A moment that does not come.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment that is so much later, or [`Self::NEVER`] when that is out of range.
    #[inline]
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, of a clock that people and networks may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

impl Wall {
    /// How many milliseconds ago `earlier` was; negative if it is later.
    #[inline]
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timers and deadlines.
    pub mono: Mono,
    /// For what people and records call time.
    pub wall: Wall,
}

/// A sleep in progress.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Where time comes from: the machine, or a test that moves it by hand.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// Reads the wall clock alone: half the work of a clock that has to ask twice.
    fn wall(&self) -> Wall {
        self.now().wall
    }

    /// Completes at `at`, or at once if that has passed.
    fn sleep_until(&self, at: Mono) -> Sleep;

    /// Whether a sleep that ends long after its moment means that nothing ran in between: the
    /// process was stopped, or got no processor. It means nothing of a clock that is moved by
    /// hand, however far it jumps, and a clock that does not say is taken for one of those.
    fn runs_by_itself(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wild_duration_is_never() {
        assert_eq!(Mono(5).plus(Duration::MAX), Mono::NEVER);
        assert_eq!(Mono(5).plus(Duration::from_nanos(7)), Mono(12));
    }

    #[test]
    fn wall_time_may_go_back() {
        assert_eq!(Wall(3).ms_since(Wall(10)), -7);
        assert_eq!(Wall(i64::MIN).ms_since(Wall(1)), i64::MIN);
    }
}
