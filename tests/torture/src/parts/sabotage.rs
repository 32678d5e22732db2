//! A part of the torture that is being written.

use crate::part::{Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "sabotage",
    unit: "sabotages",
    asked: [23, 23, 23],
    ci_seconds: 60,
    threads: 1,
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

fn open(_place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    Err(Unable("not built yet".to_owned()))
}
