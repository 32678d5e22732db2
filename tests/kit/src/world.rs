//! A shard on a simulated disk, and the client that uses it: steps in, answers and contents out.
//!
//! Invariants
//! - One thread, in a fixed order: the same steps on the same disk are the same calls.
//! - What the shard answers, and what a reader sees, goes into the model at once.
//! - An error is fine only while the disk fails, or behind a failure that made the shard read-only.

mod appends;
mod checks;
mod policy;

use std::path::Path;
use std::sync::{Arc, Mutex};

use highwater_log::config::{Durability, LogConfig};
use highwater_log::data_dir::DataDir;
use highwater_log::error::LogError;
use highwater_log::fs::Fs;
use highwater_log::reader::LogReader;
use highwater_log::shard::{AckAt, Shard, ShardConfig};
use highwater_log::types::LogId;

use self::appends::Answer;
pub use self::checks::Damage;
use crate::client::{self, A, B, Client, DATA_DIR, P, RETENTION_MS, SEGMENT_MS, Shape};
use crate::model::Removal;
use crate::oracle::{Oracle, Survived, Violation, violation};
use crate::rng::Rng;
use crate::sabotage::{Sabotage, SabotagedFs};
use crate::sim_fs::{Crash, Errno, SimFs};
use crate::watch::Watch;
use crate::workload::Step;

/// A shard in use.
pub struct World {
    /// The disk below the shard.
    pub disk: SimFs,
    /// What the client knows.
    pub client: Client,
    shard: Option<Arc<Shard>>,
    answers: Arc<Mutex<Vec<Answer>>>,
    sabotage: Option<Sabotage>,
    shape: Shape,
    watch: Watch,
    /// Failures of the disk that are no excuse any more: it works again.
    healed: u64,
    /// Whether little room is left on the disk, so that batches are refused.
    is_full: bool,
    /// Whether the disk lost or changed what it had said it has.
    is_damaged: bool,
    /// Whether calls of the disk failed since the last start: on a full disk indexes are given up
    /// for room, and made anew by the next start.
    was_faulty: bool,
}

/// Why a workload does not go on.
#[derive(Debug)]
pub enum Stop {
    /// The simulated process died, as it was told to.
    Dead,
    /// The shard answered an error while the disk failed, as it was told to.
    Refused(LogError),
    /// A rule is broken.
    Broken(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

impl World {
    /// A client in front of a disk; nothing is open yet.
    #[must_use]
    pub fn new(disk: SimFs, client: Client, sabotage: Option<Sabotage>) -> Self {
        Self {
            disk,
            client,
            shard: None,
            answers: Arc::default(),
            sabotage,
            shape: Shape::SMALL,
            watch: Watch::default(),
            healed: 0,
            is_full: false,
            is_damaged: false,
            was_faulty: false,
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The same with somebody who watches the disk.
    #[must_use]
    pub fn with_watch(self, watch: Watch) -> Self {
        Self { watch, ..self }
    }

    /// A world on an empty disk that works, open.
    ///
    /// # Panics
    /// If it does not open.
    #[must_use]
    pub fn new_started() -> Self {
        let mut world = Self::new(SimFs::new(0), Client::new(), None);
        world.start().expect("an empty disk can be opened");
        world
    }

    /// The world after a crash right now: what is left of the disk, and the client.
    #[must_use]
    pub fn crash(&self, crash: Crash, rng: &mut Rng) -> Self {
        self.after(crash, rng, self.client.clone())
    }

    /// As [`Self::crash`]; the client moves on, so that this world is of no use any more.
    #[must_use]
    pub fn take_crash(&mut self, crash: Crash, rng: &mut Rng) -> Self {
        let client = std::mem::take(&mut self.client);
        self.after(crash, rng, client)
    }

    fn after(&self, crash: Crash, rng: &mut Rng, client: Client) -> Self {
        Self::new(self.disk.image(crash, rng), client, self.sabotage)
            .with_shape(self.shape)
            .with_watch(self.watch.clone())
            .with_past(self)
    }

    fn with_past(self, before: &Self) -> Self {
        Self {
            is_damaged: before.is_damaged,
            was_faulty: before.was_faulty || before.disk.fired() > 0,
            ..self
        }
    }

    /// From now on the disk may have lost or changed what it had said it has: a start may have more
    /// to read, and more to keep.
    pub fn distrust(&mut self) {
        self.is_damaged = true;
    }

    /// The same once more, on a disk of its own that no process uses.
    #[must_use]
    pub fn copy(&self) -> Self {
        self.crash(Crash::Killed, &mut Rng::new(0))
    }

    /// Opens the data directory with every log that the client knows, and the first three. What
    /// was open goes as in the death of a process.
    ///
    /// # Errors
    /// What stopped the start, or that it read more than it had to, or that something is left of a
    /// log that is gone.
    pub fn start(&mut self) -> Result<(), Stop> {
        self.end_process();
        self.disk.remount();
        self.try_start().inspect_err(|_| self.end_process())
    }

    /// What waits for an answer waits for ever.
    fn end_process(&mut self) {
        self.shard = None;
        self.answers = Arc::default();
    }

    fn try_start(&mut self) -> Result<(), Stop> {
        let (fs, now) = (self.fs(), self.client.now);
        let known = [A, B, P].into_iter().chain(self.client.ids());
        let known = known.map(|id| (id, self.config(id))).collect();
        let read_before = self.watch.read_bytes();
        let opened = DataDir::open(fs, Path::new(DATA_DIR))
            .and_then(|dir| Shard::open(dir, known, self.shard_config(), now));
        let (shard, recovered) = self.allow(opened)?;
        self.shard = Some(shard);
        self.check_work(read_before, &recovered)?;
        if !recovered.is_clean && self.shape.raises_epochs {
            self.client.epoch.0 += 1;
            let raised = self.shard().raise_epochs(self.client.epoch);
            self.allow(raised)?;
        }
        [A, B, P].into_iter().try_for_each(|id| self.add_log(id))?;
        let others = self.client.open_ids();
        others.into_iter().try_for_each(|id| self.add_log(id))?;
        self.was_faulty = false;
        self.check_files()
    }

    /// The disk takes so many bytes more, and no new name behind them.
    pub fn limit_room(&mut self, bytes: u64, errno: Errno) {
        self.is_full = true;
        self.disk.limit_room(bytes, errno);
    }

    /// Consumers read what is left to them behind a refusal.
    ///
    /// # Errors
    /// A broken rule.
    pub fn observe_refused(&mut self) -> Result<(), Stop> {
        match self.observe_new() {
            Err(stop @ Stop::Broken(_)) => Err(stop),
            _ => Ok(()),
        }
    }

    /// Whether a process runs.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shard.is_some()
    }

    /// The disk works again and has room: from now on no error is fine, but that of a shard that
    /// a failure has made read-only. Time passes until the shard has noticed.
    pub fn heal(&mut self) {
        self.disk.clear_faults();
        self.disk.unlimit_room();
        self.set_full(false);
        self.healed = self.disk.fired();
        self.client.pass(NOTICED_MS);
    }

    /// Another program takes nearly all of the disk's room, or gives it back.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
        self.disk
            .set_free_bytes(if is_full { 1 << 20 } else { 1 << 40 });
    }

    fn fs(&self) -> Arc<dyn Fs> {
        let disk = Arc::new(self.disk.clone());
        self.watch.over(match self.sabotage {
            Some(sabotage) => Arc::new(SabotagedFs::new(disk, sabotage)),
            None => disk,
        })
    }

    fn config(&self, id: LogId) -> LogConfig {
        let logs = &self.client.model.logs;
        let durability = logs.get(&id).map(|log| log.durability);
        let durability = durability.unwrap_or_else(|| client::durability(id));
        self.shape.config(id, durability)
    }

    fn shard_config(&self) -> ShardConfig {
        ShardConfig {
            journal_bytes: self.shape.journal_bytes,
            journal_batch_bytes_max: self.shape.journal_batch_bytes_max,
            ..ShardConfig::default()
        }
    }

    fn shard(&self) -> &Arc<Shard> {
        self.shard.as_ref().expect("the world was opened")
    }

    /// An error is fine if the disk was told to fail, and a broken rule if it works.
    fn allow<T>(&self, result: Result<T, LogError>) -> Result<T, Stop> {
        result.map_err(|e| {
            let is_read_only = || self.disk.fired() > 0 && self.is_poisoned();
            let is_full = matches!(e, LogError::Full { .. }) && self.is_full;
            if self.disk.is_dead() {
                Stop::Dead
            } else if self.disk.fired() > self.healed || is_full || is_read_only() {
                Stop::Refused(e)
            } else {
                Stop::Broken(violation(
                    Oracle::Progress,
                    format!("refused on a good disk: {e}"),
                ))
            }
        })
    }

    /// One step of a workload.
    ///
    /// # Errors
    /// What stopped it.
    pub fn step(&mut self, step: Step) -> Result<(), Stop> {
        let Shape { small, large, .. } = self.shape;
        match step {
            Step::Append => self.append(&[(A, small)], AckAt::Durable),
            Step::AppendLarge => self.append(&[(A, large)], AckAt::Durable),
            Step::AppendTwice => self.append(&[(A, small), (A, large)], AckAt::Durable),
            Step::AppendBoth => self.append(&[(A, small), (B, small)], AckAt::Durable),
            Step::AppendWritten => self.append(&[(B, small)], AckAt::Written),
            Step::AppendCached => self.append(&[(P, small), (P, small)], AckAt::Written),
            Step::Roll => {
                self.client.pass(SEGMENT_MS + 1);
                self.append(&[(A, small), (B, small), (P, small)], AckAt::Durable)
            }
            Step::Flush => self.tick(200),
            Step::Checkpoint => self.tick(1100).map(|()| self.pointed()),
            Step::CreateLog => {
                let id = self.client.create();
                self.add_log(id)?;
                self.append(&[(id, small)], AckAt::Durable)
            }
            Step::RemoveLog => self.remove_log(self.client.newest()),
            Step::DeleteRecords => self.delete_records(A),
            Step::Retention => {
                self.client.pass(RETENTION_MS + 2 * SEGMENT_MS);
                let fired = self.disk.fired();
                self.retention()?;
                // On a disk that fails it does what it can.
                match self.disk.fired() == fired {
                    true => self.expect_nothing_old(),
                    false => Ok(()),
                }
            }
            Step::Restart => {
                self.close()?;
                self.start()?;
                self.verify(self.survived_death())
            }
            Step::Kill => {
                self.start()?;
                self.verify(self.survived_death())
            }
        }?;
        // What only grew is read on; where something was moved or taken away, all is read again.
        match step {
            Step::Roll | Step::DeleteRecords | Step::Retention => self.observe(),
            _ => self.observe_new(),
        }
    }

    fn tick(&mut self, ms: i64) -> Result<(), Stop> {
        self.client.pass(ms);
        self.shard().tick(self.client.now);
        if let Some((_, error)) = self.shard().merge_keys().into_iter().next() {
            self.allow(Err(error))?;
        }
        if self.disk.is_dead() {
            Err(Stop::Dead)
        } else {
            Ok(())
        }
    }

    fn add_log(&mut self, id: LogId) -> Result<(), Stop> {
        let (config, now) = (self.config(id), self.client.now);
        let added = self.shard().add_log(id, config, self.client.epoch, now);
        self.allow(added)?;
        self.client.log(id);
        Ok(())
    }

    fn remove_log(&mut self, id: LogId) -> Result<(), Stop> {
        if self.shard().reader(id).is_none() {
            return Ok(());
        }
        self.client.log(id).removal = Removal::Asked;
        let removed = self.shard().remove_log(id);
        self.allow(removed)?;
        self.client.log(id).removal = Removal::Done;
        Ok(())
    }

    fn delete_records(&mut self, id: LogId) -> Result<(), Stop> {
        let before = self.reader(id).durable();
        let log = self.client.log(id);
        log.start_max = log.start_max.max(before.0);
        let deleted = self.shard().delete_records(id, before, self.client.now);
        let start = self.allow(deleted)?;
        if start == before {
            return Ok(());
        }
        let text = format!("records below {before} were to go, the log starts at {start}");
        Err(violation(Oracle::NoStepBack, text).into())
    }

    fn reader(&self, id: LogId) -> LogReader {
        self.shard().reader(id).expect("the log is open")
    }

    /// What the death of the process leaves. After a failed sync the page cache may lie, so that
    /// it takes as much as a power cut.
    #[must_use]
    pub fn survived_death(&self) -> Survived {
        if self.disk.fired() == 0 {
            Survived::Death
        } else {
            Survived::PowerCut
        }
    }

    /// A clean stop.
    ///
    /// # Errors
    /// What kept it from being clean.
    pub fn close(&mut self) -> Result<(), Stop> {
        let closed = self.shard().close(self.client.now);
        let closed = self.allow(closed).and_then(|()| self.answered());
        if closed.is_ok() {
            self.pointed();
        }
        self.end_process();
        closed
    }

    /// Why the shard is read-only, if it is.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.shard().poisoned()
    }

    fn is_poisoned(&self) -> bool {
        self.shard
            .as_ref()
            .is_some_and(|shard| shard.poisoned().is_some())
    }

    /// What a page-cache log becomes a log that syncs first, and back.
    ///
    /// # Errors
    /// What stopped it.
    pub fn switch_durability(&mut self, id: LogId) -> Result<(), Stop> {
        let durability = match self.client.log(id).durability {
            Durability::Fsync => Durability::PageCache,
            Durability::PageCache => Durability::Fsync,
        };
        let config = self.shape.config(id, durability);
        let changed = self.shard().set_config(id, config);
        self.allow(changed)?;
        self.client.log(id).durability = durability;
        self.observe()
    }

    /// The client does what clients do after a restart: an idempotent producer sends again what
    /// was never acknowledged, then everybody goes on.
    ///
    /// # Errors
    /// What stopped it.
    pub fn carry_on(&mut self) -> Result<(), Stop> {
        for id in self.client.ids() {
            if self.client.log(id).removal != Removal::No {
                self.remove_log(id)?;
                continue;
            }
            self.send_again(id)?;
        }
        let open = self.client.open_ids().into_iter();
        let targets: Vec<_> = open.map(|id| (id, self.shape.small)).collect();
        self.append(&targets, AckAt::Durable)?;
        self.tick(200)?;
        self.observe()
    }
}

/// How long a shard may take to notice that a disk has room again, and a little more.
const NOTICED_MS: i64 = 1001;
