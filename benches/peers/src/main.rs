//! The same workload through Highwater's client and through librdkafka, against one Highwater
//! broker over loopback, in turns of one run.
//!
//! `cargo run --release` in this folder; `-- --test` tries everything with little data. It prints
//! for both clients the records a second, and what a record costs in CPU time: that of the client,
//! which runs in this process, and that of the broker, which runs in one of its own.
//!
//! Invariants
//! - Both clients get the same records, the same settings and a topic of their own in each turn;
//!   both verify checksums and wait for every answer.
//! - Every record is counted: what is missing fails the run.

mod broker;
mod ours;
mod theirs;

use std::error::Error;

use highwater_broker::clock::SystemClock;
use highwater_proto::clock::Clock;

use broker::Child;
use broker::cpu_seconds;
use ours::Ours;
use theirs::Theirs;

type Failure = Box<dyn Error>;

/// A client that can run the workload.
trait Peer {
    /// Sends so many records to a new topic, and waits until all are stored.
    fn produce(&self, topic: &str, settings: &Settings, count: usize) -> Result<(), Failure>;

    /// Reads so many records of a topic with one partition, from its start.
    fn consume(&self, topic: &str, count: usize) -> Result<(), Failure>;
}

/// What a producer is told, by Kafka's names.
#[derive(Clone, Copy)]
struct Settings {
    batch_size: usize,
    linger_ms: u64,
}

/// What one pass has taken.
#[derive(Clone, Copy, Default)]
struct Pass {
    per_second: f64,
    client_cpu: f64,
    broker_cpu: f64,
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == broker::CHILD) {
        return broker::serve();
    }
    let is_smoke = words.iter().any(|word| word == "--test");
    let (turns, count) = if is_smoke { (1, 2_000) } else { (7, 2_000_000) };
    let bench = Bench {
        child: Child::start()?,
        clock: SystemClock::new(),
        turns,
        count,
    };
    let peers = [
        Box::new(Ours::new(bench.child.address())?) as Box<dyn Peer>,
        Box::new(Theirs::new(bench.child.address())),
    ];
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores, {count} records of {RECORD_BYTES} bytes, median of {turns} turns");
    println!(
        "{:44} {:>12} {:>12} {:>12}",
        "", "highwater", "librdkafka", "ratio"
    );
    for (batch_size, linger_ms, what) in [
        (16_384, 5, "produce, batch.size 16384, linger.ms 5"),
        (32_768, 20, "produce, batch.size 32768, linger.ms 20"),
        (1_000_000, 5, "produce, batch.size 1000000, linger.ms 5"),
    ] {
        let settings = Settings {
            batch_size,
            linger_ms,
        };
        bench.compare(what, &peers, count, |peer, topic| {
            peer.produce(topic, &settings, count)
        })?;
    }
    let topic = bench.child.topic()?;
    let settings = Settings {
        batch_size: 16_384,
        linger_ms: 5,
    };
    peers[0].produce(&topic, &settings, count)?;
    bench.compare("consume", &peers, 0, |peer, _| {
        peer.consume(&topic, count)
    })
}

struct Bench {
    child: Child,
    clock: SystemClock,
    turns: usize,
    count: usize,
}

impl Bench {
    /// Measures both in turns, and prints three lines. `stored` is what each pass leaves in the
    /// topic that was made for it.
    fn compare(
        &self,
        what: &str,
        peers: &[Box<dyn Peer>; 2],
        stored: usize,
        work: impl Fn(&dyn Peer, &str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut passes = [const { Vec::new() }; 2];
        for _ in 0..self.turns {
            for (peer, passes) in peers.iter().zip(&mut passes) {
                let topic = self.child.topic()?;
                passes.push(self.pass(|| work(&**peer, &topic))?);
                self.child.expect_stored(&topic, stored)?;
                self.child.remove(&topic)?;
            }
        }
        let line = |what: &str, value: fn(&Pass) -> f64, digits: usize| {
            let [ours, theirs] = &passes;
            let ratios = ours.iter().zip(theirs).map(|(a, b)| value(a) / value(b));
            let (ratio, ours) = (median(ratios), median(ours.iter().map(value)));
            let theirs = median(theirs.iter().map(value));
            println!("{what:44} {ours:>12.digits$} {theirs:>12.digits$} {ratio:>12.2}");
        };
        line(
            &format!("{what}: million a second"),
            |it| it.per_second / 1e6,
            2,
        );
        line("- client's CPU, ns a record", |it| it.client_cpu * 1e9, 0);
        line("- broker's CPU, ns a record", |it| it.broker_cpu * 1e9, 0);
        Ok(())
    }

    fn pass(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<Pass, Failure> {
        let cpu = || Ok::<_, Failure>((cpu_seconds("self")?, cpu_seconds(self.child.id())?));
        let (start, (client, broker)) = (self.clock.now().mono, cpu()?);
        work()?;
        let seconds = self.clock.now().mono.since(start).as_secs_f64();
        let (client_end, broker_end) = cpu()?;
        let count = self.count as f64;
        Ok(Pass {
            per_second: count / seconds,
            client_cpu: (client_end - client) / count,
            broker_cpu: (broker_end - broker) / count,
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value of a record in bytes.
const RECORD_BYTES: usize = 100;
