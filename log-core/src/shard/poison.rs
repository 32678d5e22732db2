//! What happens when the shard can no longer vouch for its disk: everybody is told, once.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - The first reason stays; nothing is written or synced after it, but for what runs already.
//! - Whoever waits, in the queue or for a sync, is answered; whoever comes later, too.

use std::sync::atomic::Ordering;

use super::Shard;
use crate::error::LogError;
use crate::sync::lock;

impl Shard {
    /// Makes the shard read-only for good and answers all who wait. The error that they get.
    pub(super) fn poison(&self, why: &LogError) -> LogError {
        let why = match why {
            LogError::Poisoned { why } => why.clone(),
            other => other.to_string(),
        };
        let mut poisoned = lock(&self.poisoned);
        let is_first = poisoned.is_none();
        let error = LogError::Poisoned {
            why: poisoned.get_or_insert(why).clone(),
        };
        drop(poisoned);
        if is_first {
            tracing::error!(%error, "the shard is read-only");
        }
        let queued = self.queue.abandon(error.clone());
        let waiting = lock(&self.waiting).refuse(error.clone());
        for append in queued {
            append.done.answer(Err(error.clone()));
        }
        for waiter in waiting {
            waiter.done.answer(Err(error.clone()));
        }
        self.commit_bell.ring();
        self.want_tick();
        error
    }

    /// Fails if the shard is closed or poisoned.
    pub(super) fn expect_open(&self) -> Result<(), LogError> {
        if self.is_closed() {
            return Err(LogError::Closed);
        }
        match self.poisoned() {
            Some(why) => Err(LogError::Poisoned { why }),
            None => Ok(()),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

/// Poisons the shard unless it is disarmed: a panic between the two leaves nobody waiting.
pub(super) struct PanicGuard<'a> {
    shard: &'a Shard,
    is_armed: bool,
}

impl<'a> PanicGuard<'a> {
    pub(super) fn new(shard: &'a Shard) -> Self {
        Self {
            shard,
            is_armed: true,
        }
    }

    pub(super) fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.shard.poison(&LogError::Poisoned {
                why: PANICKED.to_owned(),
            });
        }
    }
}

const PANICKED: &str = "a thread panicked while it worked for the shard";
