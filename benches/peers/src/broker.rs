//! The broker in a process of its own, so that its CPU time is told apart from the clients'.
//!
//! Invariants
//! - It ends with its parent: when its standard input ends.

#![expect(
    clippy::disallowed_methods,
    reason = "the CPU times of processes stand in /proc"
)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater::{Broker, Client, NewTopic, OffsetSpec};
use tokio::runtime::Runtime;

use crate::Failure;

/// A running broker.
pub(crate) struct Child {
    process: process::Child,
    address: String,
    client: Client,
    runtime: Runtime,
    topics: AtomicUsize,
}

impl Child {
    /// Starts this program again, as the broker.
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(CHILD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("the broker has no output")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim().to_owned();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        Ok(Self {
            client: runtime.block_on(Client::connect(&address))?,
            process,
            address,
            runtime,
            topics: AtomicUsize::new(0),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// For [`cpu_seconds`].
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Makes a topic with one partition at `page-cache`.
    pub(crate) fn topic(&self) -> Result<String, Failure> {
        let number = self.topics.fetch_add(1, Ordering::Relaxed);
        let name = format!("topic-{number}");
        let topic = NewTopic {
            name: name.clone(),
            partitions: Some(1),
            configs: [("durability".to_owned(), "page-cache".to_owned())].into(),
            ..NewTopic::default()
        };
        self.runtime
            .block_on(self.client.admin().create_topic(&topic))?;
        Ok(name)
    }

    /// Fails unless a topic holds so many records.
    pub(crate) fn expect_stored(&self, topic: &str, count: usize) -> Result<(), Failure> {
        let admin = self.client.admin();
        let end = self
            .runtime
            .block_on(admin.offset(topic, 0, OffsetSpec::Latest))?;
        match end == Some(i64::try_from(count)?) {
            true => Ok(()),
            false => Err(format!("{end:?} of {count} records are stored").into()),
        }
    }

    /// Deletes it.
    pub(crate) fn remove(&self, topic: &str) -> Result<(), Failure> {
        let admin = self.client.admin();
        Ok(self.runtime.block_on(admin.delete_topic(topic))?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("the broker cannot be waited for: {error}");
        }
    }
}

/// Is the broker, until standard input ends.
pub(crate) fn serve() -> Result<(), Failure> {
    // Below the build folder: the system's folder for such files may lie in memory.
    let folder = std::env::current_exe()?.with_file_name("peers-data");
    std::fs::create_dir_all(&folder)?;
    let folder = tempfile::tempdir_in(folder)?;
    let broker = Broker::open(folder.path())?;
    broker.listen_kafka("127.0.0.1:0")?;
    println!("{}", broker.bootstrap_servers());
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The CPU time that a process has taken, in user and in kernel mode.
pub(crate) fn cpu_seconds(process: impl ToString) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.to_string()))?;
    // The name before it may hold anything, spaces and parentheses included.
    let (_, fields) = stat.rsplit_once(')').ok_or("the line holds no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Tells this program to be the broker.
pub(crate) const CHILD: &str = "--broker";

/// Of the numbers in `/proc`, on every architecture that Linux has today.
const TICKS_PER_SECOND: f64 = 100.0;
