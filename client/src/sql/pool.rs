//! The connections of a database: as many as it may have, and those that wait.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - There are never more connections than slots.
//! - Who waits longer than [`WAIT_MAX`] for a turn gets an error: it may be waiting for itself.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use highwater_proto::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::SqlError;
use crate::clock::SystemClock;

/// Connections of one kind, shared by the clones of a database.
pub(super) struct Pool<C> {
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<C>>,
    clock: SystemClock,
}

impl<C> Pool<C> {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(connections_max)),
            idle: Mutex::new(Vec::new()),
            clock: SystemClock::new(),
        }
    }

    /// Waits until a connection may be had.
    pub(super) async fn slot(self: &Arc<Self>) -> Result<Slot<C>, SqlError> {
        let until = self.clock.now().mono.plus(WAIT_MAX);
        let turn = tokio::select! {
            biased;
            turn = Arc::clone(&self.slots).acquire_owned() => turn.ok(),
            () = self.clock.sleep_until(until) => None,
        };
        let turn = turn.ok_or_else(|| {
            SqlError::Conflict(format!(
                "the open transactions of this process have not ended within {} s; one that is \
                 begun while its beginner has another one open waits for itself",
                WAIT_MAX.as_secs()
            ))
        })?;
        Ok(Slot {
            pool: Arc::clone(self),
            _turn: turn,
        })
    }
}

/// The right to one connection.
pub(super) struct Slot<C> {
    pool: Arc<Pool<C>>,
    _turn: OwnedSemaphorePermit,
}

impl<C> Slot<C> {
    /// A connection that waits, the last used first.
    pub(super) fn idle(&self) -> Option<C> {
        let idle = &self.pool.idle;
        idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Leaves a connection for the next.
    pub(super) fn give_back(self, connection: C) {
        let idle = &self.pool.idle;
        idle.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }
}

const WAIT_MAX: Duration = Duration::from_secs(30);
