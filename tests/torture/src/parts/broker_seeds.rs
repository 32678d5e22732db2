//! A part of the torture that is being written.

use crate::part::{Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "broker-seeds",
    unit: "seeds",
    asked: [200, 20_000, 1_000_000],
    ci_seconds: 20,
    threads: 2,
    covers: &[
        "proto/src",
        "log-core/src",
        "broker/src",
        "tests/kit/src",
        "tests/torture/src",
    ],
    open,
};

fn open(_place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    Err(Unable("not built yet".to_owned()))
}
