//! How many connections there may be: in all, from one address, and new ones a second.
//!
//! Floor 2 of broker. Pure but for its lock: time is an argument.
//!
//! Invariants
//! - What a connection takes it gives back when it is dropped, however it ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::clock::Mono;
use thiserror::Error;

use crate::config::BrokerConfig;

/// The count of connections.
#[derive(Debug)]
pub(crate) struct Gate {
    connections_max: usize,
    per_address_max: usize,
    /// The time that one new connection takes of the rate.
    pace: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
    /// When the rate is used up no more: a second's worth may come at once before that.
    free_at: Mono,
}

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Admission {
    gate: Arc<Gate>,
    address: IpAddr,
}

/// A connection that is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Full {
    /// There are as many as there may be.
    #[error("there are {0} connections, as many as max.connections allows")]
    All(usize),
    /// There are as many from this address as there may be.
    #[error("there are {0} connections from its address, as many as max.connections.per.ip allows")]
    Address(usize),
}

impl Gate {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let rate = u32::try_from(config.max_connection_creation_rate).unwrap_or(u32::MAX);
        Self {
            connections_max: config.max_connections,
            per_address_max: config.max_connections_per_ip,
            pace: Duration::from_secs(1) / rate.max(1),
            state: Mutex::default(),
        }
    }

    /// The count of TLS handshakes under way, which has no rate of its own.
    #[cfg(feature = "tls")]
    pub(crate) fn of_handshakes(config: &BrokerConfig) -> Self {
        Self {
            connections_max: config.ssl_handshakes_max,
            per_address_max: config.ssl_handshakes_max_per_ip,
            pace: Duration::ZERO,
            state: Mutex::default(),
        }
    }

    /// When the next connection may be accepted; not in the future if that is now.
    pub(crate) fn next_at(&self) -> Mono {
        let burst = SECOND.saturating_sub(self.pace);
        let free_at = self.state().free_at;
        Mono(free_at.0.saturating_sub(Mono(0).plus(burst).0))
    }

    /// Counts a connection that was accepted.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: Mono) -> Result<Admission, Full> {
        let address = address.to_canonical();
        let mut state = self.state();
        state.free_at = state.free_at.max(now).plus(self.pace);
        if state.count >= self.connections_max {
            return Err(Full::All(self.connections_max));
        }
        let from_there = state.by_address.entry(address).or_default();
        if *from_there >= self.per_address_max {
            return Err(Full::Address(self.per_address_max));
        }
        *from_there += 1;
        state.count += 1;
        drop(state);
        Ok(Admission {
            gate: Arc::clone(self),
            address,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.count -= 1;
        if let Some(count) = state.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(connections: usize, per_ip: usize, rate: usize) -> Arc<Gate> {
        Arc::new(Gate::new(&BrokerConfig {
            max_connections: connections,
            max_connections_per_ip: per_ip,
            max_connection_creation_rate: rate,
            ..BrokerConfig::default()
        }))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let gate = gate(3, 2, 500);
        let one = gate.admit(ip(1), Mono(0)).unwrap();
        let two = gate.admit(ip(1), Mono(0)).unwrap();
        assert_eq!(gate.admit(ip(1), Mono(0)).unwrap_err(), Full::Address(2));
        // The same address in IPv6's clothes.
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(gate.admit(mapped, Mono(0)).unwrap_err(), Full::Address(2));
        let other = gate.admit(ip(2), Mono(0)).unwrap();
        assert_eq!(gate.admit(ip(3), Mono(0)).unwrap_err(), Full::All(3));
        drop((one, other));
        let again = gate.admit(ip(1), Mono(0)).unwrap();
        drop((two, again));
        assert!(gate.state().by_address.is_empty());
        assert_eq!(gate.state().count, 0);
    }

    #[test]
    fn new_connections_keep_to_the_rate_after_a_second_at_once() {
        let gate = gate(100, 100, 4);
        let second = 1_000_000_000;
        for _ in 0..4 {
            assert!(gate.next_at() <= Mono(second));
            drop(gate.admit(ip(1), Mono(second)));
        }
        // A quarter of a second for each one more.
        assert_eq!(gate.next_at(), Mono(second + second / 4));
        drop(gate.admit(ip(1), Mono(second + second / 4)));
        assert_eq!(gate.next_at(), Mono(second + second / 2));
        // An idle minute saves up one second's worth, not more.
        for _ in 0..4 {
            assert!(gate.next_at() <= Mono(60 * second));
            drop(gate.admit(ip(1), Mono(60 * second)));
        }
        assert!(gate.next_at() > Mono(60 * second));
    }
}
