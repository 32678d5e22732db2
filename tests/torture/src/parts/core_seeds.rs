//! Lives of a shard on a simulated disk, one a seed: hundreds of operations, crashes, failing
//! disks, and every rule behind each recovery.
//!
//! - The number of an item is its seed. The first one lives all seeds again that found something
//!   once.
//! - One seed in a hundred is lived twice, and every call at the seam and every answer must be the
//!   same.
//! - What a seed finds is made shorter before it is told.

use std::sync::atomic::{AtomicU64, Ordering};

use highwater_kit::life::{Script, drawn, lives, past_seeds, shrink, twice};
use highwater_kit::sweep::Finding as Broken;

use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "core-seeds",
    unit: "seeds",
    asked: [2_000, 200_000, 10_000_000],
    ci_seconds: 20,
    threads: 2,
    covers: &["proto/src", "log-core/src", "tests/kit/src"],
    open,
};

fn open(_place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    Ok(Box::new(Lives {
        twice: AtomicU64::new(0),
    }))
}

struct Lives {
    /// Seeds that were lived twice.
    twice: AtomicU64,
}

impl Work for Lives {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        if number == 0 {
            for (seed, _) in past_seeds() {
                live(seed)?;
            }
            notes.row("past failures lived again", past_seeds().len().to_string());
        }
        live(number)?;
        if number.is_multiple_of(TWICE_EVERY) {
            twice(number).map_err(|finding| Finding::new(finding.to_string()))?;
            let count = self.twice.fetch_add(1, Ordering::Relaxed) + 1;
            // Rows of one name are sorted, and the last one is shown.
            notes.row("lived twice with equal events", format!("{count:7} seeds"));
        }
        Ok(1)
    }
}

fn live(seed: u64) -> Result<(), Finding> {
    lives(seed, None).map_err(|finding| shortened(&finding, &drawn(seed).1))
}

/// A finding, and the shortest script that has it.
pub(super) fn shortened(finding: &Broken, script: &Script) -> Finding {
    let text = match shrink(script, None, TRIES_MAX) {
        Some(shrunk) => format!(
            "{finding}\n  shrunk in {} tries to\n{}\n  which finds {}",
            shrunk.tries, shrunk.script, shrunk.finding
        ),
        None => format!("{finding}\n  and not when lived again"),
    };
    Finding::new(text)
}

const TWICE_EVERY: u64 = 100;
/// A few seconds.
const TRIES_MAX: usize = 2000;
