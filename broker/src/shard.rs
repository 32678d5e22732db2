//! The asynchronous shell of the shard: room in its queue, its threads, its waiting readers.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - The bytes of all batches that wait to be written or synced stay below `queued.max.bytes`,
//!   but for one larger batch.
//! - No asynchronous caller syncs: commits run on a thread of their own, the rest of the disk's
//!   slow work on the runtime's blocking threads.
//! - Logs are opened, reconfigured and removed one call at a time, and such a call goes on when
//!   its caller is gone.

mod append;
mod committer;
mod metered_fs;
mod open;
mod scrub;
mod upkeep;
mod waiters;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_log::config::LogConfig;
use highwater_log::error::LogError;
use highwater_log::fs::Fs;
use highwater_log::reader::LogReader;
use highwater_log::shard::{Room, Shard as Core};
use highwater_log::types::{LeaderEpoch, LogId, Offset};
use highwater_proto::clock::Clock;
use tokio::sync::{Notify, OwnedMutexGuard, Semaphore, watch};

use crate::metrics::Metrics;
use crate::workers::Workers;
use committer::Committer;

pub use append::{Enqueuer, PendingAppend};
pub use open::{OpenedShard, ShardOptions};
pub use waiters::{Parked, Waiters};

/// The room on a disk, in bytes; `None` where the disk does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// What it has in all.
    pub total_bytes: Option<u64>,
    /// What this process may still write.
    pub free_bytes: Option<u64>,
}

/// All logs of a broker, for asynchronous callers.
#[derive(Debug)]
pub struct Shard {
    core: Arc<Core>,
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    workers: Workers,
    metrics: Arc<Metrics>,
    room: Arc<Semaphore>,
    room_bytes: u32,
    turn: Arc<tokio::sync::Mutex<()>>,
    waiters: Arc<Waiters>,
    work: Arc<Notify>,
    /// Whether there is nothing more to be done: the shard is closed or poisoned.
    is_over: watch::Sender<bool>,
    committer: Committer,
}

impl Shard {
    /// The readers that wait for records.
    #[must_use]
    pub fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    /// The reader of a log that is open.
    #[must_use]
    pub fn reader(&self, id: LogId) -> Option<LogReader> {
        self.core.reader(id)
    }

    /// Every log that is open.
    #[must_use]
    pub fn log_ids(&self) -> Vec<LogId> {
        self.core.log_ids()
    }

    /// Why nothing can be written any more, if that is so.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.core.poisoned()
    }

    /// Waits until nothing can be written any more, and answers why. Pending for ever if the shard
    /// is closed in good order.
    pub async fn until_poisoned(&self) -> String {
        let mut over = self.is_over.subscribe();
        // The sender is part of this shard.
        drop(over.wait_for(|is_over| *is_over).await);
        match self.poisoned() {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// The room for records, and what was done for it.
    #[must_use]
    pub fn records_room(&self) -> Room {
        self.core.room()
    }

    /// Where commits and syncs are counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Bytes of the batches that wait to be written or synced, and how many there may be.
    #[must_use]
    pub fn queued_bytes(&self) -> (u64, u64) {
        let bytes_max = u64::from(self.room_bytes);
        let free = self.room.available_permits() as u64;
        (bytes_max.saturating_sub(free), bytes_max)
    }

    /// Fails if an append would be refused now for lack of room.
    pub fn expect_room(&self) -> Result<(), LogError> {
        self.core.expect_room(self.clock.now())
    }

    /// Opens a log at its first use. `plan` is asked when it is this call's turn: it says with
    /// which config and epoch, or that the log may not be opened any more.
    pub async fn open_log(
        &self,
        id: LogId,
        plan: impl FnOnce() -> Option<(LogConfig, LeaderEpoch)>,
    ) -> Result<(), LogError> {
        let turn = self.turn().await;
        if self.core.reader(id).is_some() {
            return Ok(());
        }
        let (config, epoch) = plan().ok_or(LogError::Closed)?;
        let now = self.clock.now();
        self.in_turn(turn, move |core| {
            core.add_log(id, config, epoch, now).map(drop)
        })
        .await
    }

    /// Gives new policies to those of the logs that are open. `policy` is asked when it is this
    /// call's turn, so that of two calls the later one decides; `None` changes nothing.
    pub async fn set_config(
        &self,
        ids: Vec<LogId>,
        policy: impl FnOnce() -> Option<LogConfig>,
    ) -> Result<(), LogError> {
        let turn = self.turn().await;
        let Some(config) = policy() else {
            return Ok(());
        };
        self.in_turn(turn, move |core| {
            let mut open = ids.into_iter().filter(|id| core.reader(*id).is_some());
            open.try_for_each(|id| core.set_config(id, config.clone()))
        })
        .await
    }

    /// Removes the files of logs, and what an earlier attempt has left of them.
    pub async fn remove_logs(&self, ids: Vec<LogId>) -> Result<(), LogError> {
        let turn = self.turn().await;
        self.in_turn(turn, move |core| {
            // With the open ones the topic's directory goes, and the others cost next to nothing.
            let is_open = |id: &LogId| core.reader(*id).is_some();
            let (open, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_open);
            open.into_iter()
                .chain(others)
                .try_for_each(|id| core.remove_log(id))
        })
        .await
    }

    /// Deletes the records of a log below an offset; answers the log's first offset, durably.
    /// Wakes the log's readers: what they wait for may be gone.
    pub async fn delete_records(&self, id: LogId, before: Offset) -> Result<Offset, LogError> {
        let (now, waiters) = (self.clock.now(), Arc::clone(&self.waiters));
        self.blocking(move |core| {
            let deleted = core.delete_records(id, before, now);
            waiters.moved([id]);
            deleted
        })
        .await
    }

    /// Syncs logs up to an offset each, so that what is made durable next may point there.
    pub async fn sync_up_to(&self, ends: Vec<(LogId, Offset)>) -> Result<(), LogError> {
        self.blocking(move |core| core.sync_up_to(&ends)).await
    }

    /// Begins a new segment of a log; answers its first offset.
    pub async fn roll(&self, id: LogId) -> Result<Offset, LogError> {
        let now = self.clock.now();
        self.blocking(move |core| core.roll(id, now)).await
    }

    /// Removes what the policies of the logs no longer keep, and wakes their readers: what they
    /// wait for may be gone.
    pub async fn apply_retention(&self) -> Result<(), LogError> {
        let now = self.clock.now();
        let retired = self.blocking(move |core| core.apply_retention(now)).await?;
        self.waiters.moved(retired.into_iter().map(|(log, _)| log));
        Ok(())
    }

    /// Makes the key indexes small and whole; answers the logs where that failed.
    pub async fn merge_keys(&self) -> Vec<(LogId, LogError)> {
        let merged = self.blocking(|core| Ok(core.merge_keys())).await;
        merged.unwrap_or_default()
    }

    /// Starts a leader epoch in every log that does not have it yet.
    pub async fn raise_epochs(&self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.blocking(move |core| core.raise_epochs(epoch)).await
    }

    /// Moves the logs that are not known to `lost+found`; answers where they went.
    pub async fn move_aside(&self, known: BTreeSet<LogId>) -> Result<Vec<PathBuf>, LogError> {
        self.blocking(move |core| core.move_aside(&known)).await
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The room on the disk of the data directory.
    pub async fn disk_space(&self) -> Result<DiskSpace, LogError> {
        let (fs, dir) = (Arc::clone(&self.fs), self.dir.clone());
        let space = self.blocking(move |_| {
            // Where there is no end to the disk, nobody can be told how much of it is left.
            let total_bytes = fs.total_bytes(&dir).ok().flatten();
            let free_bytes = total_bytes.and_then(|_| fs.free_bytes(&dir).ok());
            Ok(DiskSpace {
                total_bytes,
                free_bytes,
            })
        });
        space.await
    }

    /// Lets a log be written when the disk is full: without it nothing could be deleted.
    pub fn mark_vital(&self, id: LogId) {
        self.core.mark_vital(id);
    }

    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Does `work` on a blocking thread and ends the turn when it is done, whether or not the
    /// caller still waits.
    async fn in_turn<T: Send + 'static>(
        &self,
        turn: OwnedMutexGuard<()>,
        work: impl FnOnce(&Core) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        self.blocking(move |core| {
            let result = work(core);
            drop(turn);
            result
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Core) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let core = Arc::clone(&self.core);
        // The task fails only when the runtime is being shut down.
        self.workers
            .spawn_blocking(move || work(&core))
            .await
            .unwrap_or(Err(LogError::Closed))
    }

    /// Syncs and closes every log and ends the commit thread. Blocks; may be called again.
    pub fn close(&self) -> Result<(), LogError> {
        let closed = self.core.close(self.clock.now());
        self.end_committer();
        closed
    }

    /// Lets go of everything as it is, as if the process had died: the next start is one after an
    /// unclean stop. Blocks.
    pub fn abandon(&self) {
        self.core.abandon();
        self.end_committer();
    }

    fn end_committer(&self) {
        self.room.close();
        self.waiters.close();
        self.committer.end();
    }
}
