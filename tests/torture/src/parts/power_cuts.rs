//! A broker on a disk that forgets, whose power is cut, again and again, while clients use it:
//! only what the contract gives up is lost.
//!
//! An item is one life of a data directory, with several power cuts and a drain.

use highwater_kit::history::FaultKind;

use crate::part::{Part, THE_WHOLE, Tier, Unable, Work};
use crate::place::Place;
use crate::process::lives::Lives;

/// The part.
pub const PART: Part = Part {
    name: "power-cuts",
    unit: "power cuts",
    asked: [30, 300, 5_000],
    ci_seconds: 40,
    threads: 2,
    covers: THE_WHOLE,
    open,
};

fn open(place: &Place, tier: Tier) -> Result<Box<dyn Work>, Unable> {
    let lives = Lives::open(
        place,
        "highwater-volatile",
        PART.name,
        (FaultKind::PowerCut, tier),
    )?;
    Ok(Box::new(lives))
}
