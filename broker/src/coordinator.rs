//! Runs one machine over one internal log: append its records, wait until they are durable, apply
//! them, answer.
//!
//! Floor 3 of broker.
//!
//! Invariants
//! - Of all decisions with one key, at most one is being written; it decides after the one before
//!   it was applied.
//! - A decision that was begun is finished, also when its caller is gone.
//! - No decision is written while the whole state is: a snapshot misses nothing.

mod batch;
mod replay;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use highwater_log::error::LogError;
use highwater_log::log::Appended;
use highwater_log::shard::AckAt;
use highwater_log::types::LogId;
use highwater_proto::clock::Clock;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};

use crate::machine::{Effects, Machine};
use crate::shard::Shard;

pub use batch::batch_of;
pub use replay::{ReplayError, Replayed, replay, replay_records};

/// A machine and its log.
#[derive(Debug)]
pub struct Coordinator<M> {
    shared: Arc<Shared<M>>,
    runtime: Handle,
    decisions: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared<M> {
    machine: RwLock<M>,
    shard: Arc<Shard>,
    clock: Arc<dyn Clock>,
    log: LogId,
    lanes: [Mutex<()>; LANES_COUNT],
    /// Decisions share it, a snapshot has it alone.
    writers: tokio::sync::RwLock<()>,
    snapshot_bytes: u64,
    /// Bytes of the log since its last snapshot.
    log_bytes: AtomicU64,
}

/// What a coordinator runs over.
#[derive(Debug)]
pub struct CoordinatorOptions {
    /// Where the log is.
    pub shard: Arc<Shard>,
    /// The log; it is open.
    pub log: LogId,
    /// The time that the records get.
    pub clock: Arc<dyn Clock>,
    /// Where decisions go on when their callers are gone.
    pub runtime: Handle,
    /// Bytes of the log after which the whole state is written anew.
    pub snapshot_bytes: u64,
}

impl<M: Machine> Coordinator<M> {
    /// A machine that has replayed this log.
    #[must_use]
    pub fn new(replayed: Replayed<M>, options: CoordinatorOptions) -> Self {
        let shared = Shared {
            machine: RwLock::new(replayed.machine),
            shard: options.shard,
            clock: options.clock,
            log: options.log,
            lanes: std::array::from_fn(|_| Mutex::new(())),
            writers: tokio::sync::RwLock::default(),
            snapshot_bytes: options.snapshot_bytes,
            log_bytes: AtomicU64::new(replayed.bytes),
        };
        let decisions = Arc::new(Semaphore::new(DECISIONS_MAX));
        Self {
            shared: Arc::new(shared),
            runtime: options.runtime,
            decisions,
        }
    }

    /// Looks at the machine's state.
    pub fn read<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.shared.machine())
    }

    /// Decides, writes the records of the decision, applies them once they are durable, and gives
    /// the reply. On an error nothing was applied.
    pub async fn write<R: Send + 'static>(
        &self,
        key: impl Hash,
        decide: impl FnOnce(&M) -> Effects<M::Record, R> + Send + 'static,
    ) -> Result<R, LogError>
    where
        M::Record: Encode,
    {
        let Ok(permit) = Arc::clone(&self.decisions).acquire_owned().await else {
            return Err(LogError::Closed);
        };
        let lane = lane_of(key);
        let shared = Arc::clone(&self.shared);
        let task = self.runtime.spawn(async move {
            let result = shared.write(lane, decide).await;
            drop(permit);
            result
        });
        // The task fails only when the runtime is being shut down, or the machine panicked.
        task.await.unwrap_or(Err(LogError::Closed))
    }
}

/// A record that has a form in bytes.
pub trait Encode: Sized {
    /// The bytes of the record.
    fn encode(&self) -> Vec<u8>;

    /// The record of the bytes, or a sentence that says why they are none.
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

impl Encode for crate::meta::MetaRecord {
    fn encode(&self) -> Vec<u8> {
        Self::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }
}

impl<M: Machine> Shared<M>
where
    M::Record: Encode,
{
    async fn write<R>(
        &self,
        lane: usize,
        decide: impl FnOnce(&M) -> Effects<M::Record, R>,
    ) -> Result<R, LogError> {
        self.snapshot_if_due().await;
        let _writing = self.writers.read().await;
        let _turn = self.lanes[lane].lock().await;
        let Effects { records, reply } = decide(&self.machine());
        if !records.is_empty() {
            self.append(&records).await?;
            let mut machine = self.machine_mut();
            records.iter().for_each(|record| machine.apply(record));
        }
        Ok(reply)
    }

    /// Writes the whole state and lets go of the log before it, when the log has grown enough.
    async fn snapshot_if_due(&self) {
        if self.log_bytes.load(Ordering::Relaxed) < self.snapshot_bytes {
            return;
        }
        let _alone = self.writers.write().await;
        // Another caller may have written the snapshot while this one waited.
        if self.log_bytes.load(Ordering::Relaxed) < self.snapshot_bytes {
            return;
        }
        let snapshot = self.machine().snapshot();
        if let Err(error) = self.replace_log(&snapshot).await {
            tracing::warn!(log = %self.log, %error, "the state was not written anew, later again");
        }
        // What is written counts from here on: neither a failure nor a state that is larger than
        // the limit may make every change write the whole state.
        self.log_bytes.store(0, Ordering::Relaxed);
    }

    async fn replace_log(&self, snapshot: &[M::Record]) -> Result<(), LogError> {
        let appended = self.append(snapshot).await?;
        // Replay forgets what stands before a snapshot, so that a failure here loses nothing.
        self.shard
            .delete_records(self.log, appended.base_offset)
            .await
            .map(drop)
    }

    /// Appends records as one batch; returns when they are durable.
    async fn append(&self, records: &[M::Record]) -> Result<Appended, LogError> {
        let encoded = records
            .iter()
            .map(|record| (None::<Vec<u8>>, Some(record.encode())));
        let batch = batch_of(self.clock.now().wall, encoded)?;
        let bytes = batch.bytes().len() as u64;
        let pending = self
            .shard
            .enqueuer()
            .enqueue(self.log, batch, AckAt::Durable)
            .await;
        let appended = pending.await?;
        self.log_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(appended)
    }
}

impl<M> Shared<M> {
    fn machine(&self) -> RwLockReadGuard<'_, M> {
        // A machine is only changed by `apply`, which is total; a decision that panics has not
        // changed it.
        self.machine.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn machine_mut(&self) -> RwLockWriteGuard<'_, M> {
        self.machine.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lane_of(key: impl Hash) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    usize::try_from(hash % LANES_COUNT as u64).expect("it is below the count of the lanes")
}

/// Keys that share a lane wait for each other; two machines' worth of cores never fill these.
const LANES_COUNT: usize = 64;
/// Decisions that are begun and not finished; further ones wait.
const DECISIONS_MAX: usize = 1024;
