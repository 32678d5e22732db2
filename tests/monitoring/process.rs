//! Prometheus as a process, and its HTTP.
//!
//! Invariants
//! - It is ended by its own id, however the test ends; one that hangs is killed after a minute.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::Value;

pub(crate) struct Prometheus {
    child: Child,
    address: String,
    _watchdog: SyncSender<()>,
}

impl Prometheus {
    /// Starts it over a folder that has its configuration.
    pub(crate) fn start(dir: &Path) -> Self {
        let flag = |name: &str, path: &str| format!("--{name}={}", dir.join(path).display());
        let spawned = Command::new("prometheus")
            .arg(flag("config.file", "prometheus.yml"))
            .arg(flag("storage.tsdb.path", "data"))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap();
        let watchdog = watch(&child);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut said, mut address, mut is_ready) = (String::new(), None, false);
        while address.is_none() || !is_ready {
            let Some(Ok(line)) = lines.next() else {
                panic!("Prometheus did not start:\n{said}");
            };
            if let Some(rest) = line.split("msg=\"Listening on\" address=").nth(1) {
                address = Some(rest.trim().to_owned());
            }
            is_ready |= line.contains("Server is ready to receive web requests");
            said = said + &line + "\n";
        }
        // A pipe that nobody reads would stop it.
        let reading = std::thread::Builder::new().spawn(move || lines.for_each(drop));
        drop(reading.unwrap());
        Self {
            child,
            address: address.unwrap(),
            _watchdog: watchdog,
        }
    }

    /// The values of a query, which must not need escaping but for these characters.
    pub(crate) fn query(&self, query: &str) -> Vec<f64> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => encoded.push(byte.into()),
                byte => encoded += &format!("%{byte:02X}"),
            }
        }
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "GET /api/v1/query?query={encoded} HTTP/1.0\r\nhost: {}\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        assert_eq!(body["status"], "success", "{query}: {body}");
        let samples = body["data"]["result"].as_array().unwrap();
        let value = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
        samples.iter().map(value).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    drop(watching.unwrap());
    watched
}

/// The test takes a quarter of that.
const HANGS_AFTER: Duration = Duration::from_secs(60);
