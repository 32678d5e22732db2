//! Lives of a whole broker that follow from a seed, one an item; `broker_life` has them.

use crate::broker_life::life;
use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
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
    Ok(Box::new(Seeds))
}

struct Seeds;

impl Work for Seeds {
    fn item(&self, number: u64, _notes: &Notes) -> Result<u64, Finding> {
        let lived = life(number).map_err(|broken| Finding::new(broken.to_string()))?;
        if number.is_multiple_of(TWICE_EVERY) {
            let again = life(number).map_err(|broken| Finding::new(broken.to_string()))?;
            if again != lived {
                let text = format!("seed {number} takes two courses: {lived:?}, then {again:?}");
                return Err(Finding::new(text));
            }
        }
        Ok(1)
    }
}

/// One seed in so many is lived twice and must take the same course.
const TWICE_EVERY: u64 = 100;
