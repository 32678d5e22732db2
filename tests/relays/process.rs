//! Processes of a test: brokers that can be killed, and tasks that kill themselves.
//!
//! Invariants
//! - Every process is ended by its own id, however the test ends.

#![expect(clippy::disallowed_methods, reason = "the log of a broker's process")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::relaying::{Task, said};

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// At the step that it was given.
    Died,
    /// It has no such step.
    Lived,
}

/// Runs a task to its end.
///
/// # Errors
/// If it ended in another way.
pub(crate) async fn run(task: &Task) -> Result<Ended, String> {
    let mut command = command(task)?;
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.map_err(said)?.map_err(said)?;
    match (output.status.signal(), output.status.success()) {
        (Some(SIGKILL), _) if task.dies_at.is_some() => Ok(Ended::Died),
        (None, true) => Ok(Ended::Lived),
        _ => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {task:?}: {why}", output.status))
        }
    }
}

/// Begins a task that goes on.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn start(task: &Task) -> Result<Process, String> {
    Process::spawn(&mut command(task)?)
}

fn command(task: &Task) -> Result<Command, String> {
    let mut command = Command::new(std::env::current_exe().map_err(said)?);
    command.args([TASK, &serde_json::to_string(task).map_err(said)?]);
    command.stdin(Stdio::null());
    Ok(command)
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn spawn(command: &mut Command) -> Result<Self, String> {
        command.stdout(Stdio::piped());
        let mut child = command.spawn().map_err(said)?;
        let lines = child.stdout.take().expect("it is piped");
        Ok(Self {
            child,
            lines: BufReader::new(lines),
        })
    }

    /// `highwater` with these words.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn highwater<W: AsRef<OsStr>>(words: &[W]) -> Result<Self, String> {
        Self::spawn(&mut highwater(words))
    }

    /// The next line of its output, which is empty at its end.
    ///
    /// # Errors
    /// If it is no text.
    pub(crate) fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).map_err(said)?;
        Ok(line)
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_there(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it by SIGKILL, and waits until it is gone.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, without what the surroundings of the test might tell it.
pub(crate) fn highwater<W: AsRef<OsStr>>(words: &[W]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    quiet(command.args(words)).stderr(Stdio::null());
    command
}

fn quiet(command: &mut Command) -> &mut Command {
    command.env_remove("RUST_LOG").env_remove("DATABASE_URL");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HIGHWATER_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null())
}

/// A broker of ours.
#[derive(Debug)]
pub(crate) struct Served {
    process: Process,
    pub(crate) address: String,
}

/// What a broker's disk does when its process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// The machine's: it has what was written.
    Real,
    /// It has what was synced.
    Forgets,
}

impl Served {
    /// Serves a folder, at an address whose port may be 0.
    ///
    /// # Errors
    /// If it does not say where it listens.
    pub(crate) fn start(disk: Disk, folder: &Path, address: &str) -> Result<Self, String> {
        // Beside the folder is what it says on its standard error, for whoever looks for a cause.
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.with_extension("log"));
        let mut command = match disk {
            Disk::Real => Command::new(env!("CARGO_BIN_EXE_highwater")),
            Disk::Forgets => Command::new(std::env::current_exe().map_err(said)?),
        };
        command.args(["serve", "--kafka", address, "--data-dir"]);
        command.arg(folder);
        for setting in SETTINGS {
            command.args(["--set", setting]);
        }
        quiet(&mut command).stderr(log.map_err(said)?);
        if disk == Disk::Forgets {
            command.env(FORGETS, folder);
        }
        let mut process = Process::spawn(&mut command)?;
        let line = process.line()?;
        let after = line.split("bootstrap ").nth(1);
        let address = after.and_then(|rest| rest.split(", ").next());
        let address = address.ok_or_else(|| format!("the broker does not start: {line:?}"))?;
        Ok(Self {
            address: address.to_owned(),
            process,
        })
    }

    /// Ends it by SIGKILL, and waits until it is gone.
    pub(crate) fn kill(self) {
        self.process.kill();
    }
}

/// The first word of a process that does a task.
pub(crate) const TASK: &str = "task";
/// Names the folder of a broker whose disk forgets what was not synced.
pub(crate) const FORGETS: &str = "RELAYS_FORGETS";

/// A group does not wait for members that died.
const SETTINGS: [&str; 4] = [
    "auto.create.topics.enable=false",
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=100",
    "min.free.bytes=67108864",
];
const SIGKILL: i32 = 9;
