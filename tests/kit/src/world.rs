//! A shard on a simulated disk, and the client that uses it: steps in, answers and contents out.
//!
//! Invariants
//! - One thread, in a fixed order: the same steps on the same disk are the same calls.
//! - What the shard answers, and what a reader sees, goes into the model at once.

mod checks;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use highwater_log::data_dir::DataDir;
use highwater_log::error::LogError;
use highwater_log::fs::Fs;
use highwater_log::log::Appended;
use highwater_log::reader::LogReader;
use highwater_log::shard::{AckAt, Append, Done, Shard, ShardConfig};
use highwater_log::types::{LeaderEpoch, LogId};
use highwater_proto::batch::{ProduceLimits, validate_produced};

pub use self::checks::Damage;
use crate::client::{self, A, B, Client, DATA_DIR, P, RETENTION_MS, SEGMENT_MS};
use crate::model::Removal;
use crate::oracle::{Oracle, Survived, Violation, violation};
use crate::rng::Rng;
use crate::sabotage::{Sabotage, SabotagedFs};
use crate::sim_fs::{Crash, SimFs};
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
}

struct Answer {
    id: LogId,
    number: usize,
    at: AckAt,
    result: Result<Appended, LogError>,
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
        }
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
        Self::new(
            self.disk.image(crash, rng),
            self.client.clone(),
            self.sabotage,
        )
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
    /// What stopped the start.
    pub fn start(&mut self) -> Result<(), Stop> {
        self.shard = None;
        self.disk.remount();
        let (fs, now) = (self.fs(), self.client.now);
        let known = [A, B, P].into_iter().chain(self.client.ids());
        let known = known.map(|id| (id, client::config(id))).collect();
        let opened = DataDir::open(fs, Path::new(DATA_DIR))
            .and_then(|dir| Shard::open(dir, known, shard_config(), now));
        let (shard, _) = self.allow(opened)?;
        self.shard = Some(shard);
        [A, B, P].into_iter().try_for_each(|id| self.add_log(id))?;
        let others = self.client.open_ids();
        others.into_iter().try_for_each(|id| self.add_log(id))
    }

    fn fs(&self) -> Arc<dyn Fs> {
        let disk = Arc::new(self.disk.clone());
        match self.sabotage {
            Some(sabotage) => Arc::new(SabotagedFs::new(disk, sabotage)),
            None => disk,
        }
    }

    fn shard(&self) -> &Arc<Shard> {
        self.shard.as_ref().expect("the world was opened")
    }

    /// An error is fine if the disk was told to fail, and a broken rule if it works.
    fn allow<T>(&self, result: Result<T, LogError>) -> Result<T, Stop> {
        result.map_err(|e| {
            if self.disk.is_dead() {
                Stop::Dead
            } else if self.disk.fired() > 0 {
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
        match step {
            Step::Append => self.append(&[(A, SMALL)], AckAt::Durable),
            Step::AppendLarge => self.append(&[(A, LARGE)], AckAt::Durable),
            Step::AppendTwice => self.append(&[(A, SMALL), (A, LARGE)], AckAt::Durable),
            Step::AppendBoth => self.append(&[(A, SMALL), (B, SMALL)], AckAt::Durable),
            Step::AppendWritten => self.append(&[(B, SMALL)], AckAt::Written),
            Step::AppendCached => self.append(&[(P, SMALL), (P, SMALL)], AckAt::Written),
            Step::Roll => {
                self.client.pass(SEGMENT_MS + 1);
                self.append(&[(A, SMALL), (B, SMALL), (P, SMALL)], AckAt::Durable)
            }
            Step::Flush => self.tick(200),
            Step::Checkpoint => self.tick(1100),
            Step::CreateLog => {
                let id = self.client.create();
                self.add_log(id)?;
                self.append(&[(id, SMALL)], AckAt::Durable)
            }
            Step::RemoveLog => self.remove_log(self.client.newest()),
            Step::DeleteRecords => self.delete_records(A),
            Step::Retention => {
                self.client.pass(RETENTION_MS + 2 * SEGMENT_MS);
                self.retention()
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
        self.observe()
    }

    /// Sends a batch to each of several logs, commits once, and takes the answers.
    fn append(&mut self, targets: &[(LogId, Size)], at: AckAt) -> Result<(), Stop> {
        for (id, _) in targets {
            self.send_again(*id)?;
        }
        for (id, size) in targets {
            let batch = self.client.batch(*id, size.records, size.value_bytes);
            let number = self.client.log(*id).send(&batch);
            self.enqueue(*id, number, &batch, at);
        }
        self.commit(at)
    }

    /// An idempotent producer sends what was never acknowledged before it sends anything else.
    fn send_again(&mut self, id: LogId) -> Result<(), Stop> {
        if client::is_idempotent(id) {
            for (number, batch) in self.client.log(id).unacked() {
                self.enqueue(id, number, &batch, AckAt::Durable);
                self.commit(AckAt::Durable)?;
            }
        }
        Ok(())
    }

    fn enqueue(&self, id: LogId, number: usize, batch: &Bytes, at: AckAt) {
        let produced = validate_produced(batch, &ProduceLimits::default()).expect("it was built");
        let answers = Arc::clone(&self.answers);
        let done = Done::new(move |result| {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.push(Answer {
                id,
                number,
                at,
                result,
            });
        });
        let now = self.client.now;
        let ack = self.early(at);
        self.shard().enqueue(Append {
            log: id,
            batch: produced,
            ack,
            now,
            done,
        });
    }

    /// When the shard is asked to answer what the client takes as an answer at `at`.
    fn early(&self, at: AckAt) -> AckAt {
        match self.sabotage {
            Some(Sabotage::EarlyAck) => AckAt::Written,
            _ => at,
        }
    }

    /// Both stages, or only the first if nobody waits for the second.
    fn commit(&mut self, at: AckAt) -> Result<(), Stop> {
        let shard = Arc::clone(self.shard());
        let at = self.early(at);
        for _ in 0..CYCLES_MAX {
            let wrote = shard.write_once();
            let synced = at == AckAt::Durable && shard.sync_once();
            if !wrote && !synced {
                break;
            }
        }
        self.answered()
    }

    fn answered(&mut self) -> Result<(), Stop> {
        let answers = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *answers)
        };
        let mut refused = Ok(());
        for Answer {
            id,
            number,
            at,
            result,
        } in answers
        {
            match self.allow(result) {
                Ok(appended) => {
                    let base = appended.base_offset.0;
                    self.client
                        .log(id)
                        .acked(number, base, at == AckAt::Durable)?;
                }
                Err(Stop::Broken(broken)) => return Err(broken.into()),
                Err(stop) => refused = Err(stop),
            }
        }
        refused
    }

    fn tick(&mut self, ms: i64) -> Result<(), Stop> {
        self.client.pass(ms);
        self.shard().tick(self.client.now);
        if self.disk.is_dead() {
            Err(Stop::Dead)
        } else {
            Ok(())
        }
    }

    fn add_log(&mut self, id: LogId) -> Result<(), Stop> {
        let (config, now) = (client::config(id), self.client.now);
        let added = self.shard().add_log(id, config, LeaderEpoch(0), now);
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

    fn retention(&mut self) -> Result<(), Stop> {
        for id in self.client.ids() {
            if let Some(reader) = self.shard().reader(id) {
                let log = self.client.log(id);
                log.start_max = log.start_max.max(reader.end().0);
            }
        }
        let applied = self.shard().apply_retention(self.client.now);
        self.allow(applied)?;
        Ok(())
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
        self.allow(closed)?;
        self.shard = None;
        Ok(())
    }

    /// Why the shard is read-only, if it is.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.shard().poisoned()
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
        let targets: Vec<(LogId, Size)> = open.map(|id| (id, SMALL)).collect();
        self.append(&targets, AckAt::Durable)?;
        self.tick(200)?;
        self.observe()
    }
}

/// The form of a batch.
#[derive(Clone, Copy)]
struct Size {
    records: usize,
    value_bytes: usize,
}

const SMALL: Size = Size {
    records: 2,
    value_bytes: 0,
};
const LARGE: Size = Size {
    records: 1,
    value_bytes: 1400,
};

/// A commit needs one cycle; what goes on and on is a defect.
const CYCLES_MAX: usize = 10;

fn shard_config() -> ShardConfig {
    ShardConfig {
        journal_bytes: 16 << 10,
        ..ShardConfig::default()
    }
}
