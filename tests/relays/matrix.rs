//! Which series there are, and how far each has come.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use highwater::Client;
use highwater::client::SystemClock;
use highwater_proto::clock::Clock;
use tempfile::TempDir;

use crate::judge;
use crate::kills::Seen;
use crate::ledger::{Entry, Ledger, Watch};
use crate::process::{Disk, Served};
use crate::relaying::said;
use crate::series::Backend;

/// What is to be run.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Every step; else some, other ones with each seed.
    pub(crate) is_full: bool,
    pub(crate) seed: u64,
    /// Only series whose name has one of these words in it.
    words: Vec<String>,
    /// Where the counts are written.
    json: Option<PathBuf>,
    /// What was run before.
    ledger: Option<PathBuf>,
    /// The address of an Apache Kafka.
    pub(crate) kafka: Option<String>,
}

impl Asked {
    /// Reads `[--full] [--json FILE] [--ledger FILE] [WORD]...`, the seed from `SEED` and Kafka's
    /// address from `HIGHWATER_KAFKA`.
    ///
    /// # Errors
    /// What makes no sense.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let seed = match std::env::var("SEED") {
            Ok(seed) => seed.parse().map_err(said)?,
            Err(_) => u64::from(std::process::id()),
        };
        let mut asked = Self {
            seed,
            kafka: std::env::var("HIGHWATER_KAFKA").ok(),
            ..Self::default()
        };
        while let Some(word) = words.next() {
            let mut file = || words.next().map(PathBuf::from);
            match word.as_str() {
                "--full" => asked.is_full = true,
                "--json" => asked.json = file(),
                "--ledger" => asked.ledger = file(),
                // What `cargo test` may give to every test.
                "--nocapture" | "--quiet" | "-q" | "--exact" => {}
                flag if flag.starts_with("--test-threads=") => {}
                flag if flag.starts_with('-') => return Err(format!("what is {flag}?")),
                _ => asked.words.push(word),
            }
        }
        Ok(asked)
    }

    fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word))
    }

    pub(crate) fn wants_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.wants(name))
    }
}

/// Runs what is asked for; whether all of it is as it should be.
///
/// # Errors
/// What kept it from being run.
pub(crate) fn run(asked: Asked) -> Result<bool, String> {
    judge::sees_what_is_wrong()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let matrix = Matrix {
        ledger: RefCell::new(Ledger::open(asked.ledger.clone())?),
        folder: tempfile::tempdir().map_err(said)?,
        asked,
    };
    println!("relays: SEED={}", matrix.asked.seed);
    runtime.map_err(said)?.block_on(matrix.run())?;
    let ledger = matrix.ledger.into_inner();
    if let Some(path) = &matrix.asked.json {
        ledger.write(path)?;
    }
    println!("\n{}", ledger.table());
    let entries = ledger.entries.iter();
    let findings: Vec<_> = entries.filter(|(_, it)| it.finding.is_some()).collect();
    for (name, entry) in &findings {
        let finding = entry.finding.as_deref().unwrap_or_default();
        println!("\nFAILED: {name}: {finding}\n  SEED={}", matrix.asked.seed);
    }
    Ok(findings.is_empty())
}

pub(crate) struct Matrix {
    pub(crate) asked: Asked,
    /// Never borrowed while anything is waited for.
    ledger: RefCell<Ledger>,
    folder: TempDir,
}

/// When a series ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// When its processes live through; else every so-manieth step is run.
    Lived { stride: usize },
    /// The same; and what is broken on purpose has to be seen, which is enough for a sample.
    Control { stride: usize },
    /// After so many steps.
    Count(usize),
    /// When what is broken on purpose is seen, and that has to be before so many.
    Seen(usize),
}

impl Matrix {
    async fn run(&self) -> Result<(), String> {
        let data = self.path("highwater")?;
        let served = Served::start(Disk::Real, &data, "127.0.0.1:0")?;
        let highwater = Backend {
            name: "highwater",
            address: &served.address,
            client: Client::connect(&served.address).await.map_err(said)?,
            topic: &[],
        };
        // They wait more than they work.
        let (kills, sqlite, postgres, brokers, kafka) = tokio::join!(
            self.kills_on(&highwater),
            self.cuts_of_sqlite(&highwater),
            self.cuts_of_postgres(&highwater),
            self.cuts_of_brokers(),
            self.kills_on_kafka(),
        );
        served.kill();
        kills.and(sqlite).and(postgres).and(brokers).and(kafka)
    }

    /// Runs the steps of a series that were not run yet.
    pub(crate) async fn series(
        &self,
        name: &str,
        end: End,
        each: impl AsyncFn(usize) -> Result<Seen, String>,
    ) -> Result<(), String> {
        if !self.asked.wants(name) {
            return Ok(());
        }
        let stride = match (end, self.asked.is_full) {
            (End::Lived { stride } | End::Control { stride }, false) => stride,
            _ => 1,
        };
        let found = self.ledger.borrow_mut().entries.remove(name);
        let mut entry = found.unwrap_or_default();
        if entry.runs == 0 && stride > 1 {
            entry.next = usize::try_from(self.asked.seed).unwrap_or(0) % stride;
        }
        if entry.finding.take().is_some() && !entry.is_done {
            // Once more, in a run that goes on.
            entry.next = entry.next.saturating_sub(stride);
        }
        while !entry.is_done && entry.finding.is_none() {
            let watch = Watch::start();
            let step = entry.next;
            let clock = SystemClock::new();
            let late = clock.sleep_until(clock.now().mono.plus(STEP_MAX));
            let seen = tokio::select! {
                seen = each(step) => seen,
                () = late => Err("it hangs".to_owned()),
            };
            match seen {
                Ok(seen) => {
                    entry.add(seen);
                    entry.is_done = end.is_reached(&entry, seen, self.asked.is_full);
                }
                Err(why) => entry.finding = Some(format!("step {step}: {why}")),
            }
            entry.next += stride;
            entry.seconds += watch.elapsed().as_secs_f64();
            self.keep(name, &entry)?;
        }
        if entry.is_done && end.is_control() && entry.ghosts + entry.lost == 0 {
            entry.finding = Some("what is broken on purpose was not seen".to_owned());
        }
        println!(
            "relays: {name}: {} runs, {} kills, {:.1} s",
            entry.runs, entry.kills, entry.seconds
        );
        self.keep(name, &entry)
    }

    fn keep(&self, name: &str, entry: &Entry) -> Result<(), String> {
        let mut ledger = self.ledger.borrow_mut();
        ledger.entries.insert(name.to_owned(), entry.clone());
        ledger.keep()
    }

    /// A folder of its own.
    #[expect(clippy::disallowed_methods, reason = "a folder of the test")]
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, String> {
        let path: &Path = self.folder.path();
        let path = path.join(name);
        std::fs::create_dir_all(&path).map_err(said)?;
        Ok(path)
    }
}

impl End {
    const fn is_control(self) -> bool {
        matches!(self, Self::Control { .. } | Self::Seen(_))
    }

    const fn is_reached(self, entry: &Entry, seen: Seen, is_full: bool) -> bool {
        let is_seen = seen.lost + seen.ghosts > 0;
        match self {
            Self::Lived { .. } => seen.is_last,
            Self::Control { .. } => seen.is_last || is_seen && !is_full,
            Self::Count(count) => entry.next + 1 >= count,
            Self::Seen(count) => is_seen || entry.next + 1 >= count,
        }
    }
}

impl Entry {
    const fn add(&mut self, seen: Seen) {
        self.runs += 1;
        self.kills += seen.kills;
        self.rows += seen.rows;
        self.again += seen.again;
        self.effects += seen.effects;
        self.undone += seen.undone;
        self.ghosts += seen.ghosts;
        self.lost += seen.lost;
    }
}

/// No step takes longer, whatever else the machine does.
const STEP_MAX: Duration = Duration::from_secs(180);
