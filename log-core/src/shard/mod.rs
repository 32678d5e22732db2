//! The owner of the logs of a data directory: it groups what many callers append, writes each
//! group at once, and makes it durable with as few syncs as it takes.
//!
//! Floor 7 of log-core. The broker runs [`Shard::commit_loop`] on one thread and [`Shard::tick`]
//! on another; a caller without threads uses [`Shard::append_wait`] and `tick`.
//!
//! Invariants
//! - A batch is acknowledged only after the mark that covers it has moved: written, or durable.
//! - Stage 1 (write) never waits for stage 2 (sync); what stage 1 writes while stage 2 syncs is
//!   never acknowledged by that sync.
//! - A failed sync, a write of unknown outcome or a panic poisons the shard: all who wait get the
//!   error, nothing is retried, reads up to the durable marks go on.
//! - Locks are taken in this order: names, upkeep, journal, a log, dirty, waiting. No lock but
//!   `journal` is held during a sync of stage 2, and none while a caller's code runs.

mod change;
mod close;
mod commit;
mod keys;
#[cfg(test)]
#[cfg(loom)]
mod models;
mod on_demand;
mod open;
mod poison;
mod reserve;
mod room;
mod scrub;
mod side_by_side;
mod space;
#[cfg(test)]
mod tests;
mod tick;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use highwater_proto::clock::{Mono, Now};

use self::commit::Waiting;
pub use self::room::Room;
use self::space::Space;
use self::tick::{Dirty, Upkeep};
use crate::combine::{Bell, Combine, Reply};
use crate::error::LogError;
use crate::journal::Journal;
use crate::keys::KeySeed;
use crate::log::{Appended, Log, LogReader, Recovered, Sent};
use crate::sync::{Mutex, lock};
use crate::types::{LogId, Offset};

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckAt {
    /// Once it is written: it survives the process (`acks=1`).
    Written,
    /// Once it is durable as its log's `durability` says (`acks=all`).
    Durable,
}

/// The answer that an append owes its caller: given exactly once. Dropped without one, it answers
/// [`LogError::Poisoned`], so that nobody hangs when a thread dies with it in hand.
pub struct Done(Option<Asker>);

enum Asker {
    Told(Box<dyn FnOnce(Result<Appended, LogError>) + Send>),
    /// A thread, which can be called to sync for all who wait.
    Blocked(Arc<Blocked>),
}

type Blocked = Reply<Result<Appended, LogError>>;

impl Done {
    /// Wraps what takes the answer. It runs on a thread of the shard, outside every lock; it must
    /// be quick, and it must not panic: that poisons the shard.
    pub fn new(answer: impl FnOnce(Result<Appended, LogError>) + Send + 'static) -> Self {
        Self(Some(Asker::Told(Box::new(answer))))
    }

    fn blocked(reply: Arc<Blocked>) -> Self {
        Self(Some(Asker::Blocked(reply)))
    }

    fn answer(mut self, result: Result<Appended, LogError>) {
        self.give(result);
    }

    fn give(&mut self, result: Result<Appended, LogError>) {
        match self.0.take() {
            Some(Asker::Told(answer)) => answer(result),
            Some(Asker::Blocked(reply)) => reply.give(result),
            None => {}
        }
    }

    /// Calls the thread that waits for the answer, if one does.
    fn call(&self) -> bool {
        match &self.0 {
            Some(Asker::Blocked(reply)) => reply.call(),
            Some(Asker::Told(_)) | None => false,
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.give(Err(LogError::Poisoned {
            why: DROPPED.to_owned(),
        }));
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

/// A batch on its way into a log.
#[derive(Debug)]
pub struct Append {
    /// Where it goes.
    pub log: LogId,
    /// The batch, checked, with its keys.
    pub sent: Sent,
    /// When it is answered.
    pub ack: AckAt,
    /// The caller's clock.
    pub now: Now,
    /// Who is answered.
    pub done: Done,
}

/// Limits of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// The largest size of each of the two journal files; below 8 KiB there is no journal.
    pub journal_bytes: u64,
    /// A log with more bytes in one cycle is synced by itself instead of being journaled.
    pub journal_batch_bytes_max: usize,
    /// The longest that journaled bytes stay there only, and that recovery points stay behind, in
    /// milliseconds.
    pub checkpoint_ms: u64,
    /// Free bytes of the disk below which appends fail with [`LogError::Full`]
    /// (`min.free.bytes`). `None`: 64 MiB, or a hundredth of the disk if that is more.
    pub min_free_bytes: Option<u64>,
    /// The size of a file that is given up when the disk is full, so that vital logs go on
    /// (`log.dirs.reserve.bytes`). There is none on a disk that has no size, as one in memory.
    pub reserve_bytes: u64,
    /// The most that all files of the directory may hold (`log.dirs.max.bytes`): before that,
    /// appends fail with [`LogError::OverLimit`]. `None` sets no limit.
    pub dir_bytes_max: Option<u64>,
    /// What the keys of logs that get their key index now are hashed with: random bytes, so that
    /// nobody can choose keys that collide.
    pub key_seed: KeySeed,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            journal_bytes: 64 << 20,
            journal_batch_bytes_max: 64 << 10,
            checkpoint_ms: 1000,
            min_free_bytes: None,
            reserve_bytes: 16 << 20,
            dir_bytes_max: None,
            key_seed: KeySeed::default(),
        }
    }
}

/// What a start found.
#[derive(Debug, Default)]
pub struct ShardRecovered {
    /// Whether the last stop was clean.
    pub is_clean: bool,
    /// Whether the data directory was made just now.
    pub is_new: bool,
    /// What each log found.
    pub logs: Vec<(LogId, Recovered)>,
    /// Batches that stood in the journal only.
    pub replayed_batches: u64,
    /// Stretches of the journal that were durable and cannot be read.
    pub journal_damaged: u64,
    /// Logs that lack bytes between their end and what the journal holds for them.
    pub gaps: Vec<JournalGap>,
}

/// Acknowledged batches of a log are lost: what the journal holds does not continue its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalGap {
    /// The log.
    pub log: LogId,
    /// Where the log ends.
    pub end: Offset,
    /// The first offset that the journal holds beyond it.
    pub journaled: Offset,
}

/// The logs of one data directory.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use highwater_log::config::LogConfig;
/// use highwater_log::data_dir::DataDir;
/// use highwater_log::fs::mem::MemFs;
/// use highwater_log::shard::{AckAt, Shard, ShardConfig};
/// use highwater_log::types::{LeaderEpoch, LogId, Offset};
/// use highwater_proto::batch::{ProduceLimits, validate_produced};
/// use highwater_proto::batch_builder::BatchBuilder;
/// use highwater_proto::clock::Now;
/// use highwater_proto::compress::Codec;
///
/// let now = Now::default();
/// let dir = DataDir::open(Arc::new(MemFs::new()), Path::new("/data"))?;
/// let (shard, _recovered) = Shard::open(dir, Vec::new(), ShardConfig::default(), now)?;
/// let id = LogId { topic: [7; 16], partition: 0 };
/// let reader = shard.add_log(id, LogConfig::default(), LeaderEpoch(0), now)?;
///
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.append(1_700_000_000_000, None, Some(b"hello"), &[])?;
/// let batch = validate_produced(&builder.build()?, &ProduceLimits::default())?;
/// let appended = shard.append_wait(id, batch, AckAt::Durable, now)?;
/// assert_eq!(appended.base_offset, Offset(0));
/// assert_eq!(reader.durable(), Offset(1));
/// shard.close(now)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    /// Held while logs come and go.
    names: Mutex<()>,
    slots: RwLock<BTreeMap<LogId, Arc<Slot>>>,
    /// Stage 1: what waits to be written.
    queue: Combine<Append>,
    /// Between the stages: what is written and waits to be durable.
    waiting: Mutex<Waiting>,
    commit_bell: Bell,
    committers: AtomicUsize,
    /// Stage 2: held for a whole cycle, so that cycles follow one another.
    journal: Mutex<Journal>,
    upkeep: Mutex<Upkeep>,
    /// Page-cache logs with bytes that are not synced.
    dirty: Mutex<BTreeMap<LogId, Dirty>>,
    work_bell: Bell,
    /// When [`Self::tick`] said that it wants to be called next, in nanoseconds.
    planned: AtomicU64,
    /// Bytes synced since the recovery points were written.
    unpointed_bytes: AtomicU64,
    space: Space,
    dropped_segments: AtomicU64,
    dropped_bytes: AtomicU64,
    poisoned: Mutex<Option<String>>,
    is_closed: AtomicBool,
    /// How many files stage 2 syncs at the same time.
    parallel_syncs: usize,
    hooks: Hooks,
}

/// One log, shared by those who look it up.
#[derive(Debug)]
struct Slot {
    id: LogId,
    reader: LogReader,
    /// Nothing: the log was removed or closed.
    log: Mutex<Option<Log>>,
    /// Whether appends go on below `min.free.bytes`.
    is_vital: AtomicBool,
}

/// A cycle of stage 2 that has come to its end, well or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Logs that had been written.
    pub logs: usize,
    /// Appends that waited for it.
    pub appends: usize,
    /// When the first batch of those that it covers was queued, by the clock of its caller.
    pub since: Mono,
}

/// What the owner wants to be told; each is set at most once.
#[derive(Default)]
#[expect(
    clippy::type_complexity,
    reason = "a name for them would hide what they take"
)]
struct Hooks {
    on_advance: OnceLock<Box<dyn Fn(&[LogId]) + Send + Sync>>,
    on_work: OnceLock<Box<dyn Fn() + Send + Sync>>,
    on_cycle: OnceLock<Box<dyn Fn(Cycle) + Send + Sync>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

impl Shard {
    /// The logs that are open, in order.
    #[must_use]
    pub fn log_ids(&self) -> Vec<LogId> {
        self.slots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect()
    }

    /// The readers' side of a log.
    #[must_use]
    pub fn reader(&self, id: LogId) -> Option<LogReader> {
        Some(self.slot(id)?.reader.clone())
    }

    /// Whether a failure has made the shard read-only, and which.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        lock(&self.poisoned).clone()
    }

    /// Calls `hook` once a cycle, outside all locks, with the logs whose readable end has moved.
    /// Only the first hook counts.
    pub fn on_advance(&self, hook: impl Fn(&[LogId]) + Send + Sync + 'static) {
        let _first_wins = self.hooks.on_advance.set(Box::new(hook));
    }

    /// Calls `hook` when [`Self::tick`] is wanted earlier than it said. Only the first hook
    /// counts. A thread uses [`Self::wait_for_work`] instead.
    pub fn on_work(&self, hook: impl Fn() + Send + Sync + 'static) {
        let _first_wins = self.hooks.on_work.set(Box::new(hook));
    }

    /// Calls `hook` at the end of each cycle, outside all locks, after its appends are answered.
    /// Only the first hook counts.
    pub fn on_cycle(&self, hook: impl Fn(Cycle) + Send + Sync + 'static) {
        let _first_wins = self.hooks.on_cycle.set(Box::new(hook));
    }

    /// Waits until [`Self::tick`] is wanted earlier than it said, the shard is closed, or the time
    /// is up; it may return early.
    pub fn wait_for_work(&self, at_most: Duration) {
        if !self.is_closed() {
            self.work_bell.wait_at_most(at_most);
        }
    }

    fn slot(&self, id: LogId) -> Option<Arc<Slot>> {
        self.slots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    fn all_slots(&self) -> Vec<Arc<Slot>> {
        self.slots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Removes the slots that are not `kept`.
    fn take_slots(&self, is_kept: impl Fn(&LogId) -> bool) -> Vec<Arc<Slot>> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots
            .extract_if(.., |id, _| !is_kept(id))
            .map(|(_, slot)| slot)
            .collect()
    }

    fn announce(&self, advanced: &[LogId]) {
        if let Some(hook) = self.hooks.on_advance.get().filter(|_| !advanced.is_empty()) {
            hook(advanced);
        }
    }

    fn want_tick(&self) {
        self.work_bell.ring();
        if let Some(hook) = self.hooks.on_work.get() {
            hook();
        }
    }
}

const DROPPED: &str = "the thread that carried the append is gone";
