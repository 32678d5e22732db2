//! What a run of lives tells: counts, the newest events, a sum of all events, the first broken
//! promise.
//!
//! Invariants
//! - The first broken promise is kept; what comes after it may only be its echo.
//! - The sum follows from the events alone: two runs of one seed have the same.

use std::collections::VecDeque;
use std::fmt;

/// What was done; printed behind the scorecard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says, counted")]
pub struct Stats {
    pub lives: u64,
    pub power_cuts: u64,
    pub kills: u64,
    pub clean_stops: u64,
    pub crashed_starts: u64,
    pub failed_calls: u64,
    pub operations: u64,
    pub batches_acknowledged: u64,
    pub batches_repeated: u64,
    pub records_read: u64,
    pub fetches_parked: u64,
    pub appends_while_parking: u64,
    pub commits_acknowledged: u64,
    pub generations: u64,
    pub fenced: u64,
    pub topics_made: u64,
    pub topics_deleted: u64,
    pub records_lost_as_allowed: u64,
    pub tails_told: u64,
    pub states_compared: u64,
    pub starts_moved: u64,
    /// A sum of all events.
    pub digest: u64,
}

impl Stats {
    /// Adds what another run did; the sums are mixed, too.
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.clean_stops += other.clean_stops;
        self.crashed_starts += other.crashed_starts;
        self.failed_calls += other.failed_calls;
        self.operations += other.operations;
        self.batches_acknowledged += other.batches_acknowledged;
        self.batches_repeated += other.batches_repeated;
        self.records_read += other.records_read;
        self.fetches_parked += other.fetches_parked;
        self.appends_while_parking += other.appends_while_parking;
        self.commits_acknowledged += other.commits_acknowledged;
        self.generations += other.generations;
        self.fenced += other.fenced;
        self.topics_made += other.topics_made;
        self.topics_deleted += other.topics_deleted;
        self.records_lost_as_allowed += other.records_lost_as_allowed;
        self.tails_told += other.tails_told;
        self.states_compared += other.states_compared;
        self.starts_moved += other.starts_moved;
        self.digest ^= other.digest;
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, by the number of the specification.
    pub oracle: Oracle,
    /// How it showed, and what led to it.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} ({}): {}",
            self.oracle,
            self.oracle.says(),
            self.text
        )
    }
}

/// The promises that these lives look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`says` has the words")]
pub enum Oracle {
    O1,
    O2,
    O3,
    O4,
    O5,
    O6,
    O8,
    O9,
    O10,
    O14,
    O15,
}

impl Oracle {
    /// The promise.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::O1 => "nothing acknowledged is lost",
            Self::O2 => "nothing is there that was never sent",
            Self::O3 => "an offset has one value",
            Self::O4 => "the order of a producer is kept",
            Self::O5 => "a batch of an idempotent producer stands once, without gaps",
            Self::O6 => "committed offsets are what was asked for, and stay",
            Self::O8 => "start, high watermark and leader epoch never go back",
            Self::O9 => "retention keeps to its policy, deleted topics leave no files",
            Self::O10 => "lookups agree with what is there",
            Self::O14 => "everyone is answered, and a working disk brings progress",
            Self::O15 => "the live state is what its log replays",
        }
    }
}

/// The book of one run.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) stats: Stats,
    pub(super) broken: Option<Broken>,
    newest: VecDeque<String>,
}

impl Book {
    /// Writes an event down.
    pub(super) fn note(&mut self, event: String) {
        for byte in event.bytes() {
            // FNV-1a.
            self.stats.digest =
                (self.stats.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        if self.newest.len() == NEWEST_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(event);
    }

    /// A promise is broken.
    pub(super) fn broken(&mut self, oracle: Oracle, text: impl Into<String>) {
        let text = text.into();
        self.note(format!("BROKEN {oracle:?}: {text}"));
        self.broken.get_or_insert(Broken { oracle, text });
    }

    /// The newest events, one a line.
    pub(super) fn story(&self) -> String {
        let lines: Vec<&str> = self.newest.iter().map(String::as_str).collect();
        lines.join("\n  ")
    }
}

/// Events that are printed with a finding.
const NEWEST_MAX: usize = 80;
