//! Crowds of clients that are no use to anybody: ten thousand that are idle, five thousand that
//! send a byte a second.
//!
//! Invariants
//! - What is asserted holds on any machine: how much memory a crowd takes, and that others are
//!   served. What a crowd does to the times of others is a row to read.
//! - Every connection is in, and answered, before anything is measured.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use highwater_client::{Client, Producer, ProducerConfig, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::records::create;
use super::{Scenarios, block_on, failed};
use crate::part::{Finding, Notes, Tier};
use crate::process::{Plan, Server, pause};

/// Ten thousand connections that have asked which versions there are, and nothing since.
pub(super) fn ten_thousand_idle(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    if let Some(why) = too_few_files(place, IDLE)? {
        return skip(notes, "10,000 idle connections", why);
    }
    let server = plan(place, "idle-crowd", IDLE)?.start()?;
    block_on(async {
        let producer = producer(&server).await?;
        let before = anonymous(&server)?;
        let crowd = crowd(&server, IDLE).await?;
        let after = anonymous(&server)?;
        send(&producer).await?;
        let each = after.saturating_sub(before) / IDLE as u64;
        notes.row(
            "10,000 idle connections: memory of the broker",
            format!("{:.1} MiB, {each} bytes for each", mib(after)),
        );
        drop(crowd);
        if after > IDLE_BYTES_MAX {
            let (after, max) = (mib(after), mib(IDLE_BYTES_MAX));
            return Err(Finding::new(format!(
                "10,000 idle connections make the broker {after:.1} MiB large, more than {max}"
            )));
        }
        Ok(())
    })?;
    server.stop().map(|_| ())
}

/// Five thousand connections that have begun a request and send a byte of it every second, while
/// somebody produces: in turns with nobody, because other programs share the machine.
pub(super) fn slow_senders(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    if let Some(why) = too_few_files(place, SLOW)? {
        return skip(notes, "5,000 slow senders", why);
    }
    let server = plan(place, "slow-crowd", SLOW)?.start()?;
    let (turns, turn) = match place.tier {
        Tier::Ci => (1, Duration::from_secs(3)),
        Tier::Nightly | Tier::Release => (5, Duration::from_secs(10)),
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut grown = 0;
    block_on(async {
        let producer = producer(&server).await?;
        // What the first requests cost belongs to neither.
        produce_for(&producer, turn / 4).await?;
        for _ in 0..turns {
            let before = anonymous(&server)?;
            alone.extend(produce_for(&producer, turn).await?);
            let slow = Dripping::begin(crowd(&server, SLOW).await?)?;
            beside.extend(produce_for(&producer, turn).await?);
            grown = grown.max(anonymous(&server)?.saturating_sub(before));
            slow.end()?;
        }
        Ok(())
    })?;
    let (alone, beside) = (p99(alone), p99(beside));
    let ratio = beside.as_secs_f64() / alone.as_secs_f64().max(f64::MIN_POSITIVE);
    notes.row(
        "5,000 slow senders: p99 of a producer",
        format!("{beside:.1?}, {alone:.1?} without them: {ratio:.2} times"),
    );
    notes.row(
        "5,000 slow senders: memory of the broker",
        format!("{:.1} MiB more", mib(grown)),
    );
    if grown > SLOW_BYTES_MAX {
        let (grown, max) = (mib(grown), mib(SLOW_BYTES_MAX));
        return Err(Finding::new(format!(
            "5,000 slow senders take {grown:.1} MiB, more than {max}"
        )));
    }
    server.stop().map(|_| ())
}

fn skip(notes: &Notes, what: &str, why: String) -> Result<(), Finding> {
    eprintln!("SKIPPED: {what}: {why}");
    notes.row(what, format!("SKIPPED: {why}"));
    Ok(())
}

/// A broker with room for a crowd that comes at once, and for who works beside it; each address
/// has no more connections than it may have.
fn plan(place: &Scenarios, name: &str, count: usize) -> Result<Plan, Finding> {
    let plan = place.plan(name)?;
    let plan = plan.set("max.connections", count + BESIDE);
    Ok(plan.set("max.connection.creation.rate", 1_000_000))
}

/// Raises this process's limit of files to what it may have; why that is not enough, if so. The
/// broker has the same limit, and keeps a fifth of it free.
fn too_few_files(place: &Scenarios, count: usize) -> Result<Option<String>, Finding> {
    let say = |error: String| Finding::new(format!("the limit of open files: {error}"));
    let limits = std::fs::read_to_string("/proc/self/limits");
    let limits = limits.map_err(|error| say(error.to_string()))?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(4));
    let hard = hard.ok_or_else(|| say("it is not told".to_owned()))?;
    // What is unlimited is no number.
    let most: usize = hard.parse().unwrap_or(usize::MAX);
    let needed = (count + BESIDE) / 4 * 5;
    if most < needed {
        return Ok(Some(format!(
            "the hard limit of open files is {most}, below {needed} (ulimit -Hn)"
        )));
    }
    let raised = Command::new(&place.prlimit)
        .arg(format!("--pid={}", std::process::id()))
        .arg(format!("--nofile={hard}:{hard}"))
        .status();
    match raised {
        Ok(status) if status.success() => Ok(None),
        other => Err(say(format!("prlimit failed: {other:?}"))),
    }
}

async fn producer(server: &Server) -> Result<Producer, Finding> {
    let client = Client::connect(&server.bootstrap).await;
    let client = client.map_err(failed("no connection"))?;
    // The disk is not what is looked at.
    create(&client, "events", 1, &[("durability", "page-cache")]).await?;
    let config = ProducerConfig {
        linger_ms: 0,
        ..ProducerConfig::default()
    };
    client.producer(config).map_err(failed("no producer"))
}

/// One record, to its acknowledgement.
async fn send(producer: &Producer) -> Result<(), Finding> {
    let record = Record::to("events").partition(0).value("one");
    let sent = producer.send(record).await;
    let delivery = sent.map_err(failed("a record is refused"))?;
    let delivered = delivery.await;
    delivered
        .map(|_| ())
        .map_err(failed("a record is not delivered"))
}

/// Sends one record after the other; how long each took.
async fn produce_for(producer: &Producer, time: Duration) -> Result<Vec<Duration>, Finding> {
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < time {
        let since = Instant::now();
        send(producer).await?;
        took.push(since.elapsed());
    }
    Ok(took)
}

/// So many connections from several addresses of this machine; each was answered once.
async fn crowd(server: &Server, count: usize) -> Result<Vec<TcpStream>, Finding> {
    let address: SocketAddr = server
        .bootstrap
        .parse()
        .map_err(|error| Finding::new(format!("{}: {error}", server.bootstrap)))?;
    let mut crowd = Vec::with_capacity(count);
    for number in 0..count {
        let host = u8::try_from(number / EACH_ADDRESS).unwrap_or(u8::MAX);
        let from = Ipv4Addr::new(127, 0, 0, FIRST_HOST.saturating_add(host));
        let stream = answered(from, address).await;
        crowd.push(
            stream.map_err(|error| {
                Finding::new(format!("connection {number}, from {from}: {error}"))
            })?,
        );
    }
    Ok(crowd)
}

async fn answered(from: Ipv4Addr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(VERSIONS).await?;
    let size = stream.read_u32().await?;
    let mut answer = vec![0; size as usize];
    stream.read_exact(&mut answer).await?;
    stream.into_std()
}

/// A thread that sends a byte a second over each connection of a crowd.
struct Dripping {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<usize>,
}

impl Dripping {
    fn begin(mut crowd: Vec<TcpStream>) -> Result<Self, Finding> {
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let thread = thread::Builder::new().name("dripping".to_owned());
        let thread = thread.spawn(move || {
            let shares = SHARES as usize;
            let share = crowd.len().div_ceil(shares);
            let mut refused = 0;
            for step in 0_usize.. {
                let since = Instant::now();
                // The size of a request of a mebibyte, then its bytes.
                let byte = BEGUN.get(step / shares).copied().unwrap_or(0);
                let now = crowd.chunks_mut(share).nth(step % shares);
                for stream in now.into_iter().flatten() {
                    refused += usize::from(stream.write_all(&[byte]).is_err());
                }
                if told.load(Ordering::Relaxed) {
                    break;
                }
                let pace = Duration::from_secs(1) / SHARES;
                pause(pace.saturating_sub(since.elapsed()));
            }
            refused
        });
        let thread = thread.map_err(|error| Finding::new(format!("no thread: {error}")))?;
        Ok(Self { is_over, thread })
    }

    /// Lets go of all of them. None has been slow for so long that the broker gave it up: else
    /// there was no crowd.
    fn end(self) -> Result<(), Finding> {
        self.is_over.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(0) => Ok(()),
            Ok(refused) => Err(Finding::new(format!(
                "{refused} bytes of slow senders were not taken"
            ))),
            Err(_) => Err(Finding::new("the slow senders panicked")),
        }
    }
}

/// The anonymous memory of the broker, in bytes: what it cannot give back.
fn anonymous(server: &Server) -> Result<u64, Finding> {
    let path = format!("/proc/{}/status", server.pid());
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| Finding::new(format!("{path}: {error}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib << 10)
        .ok_or_else(|| Finding::new(format!("{path} has no `RssAnon`")))
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let index = took.len() * 99 / 100;
    took.get(index).copied().unwrap_or_default()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// ApiVersions v0 without a client id, behind its size.
const VERSIONS: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
/// The size of a request of a mebibyte.
const BEGUN: [u8; 4] = [0, 0x10, 0, 0];

const IDLE: usize = 10_000;
const IDLE_BYTES_MAX: u64 = 100 << 20;
const SLOW: usize = 5_000;
const SLOW_BYTES_MAX: u64 = 50 << 20;
/// Connections of who works beside a crowd, and files of the broker.
const BESIDE: usize = 100;
/// As many as `max.connections.per.ip` allows.
const EACH_ADDRESS: usize = 1_000;
/// 127.0.0.1 is for who works.
const FIRST_HOST: u8 = 2;
/// Shares of a crowd that send at the same time, ten each: clients that know nothing of each other
/// send all through the second.
const SHARES: u32 = 500;
