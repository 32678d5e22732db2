//! A broker that is killed, again and again, while clients use it: nothing that was acknowledged is
//! lost.
//!
//! An item is one life of a data directory, with several kills and a drain.

use highwater_kit::history::FaultKind;

use crate::part::{Part, THE_WHOLE, Tier, Unable, Work};
use crate::place::Place;
use crate::process::lives::Lives;

/// The part.
pub const PART: Part = Part {
    name: "kills",
    unit: "kills",
    asked: [50, 500, 10_000],
    ci_seconds: 60,
    threads: 2,
    covers: THE_WHOLE,
    open,
};

fn open(place: &Place, tier: Tier) -> Result<Box<dyn Work>, Unable> {
    let lives = Lives::open(place, "highwater", PART.name, (FaultKind::Kill, tier))?;
    Ok(Box::new(lives))
}
