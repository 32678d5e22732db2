//! The lives of `core-seeds`, of logs that know the records of each key: behind every recovery the
//! index says what the log says, also of records that retention has removed.
//!
//! The number of an item is its seed.

use highwater_kit::life::{drawn_keyed, lives_keyed};

use super::core_seeds::shortened;
use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "key-seeds",
    unit: "seeds",
    asked: [1_000, 50_000, 1_000_000],
    ci_seconds: 15,
    threads: 2,
    covers: &["proto/src", "log-core/src", "tests/kit/src"],
    open,
};

fn open(_place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    Ok(Box::new(Lives))
}

struct Lives;

impl Work for Lives {
    fn item(&self, number: u64, _notes: &Notes) -> Result<u64, Finding> {
        let found = lives_keyed(number, None);
        found.map_err(|finding| shortened(&finding, &drawn_keyed(number).1))?;
        Ok(1)
    }
}
