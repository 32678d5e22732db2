//! What is under way on tasks: calls of the handler, and dead letters.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Each task has one end, also one that panics or is dropped.

use std::any::Any;
use std::collections::HashMap;

use tokio::task::{self, AbortHandle, JoinError, JoinSet};

use crate::error::ClientError;
use crate::failure::{FailureClass, HandlerError};
use crate::retry::machine::{Id, Place};

#[derive(Default)]
pub(super) struct Work {
    tasks: JoinSet<Done>,
    jobs: HashMap<task::Id, Job>,
}

struct Job {
    id: Id,
    kind: Kind,
    abort: AbortHandle,
}

#[derive(Clone, Copy)]
enum Kind {
    Call,
    Record,
}

enum Done {
    Called(Result<(), HandlerError>),
    Recorded(Result<(), ClientError>),
}

/// The end of a task.
pub(super) enum Ended {
    Called(Id, Result<(), HandlerError>),
    Recorded(Id, Result<(), ClientError>),
}

impl Work {
    pub(super) fn call(
        &mut self,
        id: Id,
        call: impl Future<Output = Result<(), HandlerError>> + Send + 'static,
    ) {
        let call = async move { Done::Called(call.await) };
        let abort = self.tasks.spawn(call);
        self.note(id, Kind::Call, abort);
    }

    pub(super) fn record(
        &mut self,
        id: Id,
        stored: impl Future<Output = Result<(), ClientError>> + Send + 'static,
    ) {
        let stored = async move { Done::Recorded(stored.await) };
        let abort = self.tasks.spawn(stored);
        self.note(id, Kind::Record, abort);
    }

    fn note(&mut self, id: Id, kind: Kind, abort: AbortHandle) {
        self.jobs.insert(abort.id(), Job { id, kind, abort });
    }

    /// Drops what is under way in a partition; each has its end all the same.
    pub(super) fn abort(&self, place: &Place) {
        let jobs = self.jobs.values().filter(|job| job.id.place == *place);
        jobs.for_each(|job| job.abort.abort());
    }

    pub(super) fn abort_all(&mut self) {
        self.tasks.abort_all();
    }

    /// Waits for the next end; without anything under way, for ever. May be dropped without a loss.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let task = match &joined {
                Ok((task, _)) => *task,
                Err(error) => error.id(),
            };
            let Some(Job { id, kind, .. }) = self.jobs.remove(&task) else {
                continue;
            };
            return match (joined, kind) {
                (Ok((_, Done::Called(result))), _) => Ended::Called(id, result),
                (Ok((_, Done::Recorded(result))), _) => Ended::Recorded(id, result),
                (Err(error), Kind::Call) => Ended::Called(id, Err(failure(error))),
                (Err(error), Kind::Record) => {
                    let why = format!("the task that stored it ended: {error}");
                    Ended::Recorded(id, Err(ClientError::Unknown(why)))
                }
            };
        }
    }
}

/// Why a call has no result.
fn failure(error: JoinError) -> HandlerError {
    match error.try_into_panic() {
        Ok(panic) => {
            let why = format!("the handler panicked: {}", words(&*panic));
            HandlerError::new(FailureClass::Panic, why)
        }
        Err(_) => HandlerError::retry("the call was dropped: its partition has gone"),
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it did not say why")
}
