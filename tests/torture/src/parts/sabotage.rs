//! Deliberate bugs, each of which the tests must notice: a test that cannot fail is a defect.
//!
//! An item is one bug. The searches run in a copy of the project that has all the patches of
//! `tests/sabotage`, each behind a switch, and in which one is on.
//!
//! Invariants
//! - The searches are those of the other parts, with the same seeds.
//! - What a bug is found by is a seed that finds nothing in the code as it is.
//! - A patch that does not apply any more, or does not compile, is a finding.

mod copy;
pub mod hunt;
pub mod list;

use std::path::PathBuf;
use std::process::Command;

use self::hunt::{Caught, SEEDS_MAX, Search};
use self::list::{BUGS, Bug};
use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "sabotage",
    unit: "sabotages",
    asked: [BUGS.len() as u64; 3],
    ci_seconds: 60,
    threads: 2,
    covers: &[
        "proto/src",
        "log-core/src",
        "broker/src",
        "tests/kit/src",
        "tests/torture/src",
        "tests/sabotage",
    ],
    open,
};

fn open(place: &Place, tier: Tier) -> Result<Box<dyn Work>, Unable> {
    Ok(Box::new(Sabotages {
        hunter: copy::build(&place.root),
        runs: if tier == Tier::Ci { 1 } else { RUNS },
    }))
}

struct Sabotages {
    /// The program that searches in the sabotaged copy, or why there is none.
    hunter: Result<PathBuf, String>,
    runs: u64,
}

impl Work for Sabotages {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        let bug = usize::try_from(number)
            .ok()
            .and_then(|slot| BUGS.get(slot))
            .ok_or_else(|| Finding::new("there is no such sabotage"))?;
        let hunter = self.hunter.as_ref().map_err(Finding::new)?;
        let mut found = Vec::new();
        for run in 0..self.runs {
            let caught = caught_by(hunter, bug, run * FIRST_SEEDS_APART)?;
            is_clean_without(bug, &caught)?;
            found.push(caught);
        }
        found.sort_by_key(|caught| caught.seeds);
        let median = &found[found.len() / 2];
        notes.row(
            format!("{} {}", bug.number(), bug.what),
            format!(
                "{}, by {}, seeds: {}",
                median.oracle, median.search, median.seeds
            ),
        );
        Ok(1)
    }

    fn items(&self) -> u64 {
        BUGS.len() as u64
    }
}

/// Searches with the bug on.
fn caught_by(hunter: &PathBuf, bug: &Bug, first_seed: u64) -> Result<Caught, Finding> {
    let missed = |why: String| {
        let (name, what) = (bug.name, bug.what);
        Finding::new(format!(
            "{name} ({what}), seeds from {first_seed} on: {why}"
        ))
    };
    let output = Command::new(hunter)
        .args([bug.name, "--first-seed", &first_seed.to_string()])
        .env(SWITCH, bug.name)
        .output()
        .map_err(|error| missed(format!("cannot run {}: {error}", hunter.display())))?;
    let answer: Option<Caught> = serde_json::from_slice(&output.stdout).map_err(|_| {
        let error = String::from_utf8_lossy(&output.stderr);
        missed(format!("no answer, {}: {error}", output.status))
    })?;
    answer.ok_or_else(|| {
        let searches: Vec<_> = bug.searches.iter().map(|one| one.name()).collect();
        let searches = searches.join(", ");
        missed(format!("not found within {SEEDS_MAX} seeds by {searches}"))
    })
}

/// The same seed finds nothing in the code as it is.
fn is_clean_without(bug: &Bug, caught: &Caught) -> Result<(), Finding> {
    let search = Search::ALL
        .into_iter()
        .find(|search| search.name() == caught.search)
        .ok_or_else(|| Finding::new(format!("there is no search `{}`", caught.search)))?;
    search.look(caught.seed, None).map_err(|told| {
        let (name, seed, search) = (bug.name, caught.seed, &caught.search);
        let (oracle, how) = (told.oracle, told.how);
        Finding::new(format!(
            "seed {seed} of {search} is broken without {name}, too: {oracle}: {how}"
        ))
    })
}

/// The variable that the patched copy looks at.
const SWITCH: &str = "HIGHWATER_SABOTAGE";
/// How often a sabotage is searched for outside of ci: the median is printed.
const RUNS: u64 = 5;
/// The runs have other seeds.
const FIRST_SEEDS_APART: u64 = 1_000_000;
