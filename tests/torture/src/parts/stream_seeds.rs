//! Lives of a broker with event streams that follow from a seed, one an item; `stream_life` has
//! them. What clients are told is linearizable.

use std::sync::Mutex;

use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;
use crate::stream_life::{Stats, life};

/// The part.
pub const PART: Part = Part {
    name: "stream-seeds",
    unit: "seeds",
    asked: [200, 20_000, 1_000_000],
    ci_seconds: 15,
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
    Ok(Box::new(Seeds(Mutex::default())))
}

struct Seeds(Mutex<Stats>);

impl Work for Seeds {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        let lived = life(number).map_err(Finding::new)?;
        if number.is_multiple_of(TWICE_EVERY) && life(number) != Ok(lived) {
            return Err(Finding::new(format!("seed {number} takes two courses")));
        }
        let mut all = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        all.calls += lived.calls;
        all.conflicts += lived.conflicts;
        all.unanswered += lived.unanswered;
        all.repeats += lived.repeats;
        let Stats {
            calls,
            conflicts,
            unanswered,
            repeats,
        } = *all;
        // Rows of one name are sorted, and the last one is shown.
        notes.row(
            "linearizable",
            format!(
                "{calls:9} calls, {conflicts} conflicts, {repeats} repeats recognised, \
                 {unanswered} without an answer"
            ),
        );
        Ok(1)
    }
}

/// One seed in so many is lived twice and must take the same course.
const TWICE_EVERY: u64 = 100;
