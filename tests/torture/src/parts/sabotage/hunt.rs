//! The searches that have to find a sabotage.
//!
//! Invariants
//! - A seed says all: search and seed are enough to see a finding again.
//! - A panic is a finding: assertions are oracles, too.

use std::panic::{AssertUnwindSafe, catch_unwind};

use highwater_kit::life::{lives, lives_keyed};
use highwater_kit::mishaps::mishap;
use highwater_kit::sabotage::Sabotage;
use highwater_kit::sweep::Finding;
use serde::{Deserialize, Serialize};

use super::list::Bug;
use crate::broker_life::{Broken, life};
use crate::stream_life;

/// A search by seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Lives of a shard on a disk that fails.
    CoreSeeds,
    /// The same of logs with a key index.
    KeySeeds,
    /// Mishaps of a data directory that is not in use.
    Mishaps,
    /// Lives of a whole broker, with its clients.
    BrokerSeeds,
    /// The same with event streams.
    StreamSeeds,
}

/// What a seed found.
#[derive(Clone, Debug)]
pub struct Told {
    /// The rule that was broken.
    pub oracle: String,
    /// How it showed.
    pub how: String,
}

impl From<Finding> for Told {
    fn from(finding: Finding) -> Self {
        Self {
            oracle: format!("{:?}", finding.violation.oracle),
            how: finding.to_string(),
        }
    }
}

impl From<Broken> for Told {
    fn from(broken: Broken) -> Self {
        Self {
            oracle: format!("{:?}: {}", broken.oracle, broken.oracle.says()),
            how: broken.text,
        }
    }
}

impl Told {
    fn of_stream(how: String) -> Self {
        Self {
            oracle: "what clients are told is linearizable".to_owned(),
            how,
        }
    }
}

/// A sabotage that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caught {
    /// The search that found it.
    pub search: String,
    /// How many of its seeds that took.
    pub seeds: u64,
    /// The seed.
    pub seed: u64,
    /// The rule that was broken.
    pub oracle: String,
    /// How it showed.
    pub how: String,
}

impl Search {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::CoreSeeds,
        Self::KeySeeds,
        Self::Mishaps,
        Self::BrokerSeeds,
        Self::StreamSeeds,
    ];

    /// As the table has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CoreSeeds => "core seeds",
            Self::KeySeeds => "key seeds",
            Self::Mishaps => "mishaps",
            Self::BrokerSeeds => "broker seeds",
            Self::StreamSeeds => "stream seeds",
        }
    }

    /// Runs one seed.
    ///
    /// # Errors
    /// What it finds.
    pub fn look(self, seed: u64, seam: Option<Sabotage>) -> Result<(), Told> {
        let looked = catch_unwind(AssertUnwindSafe(|| match self {
            Self::CoreSeeds => lives(seed, seam).map_err(Told::from),
            Self::KeySeeds => lives_keyed(seed, seam).map_err(Told::from),
            Self::Mishaps => mishap(seed).map_err(Told::from),
            Self::BrokerSeeds => life(seed).map(drop).map_err(Told::from),
            Self::StreamSeeds => stream_life::life(seed).map(drop).map_err(Told::of_stream),
        }));
        match looked {
            Ok(found) => found,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Err(Told {
                    oracle: "an assertion".to_owned(),
                    how: text.unwrap_or_default(),
                })
            }
        }
    }
}

/// Searches for a bug, which is on already if it is one of the source.
#[must_use]
pub fn hunt(bug: &Bug, first_seed: u64) -> Option<Caught> {
    for search in bug.searches {
        for seed in first_seed..first_seed + SEEDS_MAX {
            if let Err(Told { oracle, how }) = search.look(seed, bug.seam) {
                return Some(Caught {
                    search: search.name().to_owned(),
                    seeds: seed - first_seed + 1,
                    seed,
                    oracle,
                    how,
                });
            }
        }
    }
    None
}

/// Each bug is to be found within so many seeds.
pub const SEEDS_MAX: u64 = 1_000;
