//! `Delivery`: what becomes of one record, and the promise that the records of a batch share.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - A promise is told its fate once; whoever waits is woken then, whoever comes later reads it.
//! - A record costs no allocation here: it counts one more holder of its batch's promise.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::ClientError;
use crate::record::RecordMetadata;

/// What became of a batch.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is stored.
    Stored(Stored),
    /// It was too large for the broker: its records go on in two batches, of which the second one
    /// starts with the record of that index.
    Split(Arc<Promise>, i32, Arc<Promise>),
    /// It is given up.
    Failed(ClientError),
}

/// Where the broker has put a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The offset of the first record; -1 if the broker did not tell.
    pub(super) base_offset: i64,
    /// The timestamp of all records, if the topic stamps them when they are stored.
    pub(super) append_time: Option<i64>,
}

/// Tells the records of a batch what became of it.
#[derive(Debug, Default)]
pub(super) struct Promise {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fate: Option<Fate>,
    /// Who waits, by the index of the record.
    wakers: Vec<(i32, Waker)>,
}

impl Promise {
    /// Tells the fate, unless it was told.
    pub(super) fn tell(&self, fate: Fate) {
        let mut state = self.lock();
        if state.fate.is_some() {
            return;
        }
        state.fate = Some(fate);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn poll(&self, index: i32, context: &Context<'_>) -> Poll<Fate> {
        let mut state = self.lock();
        if let Some(fate) = &state.fate {
            return Poll::Ready(fate.clone());
        }
        // Who awaits the records of a batch one after another comes back with the newest one.
        let known = state.wakers.iter_mut().rev().find(|(it, _)| *it == index);
        match known {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.wakers.push((index, context.waker().clone())),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of one record: await it for the broker's answer, or drop it.
///
/// Cancel safety: it may be polled, dropped or moved to another task at any time; the record is
/// sent all the same, because dropping does not take it back.
#[derive(Debug)]
pub struct Delivery {
    partition: i32,
    /// The record's index in its batch.
    index: i32,
    timestamp: i64,
    promise: Arc<Promise>,
}

impl Delivery {
    pub(super) const fn new(
        partition: i32,
        index: i32,
        timestamp: i64,
        promise: Arc<Promise>,
    ) -> Self {
        Self {
            partition,
            index,
            timestamp,
            promise,
        }
    }

    /// The partition that the record went to.
    #[must_use]
    pub const fn partition(&self) -> i32 {
        self.partition
    }

    fn metadata(&self, stored: Stored) -> RecordMetadata {
        let offset = match stored.base_offset {
            base if base < 0 => -1,
            base => base + i64::from(self.index),
        };
        RecordMetadata {
            partition: self.partition,
            offset,
            timestamp: stored.append_time.unwrap_or(self.timestamp),
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let (promise, index) = match self.promise.poll(self.index, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Fate::Stored(stored)) => return Poll::Ready(Ok(self.metadata(stored))),
                Poll::Ready(Fate::Failed(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Fate::Split(first, start, second)) => match self.index - start {
                    index if index < 0 => (first, self.index),
                    index => (second, index),
                },
            };
            (self.promise, self.index) = (promise, index);
        }
    }
}
