//! The lives of one seed: start, compare, clients at work, an end; and again on what is left of the
//! disk.
//!
//! Invariants
//! - Each life has a runtime of its own, so that nothing of it outlives its end.
//! - A start fails only while the disk does.

use std::path::Path;
use std::sync::{Arc, Mutex};

use highwater_broker::Broker;
use highwater_broker::service::offsets::OffsetAt;
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::{Crash, SimFs};
use highwater_proto::clock::Wall;
use tokio::task::JoinHandle;

use super::book::{Broken, Oracle, Stats};
use super::check;
use super::clients::Client;
use super::clock::LifeClock;
use super::compare;
use super::life::{Life, Request, lock};
use super::model::{Model, Survived};
use super::plan::{Accident, Ending, Plan};

/// The state between two lives.
pub(super) struct Run {
    seed: u64,
    rng: Rng,
    plan: Plan,
    disk: SimFs,
    wall_ms: i64,
    model: Arc<Mutex<Model>>,
    clients: Vec<Client>,
    /// How the last life ended; nothing before the first.
    last: Option<Ended>,
}

/// What the next start may rely on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) survived: Survived,
    /// Whether the mark of a clean stop is on the disk.
    pub(super) is_clean: bool,
    /// Starts since then that did not come to their end.
    pub(super) failed_starts: u32,
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(&mut rng);
        let clients = Client::all(&plan, &mut rng);
        Self {
            seed,
            disk: SimFs::new(rng.bits()),
            rng,
            plan,
            wall_ms: START_MS,
            model: Arc::default(),
            clients,
            last: None,
        }
    }

    pub(super) fn live(mut self) -> Result<Stats, Broken> {
        for number in 0..=self.plan.lives {
            // The last one is without faults: whoever is there must get on.
            let is_last = number == self.plan.lives;
            self.one(number, is_last);
            let mut model = lock(&self.model);
            if let Some(Broken { oracle, text }) = model.book.broken.take() {
                let text = format!(
                    "{text}\nseed {}, life {number}: {}\n  {}",
                    self.seed,
                    self.plan.says(),
                    model.book.story()
                );
                return Err(Broken { oracle, text });
            }
        }
        let mut model = lock(&self.model);
        Ok(std::mem::take(&mut model.book.stats))
    }

    fn one(&mut self, number: usize, is_last: bool) {
        let accident = if is_last {
            None
        } else {
            self.plan.accident(&mut self.rng)
        };
        self.note(format!("life {number}: {accident:?}"));
        self.disk.remount();
        match accident {
            Some(Accident::Death(at)) => self.disk.crash_at(self.disk.operations() + at),
            Some(Accident::Fault(fault)) => self.disk.inject(fault),
            None => {}
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without sockets needs nothing but memory");
        let operations = self.disk.operations();
        let (was_up, is_clean) = runtime.block_on(self.up(accident, is_last));
        self.end(was_up, is_clean, operations);
        // The tasks of the broker go with it; it is gone already.
        drop(runtime);
    }

    /// One broker, from its start to its end. Whether it was up, and whether it stopped cleanly.
    async fn up(&mut self, accident: Option<Accident>, is_last: bool) -> (bool, bool) {
        let clock = LifeClock::new(Wall(self.wall_ms));
        let ids = self.rng.bits();
        let started = start(&self.disk, &self.plan, clock.clone(), ids).await;
        let broker = match started {
            Ok(broker) => broker,
            Err(why) => {
                let mut model = lock(&self.model);
                model.book.note(format!("it does not start: {why}"));
                model.book.stats.crashed_starts += 1;
                if !self.disk.is_dead() && self.disk.fired() == 0 {
                    model.broken(Oracle::O14, format!("the broker does not start: {why}"));
                }
                return (false, false);
            }
        };
        let service = broker.service().clone();
        let life = Arc::new(Life::new(
            service,
            clock,
            self.disk.clone(),
            Arc::clone(&self.model),
        ));
        check::after_start(&life, self.last, &mut self.rng).await;
        let steps = if is_last { LAST_STEPS } else { self.plan.steps };
        self.work(&life, steps, is_last).await;
        if accident.is_none() && !self.is_broken() {
            self.compare(&life).await;
        }
        let ending = self.plan.ending(&self.disk, &mut self.rng);
        let mut is_clean = false;
        if ending == Ending::Clean && !self.is_broken() {
            is_clean = self.stop(&life, &broker).await;
        }
        self.wall_ms = life.clock.wall_ms() + i64::try_from(self.rng.below(5_000)).unwrap_or(0);
        if !is_clean {
            // What a drop would still write is written by nobody: the process is dead.
            self.disk.crash_at(self.disk.operations());
        }
        (true, is_clean)
    }

    async fn stop(&self, life: &Life, broker: &Broker) -> bool {
        life.settle().await;
        let ends = check::ends(life).await;
        match broker.shutdown().await {
            Ok(()) => {
                // A stop in good order keeps all that was received.
                let mut model = life.model();
                for (place, end) in ends {
                    model.partition(place).is_durable_below(end);
                }
                true
            }
            Err(error) => {
                if !life.disk.is_dead() && life.disk.fired() == 0 {
                    life.broken(
                        Oracle::O14,
                        format!("a stop on a working disk fails: {error}"),
                    );
                }
                false
            }
        }
    }

    /// Lets the clients work until they are done, the disk is dead, or nobody can go on.
    async fn work(&mut self, life: &Arc<Life>, steps: usize, is_last: bool) {
        let tasks: Vec<JoinHandle<Client>> = std::mem::take(&mut self.clients)
            .into_iter()
            .map(|client| tokio::spawn(client.live(Arc::clone(life), steps)))
            .collect();
        let mut passed_ms = 0;
        loop {
            life.settle().await;
            if self.is_broken() || life.disk.is_dead() || tasks.iter().all(JoinHandle::is_finished)
            {
                break;
            }
            self.at_rest(life).await;
            if passed_ms > PATIENCE_MS {
                if is_last || life.disk.fired() == 0 {
                    let waiting = life.waiting();
                    life.broken(Oracle::O14, format!("nobody gets on: {waiting:?}"));
                }
                break;
            }
            let ms = self.rng.pick(&[1, 5, 20, 100, 500, 2_000]);
            passed_ms += ms;
            life.clock.advance(ms);
        }
        life.is_over();
        for task in tasks {
            match task.await {
                Ok(client) => self.clients.push(client),
                Err(error) => life.broken(Oracle::O14, format!("a client failed: {error}")),
            }
        }
    }

    /// Everything has come to rest: who waits must wait for time or for others.
    async fn at_rest(&self, life: &Life) {
        if life.disk.fired() == 0 {
            let now_ms = life.clock.ms();
            let mut model = life.model();
            model
                .partitions
                .values_mut()
                .for_each(|partition| partition.time_is(now_ms));
        }
        for request in life.waiting() {
            match request {
                Request::Long(_) => {}
                Request::Short(what) => {
                    life.broken(
                        Oracle::O14,
                        format!("{what} is not answered, and nothing goes on"),
                    );
                }
                Request::Fetch {
                    topic,
                    partition,
                    offset,
                } => {
                    let end = life.offset_at(&topic, partition, OffsetAt::Latest).await;
                    if end.is_some_and(|end| end.offset.0 > offset) {
                        let text = format!(
                            "a fetch of {topic}/{partition} at {offset} waits, though there are \
                             records up to {end:?}"
                        );
                        life.broken(Oracle::O14, text);
                    }
                }
            }
        }
    }

    /// Compares the live state with what a start on a copy of the disk finds.
    async fn compare(&self, life: &Life) {
        life.settle().await;
        if life.disk.fired() > 0 || life.disk.is_dead() {
            return;
        }
        let copy = life.disk.image(Crash::Nothing, &mut Rng::new(0));
        let clock = LifeClock::new(Wall(life.clock.wall_ms()));
        match start(&copy, &self.plan, clock, 1).await {
            Ok(other) => {
                compare::same_state(life, other.service()).await;
                copy.crash_at(copy.operations());
            }
            Err(why) => life.broken(Oracle::O15, format!("a copy does not start: {why}")),
        }
    }

    /// What is left of the disk.
    fn end(&mut self, was_up: bool, is_clean: bool, operations: usize) {
        let ending = match is_clean {
            true => Ending::Clean,
            false => self.crash(),
        };
        let has_failed = self.disk.fired() > 0;
        let crash = match ending {
            Ending::Clean => Crash::Nothing,
            Ending::Crash(crash) => crash,
        };
        let mut model = lock(&self.model);
        let stats = &mut model.book.stats;
        stats.lives += 1;
        stats.operations += (self.disk.operations() - operations) as u64;
        stats.failed_calls += self.disk.fired();
        match ending {
            Ending::Clean => stats.clean_stops += 1,
            Ending::Crash(Crash::Killed) => stats.kills += 1,
            Ending::Crash(_) => stats.power_cuts += 1,
        }
        let dead_in = self
            .disk
            .is_dead()
            .then(|| self.disk.describe(self.disk.operations().saturating_sub(1)));
        model
            .book
            .note(format!("the end: {ending:?} in {dead_in:?}"));
        drop(model);
        self.disk = self.disk.image(crash, &mut self.rng);
        // Whoever dies in the sync of the mark may have left it.
        let is_clean = self
            .disk
            .content(&Path::new(DATA_DIR).join("CLEAN"))
            .is_some();
        let survived = match crash {
            Crash::Killed if !has_failed => Survived::Written,
            _ => Survived::Synced,
        };
        self.last = match (was_up, self.last) {
            (true, _) => Some(Ended {
                survived,
                is_clean,
                failed_starts: 0,
            }),
            // A start that failed has promised nothing, and may have lost what was not synced.
            (false, Some(last)) => Some(Ended {
                survived: last.survived.min(survived),
                failed_starts: last.failed_starts + 1,
                ..last
            }),
            (false, None) => None,
        };
    }

    fn crash(&mut self) -> Ending {
        loop {
            if let ending @ Ending::Crash(_) = self.plan.ending(&self.disk, &mut self.rng) {
                return ending;
            }
        }
    }

    fn is_broken(&self) -> bool {
        lock(&self.model).book.broken.is_some()
    }

    fn note(&self, event: String) {
        lock(&self.model).book.note(event);
    }
}

async fn start(disk: &SimFs, plan: &Plan, clock: LifeClock, ids: u64) -> Result<Broker, String> {
    Broker::builder()
        .fs(Arc::new(disk.clone()), DATA_DIR)
        .config(plan.config.clone())
        .clock(Arc::new(clock))
        .simulate(ids)
        .await
        .map_err(|error| error.to_string())
}

pub(super) const DATA_DIR: &str = "/data";
/// 2023-11-14.
const START_MS: i64 = 1_700_000_000_000;
/// What clients may wait for in all: their sessions, their silences.
const PATIENCE_MS: u64 = 1_200_000;
/// What each client does at the end, on a disk that works.
const LAST_STEPS: usize = 8;
