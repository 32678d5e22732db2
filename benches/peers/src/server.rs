//! `Server`: a broker in a process of its own, so that its CPU time and its memory are told apart
//! from the clients'.
//!
//! Invariants
//! - It is ended by its own id: asked first, killed when it does not end.
//! - It has started when it answers a Metadata request with itself as a broker.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::{Broker, Client, ConfigEntry, NewTopic, OffsetSpec};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Failure;
use crate::disk;
use crate::figures::Class;
use crate::load;
use crate::load::Load;
use crate::load::Peer;
use crate::load::Way;
use crate::meter::Meter;
use crate::meter::Pass;

/// How to start a broker.
#[derive(Clone)]
pub(crate) enum Program {
    /// This program, as a Highwater broker.
    Own,
    /// `highwater serve`.
    Highwater(PathBuf),
    /// Apache Kafka, by the script that gives it the flags of `highwater serve`.
    Kafka(PathBuf),
}

/// A running broker.
pub(crate) struct Server {
    program: Program,
    process: process::Child,
    address: String,
    native: String,
    client: Client,
    runtime: Runtime,
    topics: AtomicUsize,
    meter: Meter,
    // Goes last: the broker holds files in it.
    folder: TempDir,
}

impl Program {
    /// `native` is where Highwater's own protocol is spoken; Kafka has none.
    fn command(
        &self,
        address: SocketAddr,
        native: SocketAddr,
        folder: &Path,
    ) -> Result<Command, Failure> {
        let mut command = match self {
            Self::Own => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(CHILD).arg(address.to_string());
                command.arg(native.to_string()).arg(folder);
                command
            }
            Self::Highwater(program) | Self::Kafka(program) => {
                let mut command = Command::new(program);
                command.arg("serve").arg("--data-dir").arg(folder);
                command.arg("--kafka").arg(address.to_string());
                command
            }
        };
        if let Self::Highwater(_) = self {
            command.arg("--native").arg(native.to_string());
        }
        if let Self::Kafka(_) = self {
            command.env("REFERENCE_BROKER_JVM", KAFKA_JVM);
            // Deleted topics go soon, not after a minute: the next pass needs the disk.
            command.args(["--set", "log.segment.delete.delay.ms=1000"]);
        }
        Ok(command)
    }

    /// The settings of a topic whose answers promise that much.
    fn config(&self, class: Class) -> Option<(&'static str, &'static str)> {
        match (self, class) {
            (Self::Kafka(_), Class::Synced) => Some(("flush.messages", "1")),
            (Self::Kafka(_), _) => None,
            (_, Class::Synced) => Some(("durability", "fsync")),
            (_, _) => Some(("durability", "page-cache")),
        }
    }
}

impl Server {
    /// Starts one over a new folder.
    pub(crate) fn start(program: Program) -> Result<Self, Failure> {
        Self::start_in(program, disk::folder()?).map(|(_, server)| server)
    }

    /// Starts one over what is there; tells the seconds from the start of the process to its first
    /// answer.
    fn start_in(program: Program, folder: TempDir) -> Result<(f64, Self), Failure> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let meter = Meter::new();
        let (address, native) = (free_address()?, free_address()?);
        let messages = folder.path().join("messages.txt");
        let mut command = program.command(address, native, &folder.path().join("data"))?;
        command
            // Ends with this process: that of our own broker, which waits for it.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(create(&messages)?);
        let (seconds, started) = meter.seconds(|| {
            let mut process = command.spawn()?;
            match first_answer(&meter, &runtime, &mut process, address) {
                Ok(()) => Ok(process),
                Err(error) => {
                    end(&mut process, &meter, &runtime)?;
                    Err(format!("{error}:\n{}", disk::last_lines(&messages)).into())
                }
            }
        });
        let mut process = started.map_err(|error: Failure| format!("{command:?}: {error}"))?;
        let client = match runtime.block_on(Client::connect(&address.to_string())) {
            Ok(client) => client,
            Err(error) => {
                end(&mut process, &meter, &runtime)?;
                return Err(error.into());
            }
        };
        let server = Self {
            client,
            program,
            process,
            address: address.to_string(),
            native: format!("highwater://{native}"),
            runtime,
            topics: AtomicUsize::new(0),
            meter,
            folder,
        };
        Ok((seconds, server))
    }

    /// Stops it in order and starts it again over the same data; tells the seconds from the start
    /// of the process to its first answer.
    pub(crate) fn restart(self) -> Result<(f64, Self), Failure> {
        let program = self.program.clone();
        let data = self.folder.path().join("data");
        let folder = disk::folder()?;
        {
            let mut server = self;
            end(&mut server.process, &server.meter, &server.runtime)?;
            rename(&data, &folder.path().join("data"))?;
        }
        Self::start_in(program, folder)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Where it speaks Highwater's own protocol, as a client is told; Kafka does not.
    pub(crate) fn native(&self) -> &str {
        &self.native
    }

    /// Of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Makes a topic whose answers promise that much.
    pub(crate) fn topic(&self, partitions: i32, class: Class) -> Result<String, Failure> {
        let number = self.topics.fetch_add(1, Ordering::Relaxed);
        let name = format!("topic-{number}");
        let mut topic = NewTopic::named(name.as_str()).partitions(partitions);
        if let Some((key, value)) = self.program.config(class) {
            topic = topic.config(key, value);
        }
        let admin = self.client.admin();
        self.runtime.block_on(admin.create_topic(&topic))?;
        for partition in 0..partitions {
            // Kafka answers before its own broker knows what its controller has made.
            let mut refusal = None;
            let led = self.meter.wait(&self.runtime, TOPIC, || {
                let end = admin.offset(&name, partition, OffsetSpec::Latest);
                refusal = self.runtime.block_on(end).err();
                Ok(refusal.is_none().then_some(()))
            })?;
            led.ok_or_else(|| format!("{name}-{partition} has no leader: {refusal:?}"))?;
        }
        self.expect_config(&name, self.program.config(class))?;
        Ok(name)
    }

    /// Fails unless the broker says so itself: a class that is not in force is another one.
    fn expect_config(
        &self,
        topic: &str,
        wanted: Option<(&'static str, &'static str)>,
    ) -> Result<(), Failure> {
        let Some((name, value)) = wanted else {
            return Ok(());
        };
        let admin = self.client.admin();
        let entries = self.runtime.block_on(admin.topic_configs(topic))?;
        let is_so =
            |entry: &ConfigEntry| entry.name == name && entry.value.as_deref() == Some(value);
        match entries.iter().any(is_so) {
            true => Ok(()),
            false => Err(format!("{topic} has not {name}={value}: {entries:?}").into()),
        }
    }

    /// Sends to a topic of its own, which then must hold all.
    pub(crate) fn pass(
        &self,
        peer: &dyn Peer,
        class: Class,
        load: &Load,
        way: Way,
    ) -> Result<Pass, Failure> {
        let topic = self.topic(load.partitions, class)?;
        let prepare = || load::send(peer, &topic, load, way);
        let pass = self.meter.pass(load.size(), Some(self.id()), prepare)?;
        self.expect_stored(&topic, load)?;
        self.remove(&topic)?;
        Ok(pass)
    }

    /// Fails unless a topic holds all that was sent.
    pub(crate) fn expect_stored(&self, topic: &str, load: &Load) -> Result<(), Failure> {
        let admin = self.client.admin();
        let mut stored = 0;
        for partition in 0..load.partitions {
            let end = admin.offset(topic, partition, OffsetSpec::Latest);
            stored += self.runtime.block_on(end)?.unwrap_or_default();
        }
        match stored == i64::try_from(load.stored())? {
            true => Ok(()),
            false => Err(format!("{stored} of {} records are stored", load.stored()).into()),
        }
    }

    /// Deletes it.
    pub(crate) fn remove(&self, topic: &str) -> Result<(), Failure> {
        let admin = self.client.admin();
        Ok(self.runtime.block_on(admin.delete_topic(topic))?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = end(&mut self.process, &self.meter, &self.runtime) {
            eprintln!("the broker with the id {} is not ended: {error}", self.id());
        }
    }
}

/// Ends a process that was started here.
pub(crate) fn end(
    process: &mut process::Child,
    meter: &Meter,
    runtime: &Runtime,
) -> Result<(), Failure> {
    if process.try_wait()?.is_some() {
        return Ok(());
    }
    kill_process(Pid::from_child(process), Signal::TERM)?;
    let gone = meter.wait(runtime, (END_PAUSE, END_PATIENCE), || {
        Ok(process.try_wait()?)
    })?;
    if gone.is_none() {
        process.kill()?;
        process.wait()?;
    }
    Ok(())
}

/// Waits until it answers.
fn first_answer(
    meter: &Meter,
    runtime: &Runtime,
    process: &mut process::Child,
    address: SocketAddr,
) -> Result<(), Failure> {
    let answered = meter.wait(runtime, (START_PAUSE, START_PATIENCE), || {
        if let Some(status) = process.try_wait()? {
            return Err(format!("it has ended with {status}").into());
        }
        // Nobody listens yet, or closes the connection: the next try may do better.
        Ok(metadata(address)
            .ok()
            .filter(|brokers| *brokers > 0)
            .map(drop))
    })?;
    answered.ok_or_else(|| "it does not answer".into())
}

/// Asks for Metadata; gives how many brokers the answer names.
fn metadata(address: SocketAddr) -> io::Result<i32> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.write_all(&METADATA_REQUEST)?;
    // Its size, the correlation id, throttle_time_ms, and the length of the array of brokers.
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let [.., a, b, c, d] = head;
    Ok(i32::from_be_bytes([a, b, c, d]))
}

/// A port that is free now.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the messages of other programs go into a file"
)]
pub(crate) fn create(path: &Path) -> io::Result<File> {
    File::create(path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a stopped broker's folder is taken over"
)]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Is the broker, until standard input ends.
pub(crate) fn be_broker(address: &str, native: &str, folder: &Path) -> Result<(), Failure> {
    let broker = Broker::open(folder)?;
    broker.listen_kafka(address)?;
    broker.listen_native(native)?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Tells this program to be the broker.
pub(crate) const CHILD: &str = "--broker";

/// What Kafka's own start scripts give the JVM.
const KAFKA_JVM: &str = "-Xms1G -Xmx1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent \
    -Djava.awt.headless=true";

/// Metadata version 8, correlation id 1, no client id, all topics; creates none, asks for no
/// operations.
const METADATA_REQUEST: [u8; 21] = [
    0, 0, 0, 17, 0, 3, 0, 8, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 0, 0, 0,
];

/// Far below the start of either.
const START_PAUSE: Duration = Duration::from_micros(500);
const START_PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Pause and patience.
const TOPIC: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(30));
const END_PAUSE: Duration = Duration::from_millis(5);
const END_PATIENCE: Duration = Duration::from_secs(30);
