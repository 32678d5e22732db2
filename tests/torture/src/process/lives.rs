//! Lives of data directories, each with its number: what the parts kills and power-cuts run.
//!
//! Invariants
//! - A life that broke no promise leaves nothing.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_kit::history::FaultKind;

use super::foreign::Program;
use super::life::{Life, Seen};
use crate::part::{Finding, Notes, Tier, Unable, Work};
use crate::place::Place;

/// Lives that are ended by kills, or by power cuts.
#[derive(Debug)]
pub struct Lives {
    binary: PathBuf,
    /// Where the data directories stand.
    scratch: PathBuf,
    /// Where what broke a promise is kept.
    kept: PathBuf,
    name: &'static str,
    /// What killing the binary is.
    kind: FaultKind,
    /// Clients of others, if they are asked for.
    foreign: Option<Result<Program, Unable>>,
    totals: Totals,
}

impl Lives {
    /// Lives of a binary of this build.
    ///
    /// # Errors
    /// If it was not built, or there is no room for their directories.
    pub fn open(
        place: &Place,
        binary: &str,
        name: &'static str,
        (kind, tier): (FaultKind, Tier),
    ) -> Result<Self, Unable> {
        // On a disk that forgets librdkafka gives up: its idempotent producer takes it for a fatal
        // error that the log lacks what was acknowledged.
        let is_asked = tier != Tier::Ci && kind == FaultKind::Kill;
        let scratch = place.scratch(name);
        Ok(Self {
            binary: place.binary(binary)?,
            scratch: scratch.map_err(|error| Unable(format!("no scratch: {error}")))?,
            kept: place.root.join("target/torture/kept").join(name),
            name,
            kind,
            foreign: is_asked.then(|| Program::find(place)),
            totals: Totals::default(),
        })
    }
}

/// What was seen in all lives.
#[derive(Debug, Default)]
struct Totals {
    operations: AtomicU64,
    reads: AtomicU64,
    acked: AtomicU64,
    slowest_start_ms: AtomicU64,
}

impl Work for Lives {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        let dir = self.scratch.join(number.to_string());
        let make = fs::create_dir_all(&dir);
        make.map_err(|error| Finding::new(format!("{}: {error}", dir.display())))?;
        let foreign = match &self.foreign {
            Some(Ok(program)) if number % FOREIGN_EACH == FOREIGN_EACH - 1 => Some(program),
            Some(Err(Unable(why))) => {
                notes.row(
                    format!("{}: foreign clients", self.name),
                    format!("SKIPPED: {why}"),
                );
                None
            }
            _ => None,
        };
        let mut life = Life::begin(&self.binary, self.kind, number, &dir)?;
        let lived = life.live(foreign);
        match lived.and_then(|()| life.check()) {
            Ok(seen) => {
                drop(life);
                // Scratch is removed at the end, too.
                let _ = fs::remove_dir_all(&dir);
                self.totals.add(&seen);
                self.totals.tell(self.name, notes);
                Ok(seen.kills)
            }
            Err(finding) => Err(life.keep(&self.kept.join(number.to_string()), &finding)),
        }
    }
}

impl Totals {
    fn add(&self, seen: &Seen) {
        self.operations
            .fetch_add(seen.operations, Ordering::Relaxed);
        self.reads.fetch_add(seen.reads, Ordering::Relaxed);
        self.acked.fetch_add(seen.acked, Ordering::Relaxed);
        let ms = u64::try_from(seen.slowest_start.as_millis()).unwrap_or(u64::MAX);
        self.slowest_start_ms.fetch_max(ms, Ordering::Relaxed);
    }

    fn tell(&self, name: &str, notes: &Notes) {
        // The rows are sorted as text, and the last of a name stays.
        let row = |what: &str, number: &AtomicU64| {
            let number = number.load(Ordering::Relaxed);
            notes.row(format!("{name}: {what}"), format!("{number:>12}"));
        };
        row("operations checked", &self.operations);
        row("records read", &self.reads);
        row("sends acknowledged", &self.acked);
        row("slowest start, ms", &self.slowest_start_ms);
    }
}

/// In which lives foreign clients take part, where they do: one in so many.
const FOREIGN_EACH: u64 = 10;
