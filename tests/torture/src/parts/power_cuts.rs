//! A part of the torture that is being written.

use crate::part::{Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "power-cuts",
    unit: "power cuts",
    asked: [30, 300, 5_000],
    ci_seconds: 40,
    threads: 2,
    covers: &[
        "proto/src",
        "log-core/src",
        "broker/src",
        "client/src",
        "src",
        "tests/kit/src",
        "tests/torture/src",
    ],
    open,
};

fn open(_place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    Err(Unable("not built yet".to_owned()))
}
