//! A thousand groups that commit twelve offsets every five seconds, for a week: the logs of
//! `__consumer_offsets` stay small, and lose nothing.
//!
//! An item is the next minutes of one week, on one broker in memory, whose clock is moved by
//! hand. To run item N again is to live the week up to there.
//!
//! Invariants
//! - At no moment do the files of a partition take more than twice what its groups hold, and one
//!   segment.
//! - Behind each item, the broker and another one on what a power cut would leave know the last
//!   offsets of every group.

mod groups;
mod logs;
mod week;

use std::sync::{Mutex, PoisonError};

use self::week::Week;
use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "offsets-week",
    unit: "rounds",
    asked: [378, WEEK_ROUNDS, WEEK_ROUNDS],
    ci_seconds: 18,
    threads: 1,
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
    Ok(Box::new(Stretches(Mutex::default())))
}

/// The week, as far as it has gone.
struct Stretches(Mutex<Option<Week>>);

impl Work for Stretches {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A week that finds something is not gone on with.
        let mut week = match kept.take() {
            Some(week) if week.stretches() <= number => week,
            _ => Week::begin().map_err(Finding::new)?,
        };
        while week.stretches() <= number {
            week.live(ROUNDS).map_err(Finding::new)?;
        }
        week.report(notes);
        *kept = Some(week);
        Ok(ROUNDS)
    }

    fn items(&self) -> u64 {
        WEEK_ROUNDS / ROUNDS
    }
}

/// How many rounds an item has. No multiple of those between two rewritings, so that its end comes
/// in all phases of a log.
const ROUNDS: u64 = 63;
const WEEK_ROUNDS: u64 = 7 * 24 * 3_600 * 1_000 / week::INTERVAL_MS;
const _: () = assert!(WEEK_ROUNDS.is_multiple_of(ROUNDS));
