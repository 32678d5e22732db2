//! Appending: wait for room in the queue, enqueue, and a future for the outcome.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - A batch stands in the queue when `enqueue` returns; batches of one caller stand in order.
//! - Nobody waits for room that only batches of the same caller take: they are written first.
//! - Room is given back when the outcome is known, not when somebody looks at it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use highwater_log::error::LogError;
use highwater_log::keys::RecordKey;
use highwater_log::log::{Appended, Sent};
use highwater_log::shard::{AckAt, Append, Done};
use highwater_log::types::LogId;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, oneshot};

use crate::shard::Shard;

/// The outcome of an append, once it is known. Dropping it undoes nothing.
#[derive(Debug)]
pub struct PendingAppend {
    outcome: oneshot::Receiver<Result<Appended, LogError>>,
}

impl Future for PendingAppend {
    type Output = Result<Appended, LogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is dropped unused only when the shard is gone.
        Pin::new(&mut self.outcome)
            .poll(context)
            .map(|sent| sent.unwrap_or(Err(LogError::Closed)))
    }
}

impl Shard {
    /// Begins to enqueue batches that are written together.
    #[must_use]
    pub fn enqueuer(&self) -> Enqueuer<'_> {
        Enqueuer {
            shard: self,
            is_behind: false,
        }
    }
}

/// Enqueues batches; they are written at the latest when this is dropped.
#[derive(Debug)]
pub struct Enqueuer<'a> {
    shard: &'a Shard,
    /// Something is queued that nobody may be writing.
    is_behind: bool,
}

impl Enqueuer<'_> {
    /// Waits for room, then enqueues a batch for a log that is open.
    pub async fn enqueue(
        &mut self,
        log: LogId,
        sent: impl Into<Sent>,
        ack: AckAt,
    ) -> PendingAppend {
        self.enqueue_seen(log, sent, ack, |_| {}).await
    }

    /// [`Self::enqueue`]; `seen` is shown the outcome as soon as it is known, by whoever finds it
    /// out, also if the caller is gone. It does not hold anybody up.
    pub async fn enqueue_seen(
        &mut self,
        log: LogId,
        sent: impl Into<Sent>,
        ack: AckAt,
        seen: impl FnOnce(&Result<Appended, LogError>) + Send + 'static,
    ) -> PendingAppend {
        let (done, outcome) = oneshot::channel();
        let sent = sent.into();
        match self.room(bytes_of(&sent)).await {
            Ok(room) => {
                let done = Done::new(move |result| {
                    drop(room);
                    seen(&result);
                    // The caller may have gone; the batch is stored all the same.
                    drop(done.send(result));
                });
                let now = self.shard.clock.now();
                self.shard.core.enqueue(Append {
                    log,
                    sent,
                    ack,
                    now,
                    done,
                });
                self.is_behind = true;
            }
            Err(_closed) => drop(done.send(Err(LogError::Closed))),
        }
        PendingAppend { outcome }
    }

    async fn room(&mut self, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        // A batch that is larger than the queue takes the whole queue.
        let wanted = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .min(self.shard.room_bytes);
        if let Ok(room) = Arc::clone(&self.shard.room).try_acquire_many_owned(wanted) {
            return Ok(room);
        }
        // The room may be taken by batches of this very call, which must not wait for it.
        self.write();
        Arc::clone(&self.shard.room)
            .acquire_many_owned(wanted)
            .await
    }

    fn write(&mut self) {
        if std::mem::take(&mut self.is_behind) {
            self.shard.core.write_once();
            self.shard.committer.wake();
        }
    }
}

/// The memory that a batch takes while it waits: many records may be packed into few bytes.
fn bytes_of(sent: &Sent) -> usize {
    let keys = sent.keyed.as_ref().map_or(0, |keyed| keyed.records.len());
    sent.batch.bytes().len() + keys * size_of::<RecordKey>()
}

impl Drop for Enqueuer<'_> {
    fn drop(&mut self) {
        self.write();
    }
}
