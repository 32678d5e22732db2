//! How many wrong proofs may come from one address in a second.
//!
//! Floor 5 of broker. Pure but for its lock: time is an argument.
//!
//! Invariants
//! - An address is kept no longer than its failures count, which is a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::clock::Mono;

/// The failures of each address.
#[derive(Debug)]
pub(in crate::kafka) struct Failures {
    /// The time that one failure takes of the rate.
    pace: Duration,
    /// When the rate of an address is used up no more.
    free_at: Mutex<HashMap<IpAddr, Mono>>,
}

impl Failures {
    pub(in crate::kafka) fn new(per_second_max: usize) -> Self {
        let rate = u32::try_from(per_second_max).unwrap_or(u32::MAX);
        Self {
            pace: SECOND / rate.max(1),
            free_at: Mutex::default(),
        }
    }

    /// Whether a proof from this address is looked at now.
    pub(super) fn allow(&self, address: IpAddr, now: Mono) -> bool {
        let burst = SECOND.saturating_sub(self.pace);
        let free_at = self.free_at().get(&address.to_canonical()).copied();
        free_at.is_none_or(|free_at| free_at <= now.plus(burst))
    }

    /// A proof from this address was wrong.
    pub(super) fn count(&self, address: IpAddr, now: Mono) {
        let mut all = self.free_at();
        if all.len() >= ADDRESSES_KEPT {
            all.retain(|_, free_at| *free_at > now);
        }
        let free_at = all.entry(address.to_canonical()).or_default();
        *free_at = (*free_at).max(now).plus(self.pace);
    }

    fn free_at(&self) -> MutexGuard<'_, HashMap<IpAddr, Mono>> {
        // No change can panic half-way.
        self.free_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// Before more addresses are kept, those whose failures do not count any more are forgotten. What
/// is left came within a second, by `max.connection.creation.rate` connections at most.
const ADDRESSES_KEPT: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn ten_failures_a_second_and_then_one_in_a_tenth() {
        let failures = Failures::new(10);
        let tenth = |count: u64| Mono(count * 100_000_000);
        for _ in 0..10 {
            assert!(failures.allow(ip(1), Mono(5)));
            failures.count(ip(1), Mono(5));
        }
        assert!(!failures.allow(ip(1), Mono(5)));
        assert!(
            failures.allow(ip(2), Mono(5)),
            "other addresses do not suffer"
        );
        assert!(!failures.allow(ip(1), tenth(1)));
        assert!(failures.allow(ip(1), Mono(tenth(1).0 + 5)));
        failures.count(ip(1), Mono(tenth(1).0 + 5));
        assert!(!failures.allow(ip(1), Mono(tenth(2).0 + 4)));
        // After a second of silence all of it is there again.
        assert!((0..10).all(|_| {
            failures.count(ip(1), tenth(50));
            true
        }));
        assert!(!failures.allow(ip(1), tenth(50)));
    }

    #[test]
    fn an_address_is_forgotten_when_its_failures_do_not_count() {
        let failures = Failures::new(10);
        for number in 0..2_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            // A millisecond between two: a hundred of them count at a time.
            failures.count(address, Mono(u64::from(number) * 1_000_000));
        }
        assert!(failures.free_at().len() <= ADDRESSES_KEPT);
    }
}
