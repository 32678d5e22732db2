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
use crate::handler::Undone;
use crate::retry::machine::{Id, Place};

#[derive(Default)]
pub(super) struct Work {
    tasks: JoinSet<Ended>,
    jobs: HashMap<task::Id, Job>,
}

struct Job {
    what: What,
    abort: AbortHandle,
}

enum What {
    Call(Id),
    CallTogether(Vec<Id>),
    Record(Id),
}

/// The end of a task.
pub(super) enum Ended {
    Called(Id, Result<(), HandlerError>),
    CalledTogether(Vec<Id>, Result<(), Undone>),
    Recorded(Id, Result<(), ClientError>),
}

impl Work {
    pub(super) fn call(
        &mut self,
        id: Id,
        call: impl Future<Output = Result<(), HandlerError>> + Send + 'static,
    ) {
        let what = What::Call(id.clone());
        self.spawn(what, async move { Ended::Called(id, call.await) });
    }

    pub(super) fn call_together(
        &mut self,
        ids: Vec<Id>,
        call: impl Future<Output = Result<(), Undone>> + Send + 'static,
    ) {
        let what = What::CallTogether(ids.clone());
        self.spawn(what, async move { Ended::CalledTogether(ids, call.await) });
    }

    pub(super) fn record(
        &mut self,
        id: Id,
        stored: impl Future<Output = Result<(), ClientError>> + Send + 'static,
    ) {
        let what = What::Record(id.clone());
        self.spawn(what, async move { Ended::Recorded(id, stored.await) });
    }

    fn spawn(&mut self, what: What, work: impl Future<Output = Ended> + Send + 'static) {
        let abort = self.tasks.spawn(work);
        self.jobs.insert(abort.id(), Job { what, abort });
    }

    /// Drops what is under way in a partition; each has its end all the same.
    pub(super) fn abort(&self, place: &Place) {
        let jobs = self.jobs.values().filter(|job| job.what.is_of(place));
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
            let Some(Job { what, .. }) = self.jobs.remove(&task) else {
                continue;
            };
            return match (joined, what) {
                (Ok((_, ended)), _) => ended,
                (Err(error), What::Call(id)) => Ended::Called(id, Err(failure(error))),
                (Err(_), What::CallTogether(ids)) => Ended::CalledTogether(ids, Err(Undone)),
                (Err(error), What::Record(id)) => {
                    let why = format!("the task that stored it ended: {error}");
                    Ended::Recorded(id, Err(ClientError::Unknown(why)))
                }
            };
        }
    }
}

impl What {
    fn is_of(&self, place: &Place) -> bool {
        let id = match self {
            Self::Call(id) | Self::Record(id) => Some(id),
            Self::CallTogether(ids) => ids.first(),
        };
        id.is_some_and(|id| id.place == *place)
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
