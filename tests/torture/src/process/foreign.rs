//! Foreign clients of a life: a program in Python, on librdkafka, with a history of its own.
//!
//! Invariants
//! - It is ended by its own id, whatever happens.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use highwater_kit::history::{History, Operation, Role};

use super::scene::Scene;
use crate::part::{Finding, Unable};
use crate::place::Place;

/// What its processes are, in the order of their numbers.
pub(super) const FOREIGN: [Role; 4] = [
    Role::Idempotent,
    Role::One,
    Role::Subscribed,
    Role::Subscribed,
];

/// How the program is started.
#[derive(Clone, Debug)]
pub(super) struct Program {
    python: PathBuf,
    script: PathBuf,
}

impl Program {
    /// The program, if what it needs was installed.
    pub(super) fn find(place: &Place) -> Result<Self, Unable> {
        let python = place.root.join("tests/interop/.cache/venv/bin/python");
        let is_there = Command::new(&python)
            .args(["-c", "import confluent_kafka"])
            .stderr(Stdio::null())
            .status();
        match is_there {
            Ok(status) if status.success() => Ok(Self {
                python,
                script: place.root.join("tests/torture/foreign.py"),
            }),
            _ => Err(Unable(
                "confluent-kafka is missing: run `tests/interop/install confluent`".to_owned(),
            )),
        }
    }

    /// Starts the clients: they work until [`Foreign::end`].
    pub(super) fn start(
        &self,
        scene: &Scene,
        first: usize,
        group: u32,
        log: &Path,
    ) -> Result<Foreign, Finding> {
        let say = |error: std::io::Error| Finding::new(format!("no foreign clients: {error}"));
        let stderr = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log);
        let topics = scene.topics().iter();
        let mut child = Command::new(&self.python)
            .arg(&self.script)
            .arg(scene.bootstrap())
            .args([first.to_string(), group.to_string()])
            .args(topics.map(|topic| format!("{}:{}", topic.name, topic.partitions)))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.map_err(say)?)
            .spawn()
            .map_err(say)?;
        let said = child.stdout.take().map(said);
        let said = said.ok_or_else(|| Finding::new("no foreign clients: no pipe"))?;
        let mut foreign = Foreign { child, said };
        if foreign.said.recv_timeout(START_MAX).is_err() {
            return Err(Finding::new("the foreign clients are not ready after 30 s"));
        }
        foreign.tell(&scene.now_us().to_string());
        Ok(foreign)
    }
}

/// The program while it runs.
#[derive(Debug)]
pub(super) struct Foreign {
    child: Child,
    /// Its first line, then all others.
    said: Receiver<String>,
}

impl Foreign {
    fn tell(&mut self, line: &str) {
        // A program that has ended has its reason on the standard error.
        let _ = self.stdin().map(|stdin| writeln!(stdin, "{line}"));
    }

    fn stdin(&mut self) -> Option<&mut ChildStdin> {
        self.child.stdin.as_mut()
    }

    /// Ends it; answers what its clients did and saw.
    pub(super) fn end(mut self) -> Result<Vec<Operation>, Finding> {
        self.tell("end");
        let said = self.said.recv_timeout(END_MAX).unwrap_or_default();
        let history = History::read(said.as_bytes());
        let history = history.map_err(|error| Finding::new(format!("foreign clients: {error}")))?;
        match self.child.try_wait() {
            Ok(Some(status)) if !status.success() => Err(Finding::new(format!(
                "the foreign clients ended with {status}"
            ))),
            _ if history.operations.is_empty() => Err(Finding::new(
                "the foreign clients did not end within two minutes",
            )),
            _ => Ok(history.operations),
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, said) = sync_channel(2);
    let reading = thread::Builder::new().name("foreign".to_owned());
    // Without the thread nothing is ever said, which is a finding.
    let _ = reading.spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let (mut first, mut rest) = (String::new(), String::new());
        if stdout.read_line(&mut first).is_ok_and(|count| count > 0) {
            let _ = tell.send(first);
            let _ = stdout.read_to_string(&mut rest);
            let _ = tell.send(rest);
        }
    });
    said
}

const START_MAX: Duration = Duration::from_secs(30);

const END_MAX: Duration = Duration::from_secs(120);
