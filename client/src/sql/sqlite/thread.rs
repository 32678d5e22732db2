//! The threads that statements run on: they may block, those of the runtime may not.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - A statement goes to such a thread and comes back, which costs two wake-ups; within work that
//!   was moved there as a whole it runs where it is.
//! - Moved work that nobody waits for any more ends at its next statement.

use std::cell::Cell;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinError, spawn_blocking};

use crate::sql::error::SqlError;

thread_local! {
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// Runs what blocks.
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, SqlError> {
    if MAY_BLOCK.get() {
        // So that whoever moved it can take it back.
        tokio::task::yield_now().await;
        return Ok(work());
    }
    let done = spawn_blocking(work).await.map_err(unwound);
    done.map_err(|()| SqlError::Unavailable("the runtime shuts down".to_owned()))
}

/// Moves work to one thread, with all statements in it.
pub(super) async fn on_one<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> R {
    let runtime = Handle::current();
    let (waits, is_left) = oneshot::channel::<()>();
    let moved = spawn_blocking(move || {
        let _here = Here::enter();
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = is_left => None,
                done = work => Some(done),
            }
        })
    });
    let done = moved.await.map_err(unwound);
    drop(waits);
    match done {
        Ok(Some(done)) => done,
        // The runtime shuts down, and nobody waits.
        Ok(None) | Err(()) => std::future::pending().await,
    }
}

/// Lets a panic go on here; else the task was dropped.
fn unwound(failed: JoinError) {
    if let Ok(panic) = failed.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

/// Makes this thread one that may block, for as long as it lives.
struct Here;

impl Here {
    fn enter() -> Self {
        MAY_BLOCK.set(true);
        Self
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        MAY_BLOCK.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;

    fn here() -> thread::ThreadId {
        thread::current().id()
    }

    #[tokio::test]
    async fn moved_work_has_its_statements_where_it_is() {
        assert_ne!(blocking(here).await.unwrap(), here());
        let moved = on_one(async {
            let mut threads = vec![here()];
            for _ in 0..3 {
                threads.push(blocking(here).await.unwrap());
            }
            threads
        });
        let threads = moved.await;
        assert_ne!(threads[0], here());
        assert!(threads.iter().all(|it| *it == threads[0]), "{threads:?}");
    }

    #[tokio::test]
    async fn moved_work_that_is_left_ends_at_its_next_statement() {
        let (begun, has_begun) = oneshot::channel();
        let (held, is_dropped) = oneshot::channel::<()>();
        let (left, is_left) = mpsc::sync_channel::<()>(1);
        let ran = Arc::new(AtomicBool::new(false));
        let runs = Arc::clone(&ran);
        let work = on_one(async move {
            let _held = held;
            begun.send(()).unwrap();
            is_left.recv().unwrap();
            blocking(move || runs.store(true, Ordering::SeqCst))
                .await
                .unwrap();
        });
        tokio::select! {
            () = work => unreachable!("it waits"),
            begun = has_begun => begun.unwrap(),
        }
        left.send(()).unwrap();
        assert!(is_dropped.await.is_err());
        assert!(!ran.load(Ordering::SeqCst));
    }
}
