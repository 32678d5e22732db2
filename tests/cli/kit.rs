//! The binary as a process: run to its end, or served until the test is over.
//!
//! Invariants
//! - Every process is ended by its own id, however the test ends.
//! - Nothing waits for the clock: a test waits for a line, or for the end of a process; only a
//!   process that hangs is killed after a minute, so that the test fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// What a process said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// The standard output of a command that must have succeeded without a word of complaint.
    pub(crate) fn text(&self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        String::from_utf8(self.stdout.clone()).expect("the output is UTF-8")
    }

    /// The standard output as one JSON object a line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).expect("each line is JSON");
        self.text().lines().map(parse).collect()
    }

    /// The one sentence of a failure.
    pub(crate) fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(!line.contains('\n'), "one line is expected: {line}");
        line.strip_prefix("highwater: ")
            .expect("the line says who speaks")
    }
}

/// The binary, without what the surroundings of the test might tell it.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command
        .args(args)
        .env_remove("RUST_LOG")
        .env_remove("DATABASE_URL");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HIGHWATER_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    run_with_input(args, b"")
}

/// Runs a command to its end with these bytes as its input, which must fit into a pipe or be read.
pub(crate) fn run_with_input(args: &[&str], input: &[u8]) -> Ended {
    finish(command(args).stdin(Stdio::piped()), input)
}

/// Runs a prepared command to its end.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> Ended {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.expect("the binary starts");
    let _watchdog = watch(&child);
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    let feeding = std::thread::Builder::new().spawn(move || {
        // A command that fails early does not read all of it.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the process ends");
    feeding
        .expect("a thread starts")
        .join()
        .expect("the feeding thread does not panic");
    Ended {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("complaints are UTF-8"),
    }
}

/// Kills a process that is still there after a minute, unless the answer is dropped before.
fn watch(child: &Child) -> SyncSender<()> {
    let (watched, end) = sync_channel(1);
    let pid = child.id().to_string();
    let watching = std::thread::Builder::new().spawn(move || {
        if end.recv_timeout(HANGS_AFTER) == Err(RecvTimeoutError::Timeout) {
            drop(Command::new("kill").args(["-KILL", &pid]).status());
        }
    });
    drop(watching.expect("a thread starts"));
    watched
}

/// A process that goes on: its output can be read line by line, and its input written.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    _watchdog: SyncSender<()>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(&mut command(args))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let watchdog = watch(&child);
        Self {
            child,
            lines,
            _watchdog: watchdog,
        }
    }

    /// The next line of its output, which is empty at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .expect("the output is UTF-8");
        line
    }

    pub(crate) fn input(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("it is piped")
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.expect("kill can be run").success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let mut stdout = Vec::new();
        self.lines
            .read_to_end(&mut stdout)
            .expect("the output is read");
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("it is piped");
        pipe.read_to_string(&mut stderr)
            .expect("complaints are UTF-8");
        let code = self.child.wait().expect("the process ends").code();
        Ended {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker as a process of its own.
pub(crate) struct Served {
    pub(crate) process: Running,
    pub(crate) bootstrap: String,
    /// The line that it began with.
    pub(crate) ready: String,
}

impl Served {
    /// `serve` over a folder on a free port, with more flags.
    pub(crate) fn start(dir: &Path, flags: &[&str]) -> Self {
        let dir = dir.to_str().expect("the folder's name is UTF-8");
        let mut args = vec!["serve", "--data-dir", dir, "--kafka", "127.0.0.1:0"];
        args.extend_from_slice(flags);
        Self::spawn(&mut command(&args))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = Running::spawn(command);
        let ready = process.line();
        let after = ready.split("bootstrap ").nth(1);
        let bootstrap = after
            .and_then(|rest| rest.split(", ").next())
            .map(str::to_owned);
        let Some(bootstrap) = bootstrap else {
            let ended = process.end();
            assert!(ready.is_empty(), "the first line is {ready:?}");
            assert_eq!(ended.stderr, "", "the broker did not start");
            unreachable!("it ended without a word: {:?}", ended.code);
        };
        Self {
            bootstrap,
            process,
            ready,
        }
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.run_with_input(args, b"")
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ended {
        run_with_input(&[args, &["--bootstrap", &self.bootstrap]].concat(), input)
    }

    /// Where its native protocol is spoken, as an address for `--bootstrap`; it was started with
    /// `--native`.
    pub(crate) fn native(&self) -> String {
        let address = self.ready.split("native ").nth(1);
        let address = address.and_then(|rest| rest.split(", ").next());
        format!("highwater://{}", address.expect("it says where"))
    }

    /// Stops it with SIGTERM.
    pub(crate) fn stop(self) -> Ended {
        self.process.signal("TERM");
        self.process.end()
    }
}

/// What is answered over HTTP, head and all.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it is listened on");
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let sent = stream.write_all(head.as_bytes());
    sent.expect("the request is taken");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    read.expect("it is answered");
    answer
}

/// A folder for one test.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// A path as a word of the command line.
pub(crate) fn word(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// No command of these tests takes seconds.
const HANGS_AFTER: Duration = Duration::from_secs(60);
