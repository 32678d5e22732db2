//! One life of a data directory: clients at work, kills, a drain, and the question whether what
//! the clients saw can be what the contract allows.
//!
//! Invariants
//! - Its number decides everything that the test decides: settings, clients, moments of kills.
//! - What broke a promise is kept: the directory, the history, what the broker said.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use highwater_client::{ClientError, NewTopic};
use highwater_kit::history::{
    Durability, Fault, FaultKind, History, Limits, Operation, Process, Role,
};
use highwater_kit::rng::Rng;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::consuming::{Member, consume};
use super::foreign::{FOREIGN, Foreign, Program};
use super::producing::produce;
use super::scene::{Scene, Topic};
use super::watching::{committed, drain, watch};
use super::{Plan, Server, VOLATILE_ROOT, VOLATILE_SEED, pause};
use crate::part::Finding;

/// The processes of a history by their numbers; foreign ones come behind them.
const ROLES: [Role; 10] = [
    Role::Idempotent,
    Role::Idempotent,
    Role::All,
    Role::One,
    Role::Subscribed,
    Role::Subscribed,
    Role::Subscribed,
    Role::Subscribed,
    Role::Admin,
    Role::Drain,
];
const WATCHER: u32 = 8;
const DRAIN: u32 = 9;

/// Consumers take turns in them.
const GROUPS: u32 = 2;

/// What was seen in a life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) kills: u64,
    pub(super) operations: u64,
    pub(super) reads: u64,
    pub(super) acked: u64,
    pub(super) slowest_start: Duration,
}

/// A life while it goes on.
pub(super) struct Life {
    plan: Plan,
    rng: Rng,
    kind: FaultKind,
    dir: PathBuf,
    server: Option<Server>,
    scene: Scene,
    runtime: Runtime,
    clients: JoinSet<Vec<Operation>>,
    foreign: Option<Foreign>,
    history: History,
    kills: u64,
    starts: u64,
    slowest_start: Duration,
}

impl Life {
    /// A broker over an empty directory.
    pub(super) fn begin(
        binary: &Path,
        kind: FaultKind,
        number: u64,
        dir: &Path,
    ) -> Result<Self, Finding> {
        // Lives of the two kinds with one number are not alike.
        let mut rng = Rng::new(number * 2 + u64::from(kind == FaultKind::PowerCut));
        let mut plan = settings(Plan::new(binary, dir.join("data")), &mut rng);
        if kind == FaultKind::PowerCut {
            plan = plan
                .variable(VOLATILE_ROOT, dir)
                .variable(VOLATILE_SEED, rng.bits().to_string());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Finding::new(format!("no runtime: {error}")))?;
        let server = plan.start()?;
        let topic = |name, durability, partitions| Topic {
            name,
            durability,
            partitions,
        };
        let topics = vec![
            topic("synced", Durability::Fsync, 3),
            topic("cached", Durability::PageCache, 2),
        ];
        let roles: Vec<Role> = ROLES.into_iter().chain(FOREIGN).collect();
        let process = |(index, role): (usize, &Role)| Process {
            name: format!("{index}-{role:?}").to_lowercase(),
            role: *role,
        };
        let processes = roles.iter().enumerate().map(process).collect();
        let scene = Scene::new(&server.bootstrap, topics, roles, GROUPS + 1);
        let history = History {
            partitions: scene.partitions(),
            processes,
            ..History::default()
        };
        Ok(Self {
            slowest_start: server.start,
            server: Some(server),
            plan,
            rng,
            kind,
            dir: dir.to_owned(),
            scene,
            runtime,
            clients: JoinSet::new(),
            foreign: None,
            history,
            kills: 0,
            starts: 1,
        })
    }

    /// Lives it, from the first topic to the last stop.
    pub(super) fn live(&mut self, foreign: Option<&Program>) -> Result<(), Finding> {
        self.make_topics()?;
        self.let_clients_in();
        if let Some(program) = foreign {
            let log = self.plan.log_path();
            self.foreign = Some(program.start(&self.scene, ROLES.len(), GROUPS, &log)?);
        }
        for _ in 0..KILLS {
            pause(Duration::from_millis(50 + self.rng.below(1_950) as u64));
            if !self.kill()? {
                break;
            }
        }
        self.scene.end();
        if let Some(foreign) = self.foreign.take() {
            self.history.operations.extend(foreign.end()?);
        }
        self.collect()?;
        self.drain()?;
        self.stop()
    }

    fn make_topics(&mut self) -> Result<(), Finding> {
        let configs = |topic: &Topic, rng: &mut Rng| {
            let durability = match topic.durability {
                Durability::Fsync => "fsync",
                Durability::PageCache => "page-cache",
            };
            let pairs = [
                ("durability", durability.to_owned()),
                ("flush.ms", rng.pick(&[10, 100, 300]).to_string()),
                (
                    "segment.bytes",
                    rng.pick(&[20_000, 200_000, 1 << 30]).to_string(),
                ),
            ];
            pairs.map(|(name, value)| (name.to_owned(), value))
        };
        let scene = self.scene.clone();
        for topic in scene.topics() {
            let new = NewTopic {
                name: topic.name.to_owned(),
                partitions: Some(topic.partitions.cast_signed()),
                configs: configs(topic, &mut self.rng).into(),
                ..Default::default()
            };
            let made = self.runtime.block_on(async {
                let admin = scene.client("setup").await.admin();
                admin.create_topic(&new).await
            });
            made.map_err(|error| refused("a topic was not made", &error))?;
        }
        Ok(())
    }

    fn let_clients_in(&mut self) {
        let _inside = self.runtime.enter();
        for (index, role) in ROLES.iter().enumerate() {
            let process = u32::try_from(index).unwrap_or(u32::MAX);
            let (scene, rng) = (self.scene.clone(), Rng::new(self.rng.bits()));
            match role {
                Role::Subscribed => {
                    let group = process % GROUPS;
                    let member = Member { process, group };
                    self.clients.spawn(consume(scene, member, rng));
                }
                Role::Admin => {
                    self.clients.spawn(watch(scene, process, self.kind));
                }
                Role::Drain => {}
                _ => {
                    self.clients.spawn(produce(scene, process, *role, rng));
                }
            }
        }
    }

    /// Kills the broker, now and then once more while it recovers, and starts it again. False if
    /// somebody else has its port now.
    fn kill(&mut self) -> Result<bool, Finding> {
        let start_us = self.scene.now_us();
        if let Some(mut server) = self.server.take() {
            if let Some(status) = server.wait(Duration::ZERO) {
                return Err(Finding::new(format!(
                    "the broker ended by itself ({status}); it said:\n{}",
                    self.plan.log_tail()
                )));
            }
            server.kill();
        }
        self.kills += 1;
        while self.rng.percent(25) {
            self.new_disk();
            let starting = self.plan.spawn()?;
            pause(Duration::from_millis(self.rng.below(60) as u64));
            starting.kill();
            self.kills += 1;
        }
        self.new_disk();
        let server = self.plan.start()?;
        let is_same = server.bootstrap == self.scene.bootstrap();
        self.slowest_start = self.slowest_start.max(server.start);
        self.server = Some(server);
        let end_us = self.scene.now_us();
        self.history.faults.push(Fault {
            kind: self.kind,
            start_us,
            end_us,
        });
        Ok(is_same)
    }

    /// The next life of the disk does other things early.
    fn new_disk(&mut self) {
        self.starts += 1;
        if self.kind == FaultKind::PowerCut {
            let seed = self.rng.bits().to_string();
            self.plan = self.plan.clone().variable(VOLATILE_SEED, seed);
        }
    }

    /// Waits for the clients: all answers have to come once the broker is left alone.
    fn collect(&mut self) -> Result<(), Finding> {
        let scene = self.scene.clone();
        let (clients, done) = (&mut self.clients, &mut self.history.operations);
        let all = async {
            while let Some(operations) = clients.join_next().await {
                done.extend(operations.map_err(|error| Finding::new(error.to_string()))?);
            }
            Ok(())
        };
        let waited = self.runtime.block_on(within(&scene, all));
        let left = self.clients.len();
        waited.unwrap_or_else(|| {
            let text = format!("O14: {left} clients wait a minute after the last start");
            Err(Finding::new(text))
        })
    }

    fn drain(&mut self) -> Result<(), Finding> {
        let scene = self.scene.clone();
        let reading = async {
            let client = scene.client("drain").await;
            let mut done = drain(&scene, &client, DRAIN).await?;
            done.extend(committed(&scene, &client.admin(), WATCHER).await);
            Ok::<_, ClientError>(done)
        };
        let read = self.runtime.block_on(within(&scene, reading));
        let read = read.ok_or_else(|| Finding::new("O14: the drain does not end in a minute"))?;
        let read = read.map_err(|error| refused("the drain failed", &error))?;
        self.history.operations.extend(read);
        Ok(())
    }

    /// Half of the lives end in good order, and what they leave is verified by the shipped command.
    fn stop(&mut self) -> Result<(), Finding> {
        let Some(server) = self.server.take() else {
            return Ok(());
        };
        if self.rng.percent(50) {
            server.kill();
            return Ok(());
        }
        let stopped = server.stop();
        stopped.map_err(|finding| {
            Finding::new(format!(
                "D12: {}; it said:\n{}",
                finding.text,
                self.plan.log_tail()
            ))
        })?;
        self.plan.verify()
    }

    /// Whether all that was seen can be.
    pub(super) fn check(&self) -> Result<Seen, Finding> {
        let wrong = self.scene.all_wrong();
        if !wrong.is_empty() {
            return Err(Finding::new(wrong.join("\n")));
        }
        let report = self.history.check(&Limits::default());
        let report = report.map_err(|error| Finding::new(error.to_string()))?;
        match report.is_clean() {
            true => Ok(Seen {
                kills: self.kills,
                operations: report.operations,
                reads: report.reads,
                acked: self.scene.acked_count(),
                slowest_start: self.slowest_start,
            }),
            false => Err(Finding::new(report.to_string())),
        }
    }

    /// Puts aside what is needed to see a finding, and says where.
    pub(super) fn keep(&mut self, kept: &Path, finding: &Finding) -> Finding {
        self.server = None;
        let _ = fs::remove_dir_all(kept);
        let mut copied = copy(&self.dir, kept);
        copied = copied.and_then(|()| {
            let mut file = BufWriter::new(File::create(kept.join("history.jsonl"))?);
            self.history.write(&mut file)?;
            file.flush()
        });
        let place = match copied {
            Ok(()) => format!("kept in {}", kept.display()),
            Err(error) => format!("not all of it is kept in {}: {error}", kept.display()),
        };
        Finding::new(format!(
            "after {} kills and {} starts ({place}):\n{}\nthe broker said at last:\n{}",
            self.kills,
            self.starts,
            finding.text,
            self.plan.log_tail()
        ))
    }
}

/// Settings that make rolls, snapshots and full journals common.
fn settings(plan: Plan, rng: &mut Rng) -> Plan {
    plan.flags(["--log-level", "warn"])
        .set("group.initial.rebalance.delay.ms", 0)
        .set("group.min.session.timeout.ms", 500)
        .set("log.checkpoint.interval.ms", rng.pick(&[50, 300, 1_000]))
        .set(
            "log.journal.bytes",
            rng.pick(&[0, 65_536, 1 << 20, 4 << 20]),
        )
        .set("offsets.topic.segment.bytes", rng.pick(&[65_536, 16 << 20]))
        .set("offsets.topic.num.partitions", rng.pick(&[1, 3]))
}

fn refused(what: &str, error: &ClientError) -> Finding {
    Finding::new(format!("{what}: {error}"))
}

/// The answer of `work`, or nothing after a minute.
async fn within<T>(scene: &Scene, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = scene.pause(PROGRESS_MS) => None,
    }
}

fn copy(source: &Path, target: &Path) -> std::io::Result<()> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let to = target.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => drop(fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}

/// Kills of one life, but for those that meet a recovery.
const KILLS: u64 = 5;

/// A minute, in milliseconds.
const PROGRESS_MS: u64 = 60_000;
