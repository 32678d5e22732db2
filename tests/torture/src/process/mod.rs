//! A broker as a process of its own: started, killed, started again.
//!
//! Invariants
//! - Every process is ended by its own id, however the test ends.
//! - Every wait has an end, and what a broker said on its standard error is kept.
//! - A broker that is started again listens where it did before, unless somebody took the port.

mod consuming;
mod foreign;
mod life;
pub mod lives;
mod producing;
mod scene;
mod watching;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::part::Finding;

/// How a broker is started.
///
/// ```no_run
/// # fn run(place: &highwater_tests::place::Place) -> Result<(), Box<dyn std::error::Error>> {
/// use highwater_tests::process::Plan;
///
/// let dir = place.scratch("kills-7")?;
/// let binary = place.binary("highwater").map_err(|unable| unable.0)?;
/// let mut plan = Plan::new(binary, dir.join("data")).set("group.initial.rebalance.delay.ms", 0);
/// let server = plan.start().map_err(|finding| finding.text)?;
/// println!("{}", server.bootstrap);
/// server.kill();
/// let server = plan.start().map_err(|finding| finding.text)?;
/// # let _ = server; Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    binary: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    flags: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// What runs the broker, with its arguments: `strace -D ...`.
    wrapper: Vec<OsString>,
    port: u16,
    start_max: Duration,
}

impl Plan {
    /// A broker over this directory, which is made if it is missing, with the defaults of `serve`;
    /// but a machine whose disk is nearly full is no reason for it to refuse records.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        let plan = Self {
            binary: binary.into(),
            data_dir: data_dir.into(),
            flags: Vec::new(),
            variables: Vec::new(),
            wrapper: Vec::new(),
            port: 0,
            start_max: START_MAX,
        };
        plan.set("min.free.bytes", MIN_FREE_BYTES)
    }

    /// With one setting, as `--set NAME=VALUE`.
    #[must_use]
    pub fn set(self, name: &str, value: impl std::fmt::Display) -> Self {
        self.flags([OsString::from("--set"), format!("{name}={value}").into()])
    }

    /// With more words behind `serve`.
    #[must_use]
    pub fn flags<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.flags.extend(words.into_iter().map(Into::into));
        self
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value));
        self
    }

    /// Run by another program, which gets the broker's command line behind these words. It has to
    /// leave the broker as the child (`strace -D`), or [`Server::kill`] kills the program only.
    #[must_use]
    pub fn under<W: Into<OsString>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.wrapper = words.into_iter().map(Into::into).collect();
        self
    }

    /// Waits longer, or less, than half a minute for the broker to be ready.
    #[must_use]
    pub const fn start_max(mut self, time: Duration) -> Self {
        self.start_max = time;
        self
    }

    /// Where the standard error of all starts goes: a file beside the data directory.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        let mut name = self.data_dir.clone().into_os_string();
        name.push(".stderr");
        name.into()
    }

    /// Starts the broker, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends before, or is not ready in time: with the end of its standard error.
    pub fn start(&mut self) -> Result<Server, Finding> {
        match self.spawn()?.ready(self.start_max) {
            Ok(server) => Ok(self.settled(server)),
            // Whoever has the port now, it is no fault of the broker.
            Err(_) if self.port != 0 && self.log_tail().contains(PORT_TAKEN) => {
                self.port = 0;
                let server = self.spawn()?.ready(self.start_max)?;
                Ok(self.settled(server))
            }
            Err(finding) => Err(finding),
        }
    }

    /// Starts the broker without waiting for anything: it may be killed, or end, before it is
    /// ready.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn spawn(&self) -> Result<Starting, Finding> {
        let say = |error: io::Error| {
            let binary = self.binary.display();
            Finding::new(format!("{binary} cannot be started: {error}"))
        };
        let mut command = self.command(&self.log().map_err(say)?).map_err(say)?;
        let mut child = command.spawn().map_err(say)?;
        let stdout = child.stdout.take();
        Ok(Starting {
            child: Owned(child),
            stdout,
            log_path: self.log_path(),
            since: Instant::now(),
        })
    }

    /// Lets `log verify` look at what a broker has left that was stopped in good order.
    ///
    /// # Errors
    /// If it finds anything, with what it said.
    pub fn verify(&self) -> Result<(), Finding> {
        let say = |error: io::Error| Finding::new(format!("`log verify` cannot run: {error}"));
        let log = self.log().map_err(say)?;
        let mut command = Command::new(&self.binary);
        let command = command
            .args(["log", "verify"])
            .arg(&self.data_dir)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(say)?);
        let mut child = Owned(command.stderr(log).spawn().map_err(say)?);
        match child.wait(START_MAX) {
            Some(status) if status.success() => Ok(()),
            ended => {
                let ended =
                    ended.map_or_else(|| "did not end".to_owned(), |status| status.to_string());
                let tail = self.log_tail();
                Err(Finding::new(format!(
                    "`log verify` ({ended}) said:\n{tail}"
                )))
            }
        }
    }

    /// The end of what the broker said on its standard error.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log_path())
    }

    /// Listens where this broker does, from the next start on.
    pub fn follow(&mut self, server: &Server) {
        let port = server.bootstrap.rsplit(':').next();
        self.port = port.and_then(|port| port.parse().ok()).unwrap_or(0);
    }

    fn settled(&mut self, server: Server) -> Server {
        self.follow(&server);
        server
    }

    fn log(&self) -> io::Result<File> {
        let path = self.log_path();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().create(true).append(true).open(path)
    }

    fn command(&self, log: &File) -> io::Result<Command> {
        let serve = [self.binary.as_os_str(), OsStr::new("serve")];
        let words = self.wrapper.iter().map(OsString::as_os_str).chain(serve);
        let words: Vec<&OsStr> = words.collect();
        let mut command = Command::new(words[0]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HIGHWATER_") {
                command.env_remove(name);
            }
        }
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command
            .args(&words[1..])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--kafka", &format!("127.0.0.1:{}", self.port)])
            .args(&self.flags)
            .env_remove("RUST_LOG")
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?);
        Ok(command)
    }
}

/// A broker that may not be ready yet.
#[derive(Debug)]
pub struct Starting {
    child: Owned,
    stdout: Option<ChildStdout>,
    log_path: PathBuf,
    since: Instant,
}

impl Starting {
    /// Waits for the line that says where it listens.
    ///
    /// # Errors
    /// If it ends before, or takes longer.
    pub fn ready(mut self, time: Duration) -> Result<Server, Finding> {
        let lines = self.stdout.take().map(first_line);
        let line = lines.and_then(|line| line.recv_timeout(time).ok());
        let line = line.unwrap_or_default();
        let after = line.split("bootstrap ").nth(1);
        if let Some(bootstrap) = after.and_then(|rest| rest.split(", ").next()) {
            return Ok(Server {
                bootstrap: bootstrap.to_owned(),
                start: self.since.elapsed(),
                ready: line,
                child: self.child,
            });
        }
        let ended = self.child.wait(END_SOON).map_or_else(
            || format!("was not ready after {} s", time.as_secs()),
            |status| format!("ended before it was ready ({status})"),
        );
        let tail = tail(&self.log_path);
        Err(Finding::new(format!(
            "the broker {ended}; it said:\n{tail}"
        )))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for its end, at most so long.
    pub fn wait(&mut self, time: Duration) -> Option<ExitStatus> {
        self.child.wait(time)
    }
}

/// A broker that runs. When this is dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    /// Where clients connect.
    pub bootstrap: String,
    /// How long it took from the start of the process to its line.
    pub start: Duration,
    /// The line.
    pub ready: String,
    child: Owned,
}

impl Server {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends a signal by its name, as `kill` knows it: `TERM`, `STOP`.
    ///
    /// # Errors
    /// If it could not be sent.
    pub fn signal(&self, name: &str) -> Result<(), Finding> {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(Finding::new(format!(
                "kill -{name} {pid} failed: {other:?}"
            ))),
        }
    }

    /// Waits for its end, at most so long.
    pub fn wait(&mut self, time: Duration) -> Option<ExitStatus> {
        self.child.wait(time)
    }

    /// Stops it with SIGTERM; answers how long that took.
    ///
    /// # Errors
    /// If it is not gone after 15 s, or its exit code is not 0.
    pub fn stop(mut self) -> Result<Duration, Finding> {
        let since = Instant::now();
        self.signal("TERM")?;
        match self.wait(STOP_MAX) {
            Some(status) if status.success() => Ok(since.elapsed()),
            Some(status) => Err(Finding::new(format!("SIGTERM ended it with {status}"))),
            None => Err(Finding::new("it did not end 15 s after SIGTERM")),
        }
    }
}

/// Lets real time pass: a process is to be killed, or to be quiet, for so long.
pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// A child that does not outlive this.
#[derive(Debug)]
struct Owned(Child);

impl Owned {
    fn wait(&mut self, time: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + time;
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first line of an output; the rest is read and thrown away, so that nobody waits for room.
fn first_line(stdout: ChildStdout) -> std::sync::mpsc::Receiver<String> {
    let (said, line) = sync_channel(1);
    let reading = thread::Builder::new().name("stdout".to_owned());
    // Without the thread nothing is ever said, which is a finding.
    let _ = reading.spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        if stdout.read_line(&mut line).is_ok() {
            let _ = said.send(line);
        }
        let _ = io::copy(&mut stdout, &mut io::sink());
    });
    line
}

fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(TAIL_BYTES);
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}

/// The variable that tells `highwater-volatile` the folder that forgets.
pub const VOLATILE_ROOT: &str = "VOLATILE_ROOT";

/// The variable with the seed of what its disk does early; without it nothing is early.
pub const VOLATILE_SEED: &str = "VOLATILE_SEED";

/// What the system says of a port that somebody else has.
const PORT_TAKEN: &str = "in use";

/// Enough for the little that a broker still writes when the disk is full.
const MIN_FREE_BYTES: u64 = 8 << 20;

const START_MAX: Duration = Duration::from_secs(30);

/// The promise is ten seconds; the rest is for a machine under load.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A process that closed its output is about to end.
const END_SOON: Duration = Duration::from_secs(2);

const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What a finding shows of a standard error.
const TAIL_BYTES: usize = 4096;
