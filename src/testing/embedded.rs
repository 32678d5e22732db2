//! The way of a client without a socket to the broker that runs at the moment.
//!
//! Invariants
//! - It keeps no broker alive: after the end of the test broker every call fails.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use highwater_broker::Broker;
use highwater_client::{ClientError, Dial};
use highwater_proto::exchange::{BoxFuture, Exchange};

/// The broker that runs at the moment, if there is one: a restart puts another one here.
#[derive(Default)]
pub(super) struct Current(Mutex<Option<Arc<Broker>>>);

impl Current {
    pub(super) fn broker(&self) -> Option<Arc<Broker>> {
        self.slot().clone()
    }

    pub(super) fn set(&self, broker: Broker) {
        *self.slot() = Some(Arc::new(broker));
    }

    pub(super) fn take(&self) -> Option<Arc<Broker>> {
        self.slot().take()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Broker>>> {
        // Every change is one assignment, so that a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&self.slot()).finish()
    }
}

/// Dials the broker that runs at the moment.
#[derive(Debug)]
pub(super) struct DialCurrent(Weak<Current>);

impl DialCurrent {
    pub(super) fn new(current: &Arc<Current>) -> Self {
        Self(Arc::downgrade(current))
    }
}

impl Dial for DialCurrent {
    fn dial(&self, _address: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        let broker = self.0.upgrade().and_then(|current| current.broker());
        let session = broker.map(|broker| broker.exchange());
        let down = || ClientError::NotSent("the test broker is down".to_owned());
        Box::pin(async move { session.ok_or_else(down) })
    }
}
