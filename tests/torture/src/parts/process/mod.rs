//! Scenarios of the real process: stops, starts, limits of the machine.
//!
//! Invariants
//! - A scenario fails on a broken promise. How long something took is a row to read; it fails at
//!   ten times its target only, because other programs share the machine.

mod crowd;
mod descriptors;
mod full;
mod idle;
mod records;
mod start;
mod stop;
mod suspend;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use highwater_kit::rng::Rng;

use crate::part::{Finding, Notes, Part, THE_WHOLE, Tier, Unable, Work};
use crate::place::Place;
use crate::process::Plan;

/// The part.
pub const PART: Part = Part {
    name: "process",
    unit: "scenarios",
    asked: [31, 211, 211],
    ci_seconds: 90,
    threads: 1,
    covers: THE_WHOLE,
    open,
};

fn open(place: &Place, tier: Tier) -> Result<Box<dyn Work>, Unable> {
    let scratch = place.scratch("process");
    Ok(Box::new(Scenarios {
        binary: place.binary("highwater")?,
        prlimit: place.tool("prlimit")?,
        scratch: scratch.map_err(|error| Unable(format!("no scratch: {error}")))?,
        tier,
        stops: Mutex::default(),
    }))
}

/// What every scenario gets.
struct Scenarios {
    binary: PathBuf,
    prlimit: PathBuf,
    scratch: PathBuf,
    tier: Tier,
    /// How long the longest stop took, in seconds.
    stops: Mutex<f64>,
}

/// A scenario: what it needs, where it writes what it saw.
type Scenario = fn(&Scenarios, &Notes) -> Result<(), Finding>;

/// Each once; behind them come stops at random moments.
const ONCE: [Scenario; 11] = [
    start::empty,
    start::many_partitions,
    stop::twice,
    idle::nothing_is_written,
    descriptors::soft_limit_is_raised,
    descriptors::more_clients_than_descriptors,
    crowd::ten_thousand_idle,
    crowd::slow_senders,
    full::file_system,
    full::exit_after_a_failed_sync,
    suspend::members_stay,
];

impl Work for Scenarios {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        match usize::try_from(number)
            .ok()
            .and_then(|index| ONCE.get(index))
        {
            Some(scenario) => scenario(self, notes)?,
            None => {
                let took = stop::at_a_random_moment(self, &mut Rng::new(number))?;
                let mut worst = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
                *worst = worst.max(took.as_secs_f64());
                notes.row(
                    "SIGTERM under load, to the end, worst",
                    format!("{:.3} s", *worst),
                );
            }
        }
        Ok(1)
    }
}

impl Scenarios {
    /// A broker over a directory of this name; what an earlier run left there goes.
    fn plan(&self, name: &str) -> Result<Plan, Finding> {
        let dir = self.scratch.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(|error| Finding::new(error.to_string()))?;
        }
        Ok(Plan::new(&self.binary, dir).set("group.initial.rebalance.delay.ms", 0))
    }
}

/// Runs a conversation with a broker to its end.
fn block_on<T>(talk: impl Future<Output = Result<T, Finding>>) -> Result<T, Finding> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime
        .map_err(|error| Finding::new(format!("no runtime: {error}")))?
        .block_on(talk)
}

/// What a client says when something that must work does not.
fn failed(what: &str) -> impl Fn(highwater_client::ClientError) -> Finding {
    move |error| Finding::new(format!("{what}: {error}"))
}
