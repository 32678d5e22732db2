//! What a part of the torture is: a numbered list of items, and how much of it a tier asks for.
//!
//! Invariants
//! - An item follows from its number and the seed of the run alone: number and part name what to
//!   run again.
//! - An item that was begun is finished, so that a part goes on behind the last that it gave out.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::place::Place;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tier {
    /// With each change: all parts together take at most eight minutes on two cores.
    Ci,
    /// At most six hours.
    Nightly,
    /// Before a release; collected over several runs.
    Release,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ci => "ci",
            Self::Nightly => "nightly",
            Self::Release => "release",
        })
    }
}

/// One part.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// As `--only` takes it.
    pub name: &'static str,
    /// What is counted, in the plural: `images`, `seeds`, `kills`.
    pub unit: &'static str,
    /// How many of them the tiers ask for: ci, nightly, release.
    pub asked: [u64; 3],
    /// Its share of the time of the tier ci, in seconds; in the others the shares are in the same
    /// proportion.
    pub ci_seconds: u64,
    /// How many items run side by side.
    pub threads: usize,
    /// The folders of the project whose change makes what was counted worth nothing.
    pub covers: &'static [&'static str],
    /// Makes it ready: looks for tools, builds what it needs.
    pub open: Open,
}

/// What parts cover that run the binary: all of the product, and themselves.
pub const THE_WHOLE: &[&str] = &[
    "proto/src",
    "log-core/src",
    "broker/src",
    "client/src",
    "src",
    "tests/kit/src",
    "tests/torture/src",
];

/// Makes a part ready.
pub type Open = fn(&Place, Tier) -> Result<Box<dyn Work>, Unable>;

impl Part {
    /// How many units a tier asks for.
    #[must_use]
    pub const fn asked(&self, tier: Tier) -> u64 {
        self.asked[tier as usize]
    }
}

/// Why a part cannot run on this machine, as a sentence.
#[derive(Clone, Debug)]
pub struct Unable(pub String);

/// A part that is ready.
pub trait Work: Send + Sync {
    /// Runs one item; answers how many units it was.
    ///
    /// # Errors
    /// A broken promise, with all that is needed to see it again.
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding>;

    /// How many items there are. `u64::MAX` if each number is one.
    fn items(&self) -> u64 {
        u64::MAX
    }
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What is wrong, and how to see it again.
    pub text: String,
}

impl Finding {
    /// A finding that says this.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// What a part wants to be read behind the scorecard: rows of a table of its own.
#[derive(Debug, Default)]
pub struct Notes {
    rows: Mutex<Vec<(String, String)>>,
}

impl Notes {
    /// Adds a row: a name and what was seen.
    pub fn row(&self, name: impl Into<String>, seen: impl Into<String>) {
        self.lock().push((name.into(), seen.into()));
    }

    /// The rows, sorted by name.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = self.lock().clone();
        rows.sort();
        rows
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(String, String)>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
