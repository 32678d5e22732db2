//! One point: a broker under strace, clients, a restart, and the question whether all is there.
//!
//! Invariants
//! - A kill is followed by a restart on the same port, and the clients go on.
//! - An error leaves the process alive; only a start and a stop may fail, with a sentence.

use std::fs;
use std::io::BufWriter;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use highwater_kit::history::{FaultKind, Limits};
use tokio::runtime::Runtime;

use super::points::{Point, What};
use super::script::{look, play};
use super::told::{Patience, Told};
use super::trace;
use crate::part::Finding;
use crate::process::{Plan, Server};

pub(super) struct Run<'a> {
    pub(super) strace: &'a Path,
    pub(super) binary: &'a Path,
    /// A folder of its own.
    pub(super) dir: &'a Path,
    pub(super) point: Option<Point>,
}

/// A run after which everything was as it should be.
pub(super) struct Ended {
    /// Whether the broker came to the point.
    pub(super) is_reached: bool,
    /// What strace has seen.
    pub(super) log: String,
}

/// A broker, and whether strace is at it.
struct Broker {
    server: Server,
    is_traced: bool,
}

impl Run<'_> {
    /// What is told to clients here was told before.
    pub(super) fn run(&self, told: Told) -> Result<Ended, Finding> {
        fs::create_dir_all(self.dir)
            .map_err(|error| Finding::new(format!("{}: {error}", self.dir.display())))?;
        let runtime = runtime()?;
        let mut plan = Plan::new(self.binary, self.dir.join("data"));
        let broker = self.begin(&mut plan)?;
        let (mut broker, mut told) = self.disturb(&runtime, &mut plan, broker, told)?;
        self.end(&mut broker)?;
        drop(broker);
        let server = plan.start()?;
        // Neither a stop nor a kill takes anything.
        let kind = match self.is_kill() {
            true => FaultKind::Kill,
            false => FaultKind::Stop,
        };
        told.fault(kind, 0);
        let told = runtime.block_on(look(server.bootstrap.clone(), told));
        server.stop()?;
        self.judge(&plan, &told)?;
        plan.verify()?;
        let log = trace::log_of(&self.log_path());
        let is_reached = match self.point.map(|point| point.what) {
            None => false,
            Some(What::Kill) => log.contains("+++ killed by SIGKILL"),
            Some(What::Error(_)) => trace::is_injected(&log),
        };
        Ok(Ended { is_reached, log })
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("strace.log")
    }

    fn is_kill(&self) -> bool {
        self.point.is_some_and(|point| point.what == What::Kill)
    }

    /// The first start, under strace; if the point lies in it, the second one.
    fn begin(&self, plan: &mut Plan) -> Result<Broker, Finding> {
        let words = trace::words(self.strace, &self.log_path(), self.point.as_ref());
        let starting = plan.clone().under(words).spawn()?;
        let (server, is_traced) = match starting.ready(START_MAX) {
            Ok(server) => (server, true),
            Err(finding) => {
                self.may_fail_to_start(plan, finding)?;
                (plan.start()?, false)
            }
        };
        plan.follow(&server);
        Ok(Broker { server, is_traced })
    }

    /// A start that a call fails may be refused, with a sentence and an exit code.
    fn may_fail_to_start(&self, plan: &Plan, finding: Finding) -> Result<(), Finding> {
        let log = trace::log_of(&self.log_path());
        let is_right = match self.point.map(|point| point.what) {
            None => false,
            Some(What::Kill) => log.contains("+++ killed by SIGKILL"),
            Some(What::Error(_)) => trace::is_injected(&log) && !log.contains("+++ killed by"),
        };
        if is_right && !plan.log_tail().contains(PANICKED) {
            return Ok(());
        }
        Err(finding)
    }

    /// Lets the clients play, and starts the broker again when it dies.
    fn disturb(
        &self,
        runtime: &Runtime,
        plan: &mut Plan,
        mut broker: Broker,
        told: Told,
    ) -> Result<(Broker, Told), Finding> {
        let patience = match self.point.map(|point| point.what) {
            Some(What::Error(_)) => Patience::UNTIL_IT_REFUSES,
            _ => Patience::UNTIL_IT_IS_BACK,
        };
        let playing = play(broker.server.bootstrap.clone(), patience, told);
        let playing = runtime.spawn(playing);
        let since = Instant::now();
        while !playing.is_finished() {
            if let Some(status) = broker.server.wait(LOOK) {
                self.may_die(&broker, status)?;
                broker = Broker {
                    server: plan.start()?,
                    is_traced: false,
                };
            }
            if since.elapsed() > SCRIPT_MAX {
                return Err(Finding::new("the clients do not come to an end"));
            }
        }
        let played = runtime.block_on(playing);
        let told = played.map_err(|error| Finding::new(format!("the clients: {error}")))?;
        Ok((broker, told))
    }

    fn may_die(&self, broker: &Broker, status: ExitStatus) -> Result<(), Finding> {
        if self.is_kill() && broker.is_traced && status.signal() == Some(SIGKILL) {
            return Ok(());
        }
        Err(Finding::new(format!("the broker ended with {status}")))
    }

    /// A stop in good order. One that a call fails may say so by its exit code.
    fn end(&self, broker: &mut Broker) -> Result<(), Finding> {
        broker.server.signal("TERM").or_else(|finding| {
            // It may have died between the last answer and now.
            broker.server.wait(LOOK).map_or(Err(finding), |_| Ok(()))
        })?;
        let Some(status) = broker.server.wait(STOP_MAX) else {
            return Err(Finding::new("it did not end 15 s after SIGTERM"));
        };
        let is_disturbed = broker.is_traced && self.point.is_some_and(|it| it.is_disk_error());
        match status.code() {
            Some(0) => Ok(()),
            Some(_) if is_disturbed => Ok(()),
            _ => self.may_die(broker, status),
        }
    }

    fn judge(&self, plan: &Plan, told: &Told) -> Result<(), Finding> {
        let checked = told.history.check(&Limits::default());
        let report = checked.map_err(|error| Finding::new(error.to_string()))?;
        let mut wrong = told.wrong.clone();
        if plan.log_tail().contains(PANICKED) {
            wrong.push(format!("the broker panicked:\n{}", plan.log_tail()));
        }
        if !report.is_clean() {
            wrong.push(report.to_string());
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let path = self.dir.join("history.jsonl");
        let written = fs::File::create(path).and_then(|file| {
            let mut file = BufWriter::new(file);
            told.history.write(&mut file)
        });
        if let Err(error) = written {
            wrong.push(format!("the history was not kept: {error}"));
        }
        Err(Finding::new(wrong.join("\n")))
    }
}

/// Lets the clients play in a new directory, and kills the broker then.
pub(super) fn killed(binary: &Path, dir: &Path) -> Result<Told, Finding> {
    let mut plan = Plan::new(binary, dir.join("data"));
    let server = plan.start()?;
    let playing = play(
        server.bootstrap.clone(),
        Patience::UNTIL_IT_IS_BACK,
        Told::new(),
    );
    let mut told = runtime()?.block_on(playing);
    let start_us = told.now_us();
    server.kill();
    told.fault(FaultKind::Kill, start_us);
    Ok(told)
}

fn runtime() -> Result<Runtime, Finding> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.map_err(|error| Finding::new(format!("no runtime: {error}")))
}

const SIGKILL: i32 = 9;

/// What a panic says on the standard error.
const PANICKED: &str = "panicked at";

const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(15);
const SCRIPT_MAX: Duration = Duration::from_secs(150);
const LOOK: Duration = Duration::from_millis(4);
