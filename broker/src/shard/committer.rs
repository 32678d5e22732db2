//! What runs the shard's commits: a thread of its own, or a task where there are to be none.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Whatever was written is synced without anybody asking for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use highwater_log::shard::Shard as Core;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::BrokerError;
use crate::workers::{Slow, Workers};

/// The one committer of a shard.
#[derive(Debug)]
pub(super) enum Committer {
    /// The shard wakes it by itself.
    Thread(Mutex<Option<JoinHandle<()>>>),
    Task {
        wanted: Arc<Notify>,
        task: AbortHandle,
    },
}

impl Committer {
    pub(super) fn start(core: &Arc<Core>, workers: &Workers) -> Result<Self, BrokerError> {
        let core = Arc::clone(core);
        if workers.slow() == Slow::Tasks {
            let wanted = Arc::new(Notify::new());
            let task = workers.spawn(commit_when(Arc::clone(&wanted), core));
            let task = task.abort_handle();
            return Ok(Self::Task { wanted, task });
        }
        let thread = Builder::new().name("highwater-commit".to_owned());
        let spawned = thread.spawn(move || core.commit_loop());
        let thread = spawned.map_err(|source| BrokerError::System {
            op: "start the commit thread",
            source,
        })?;
        Ok(Self::Thread(Mutex::new(Some(thread))))
    }

    /// Something was written.
    pub(super) fn wake(&self) {
        if let Self::Task { wanted, .. } = self {
            wanted.notify_one();
        }
    }

    /// Ends it; the shard is closed. Blocks.
    pub(super) fn end(&self) {
        match self {
            Self::Thread(thread) => {
                let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(thread) = thread {
                    // A panic of the thread has poisoned the shard; there is nothing to add here.
                    drop(thread.join());
                }
            }
            Self::Task { task, .. } => task.abort(),
        }
    }
}

async fn commit_when(wanted: Arc<Notify>, core: Arc<Core>) {
    loop {
        wanted.notified().await;
        while core.write_once() | core.sync_once() {}
    }
}
