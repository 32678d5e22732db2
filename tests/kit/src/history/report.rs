//! What the checker has found, as a table.
//!
//! Invariants
//! - Every anomaly that was found is counted; of each kind the first few are told in words.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What must not be in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    /// One offset has two values.
    InconsistentOffsets,
    /// One value stands at two offsets.
    Duplicate,
    /// An acknowledged value, at or below the highest offset read of its partition, that nobody
    /// read.
    LostWrite,
    /// An acknowledged value above that, which the drain did not read.
    Unseen,
    /// A value that somebody read, and the drain did not.
    PhantomRead,
    /// A value that was read and was never sent, or not there.
    NeverSent,
    /// A value that was read although its send had failed.
    #[serde(rename = "g1a")]
    G1a,
    /// The first value of a poll is more than one value behind the last of the poll before.
    PollSkip,
    /// The first value of a poll is not behind the last of the poll before.
    NonmonotonicPoll,
    /// A skip within one operation.
    IntPollSkip,
    /// A step back within one operation.
    IntNonmonotonicPoll,
    /// A send that began when another was acknowledged stands before it.
    NonmonotonicSend,
    /// The same within one operation.
    IntNonmonotonicSend,
    /// A committed offset is 0, or there is none, although one was acknowledged.
    ZeroOffset,
    /// A committed offset is one that a later, acknowledged one had replaced.
    CommitLost,
    /// A committed offset is above what was asked for, or above the end of its partition.
    CommitAhead,
    /// A consumer polls, there is data, and it gets none.
    StuckConsumer,
}

impl Anomaly {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::InconsistentOffsets,
        Self::Duplicate,
        Self::LostWrite,
        Self::Unseen,
        Self::PhantomRead,
        Self::NeverSent,
        Self::G1a,
        Self::PollSkip,
        Self::NonmonotonicPoll,
        Self::IntPollSkip,
        Self::IntNonmonotonicPoll,
        Self::NonmonotonicSend,
        Self::IntNonmonotonicSend,
        Self::ZeroOffset,
        Self::CommitLost,
        Self::CommitAhead,
        Self::StuckConsumer,
    ];

    /// Its name, as Jepsen has it where Jepsen has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InconsistentOffsets => "inconsistent-offsets",
            Self::Duplicate => "duplicate",
            Self::LostWrite => "lost-write",
            Self::Unseen => "unseen",
            Self::PhantomRead => "phantom-read",
            Self::NeverSent => "never-sent",
            Self::G1a => "G1a",
            Self::PollSkip => "poll-skip",
            Self::NonmonotonicPoll => "nonmonotonic-poll",
            Self::IntPollSkip => "int-poll-skip",
            Self::IntNonmonotonicPoll => "int-nonmonotonic-poll",
            Self::NonmonotonicSend => "nonmonotonic-send",
            Self::IntNonmonotonicSend => "int-nonmonotonic-send",
            Self::ZeroOffset => "zero-offset",
            Self::CommitLost => "commit-lost",
            Self::CommitAhead => "commit-ahead",
            Self::StuckConsumer => "stuck-consumer",
        }
    }
}

/// How often an anomaly was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Against the contract.
    pub found: u64,
    /// Allowed by the contract: what a power cut may take, what a producer may send twice.
    pub excused: u64,
    /// The first few that were found, as sentences.
    pub examples: Vec<String>,
}

/// What the checker has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many operations the history has.
    pub operations: u64,
    /// How many records they read.
    pub reads: u64,
    /// Whether a drain is in it; without one, `unseen` and `phantom-read` cannot be told.
    pub is_drained: bool,
    /// The longest time that a poll was behind an acknowledgement, in microseconds.
    pub worst_lag_us: u64,
    /// The anomalies by name.
    pub anomalies: BTreeMap<&'static str, Seen>,
}

impl Report {
    /// Whether nothing is against the contract.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.anomalies.values().all(|seen| seen.found == 0)
    }

    /// How often an anomaly was found.
    #[must_use]
    pub fn found(&self, anomaly: Anomaly) -> u64 {
        self.anomalies
            .get(anomaly.name())
            .map_or(0, |seen| seen.found)
    }

    /// How often an anomaly was there and is allowed.
    #[must_use]
    pub fn excused(&self, anomaly: Anomaly) -> u64 {
        self.anomalies
            .get(anomaly.name())
            .map_or(0, |seen| seen.excused)
    }

    /// Takes over what another check has found: no two look for the same.
    pub(super) fn add(&mut self, other: Self) {
        self.worst_lag_us = self.worst_lag_us.max(other.worst_lag_us);
        self.anomalies.extend(other.anomalies);
    }

    /// Counts one, which is allowed or said by the sentence.
    pub(super) fn count(
        &mut self,
        anomaly: Anomaly,
        is_excused: bool,
        sentence: impl FnOnce() -> String,
    ) {
        let seen = self.anomalies.entry(anomaly.name()).or_default();
        if is_excused {
            seen.excused += 1;
            return;
        }
        seen.found += 1;
        if seen.examples.len() < EXAMPLES_MAX {
            seen.examples.push(sentence());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:22} {:>8} {:>8}", "anomaly", "found", "allowed")?;
        for anomaly in Anomaly::ALL {
            let (found, excused) = (self.found(anomaly), self.excused(anomaly));
            writeln!(f, "{:22} {found:>8} {excused:>8}", anomaly.name())?;
        }
        for (name, seen) in &self.anomalies {
            for example in &seen.examples {
                writeln!(f, "{name}: {example}")?;
            }
        }
        if !self.is_drained {
            writeln!(
                f,
                "nobody drained it: unseen and phantom-read cannot be told"
            )?;
        }
        let lag = self.worst_lag_us as f64 / 1e3;
        write!(
            f,
            "{} operations, {} reads, worst real-time lag {lag:.1} ms",
            self.operations, self.reads
        )
    }
}

/// More of a kind are counted only.
const EXAMPLES_MAX: usize = 5;
