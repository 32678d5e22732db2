//! The rules that hold after every recovery, and how a breach of one is told.

use std::fmt;

use highwater_log::types::LogId;

/// A rule that no crash may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oracle {
    /// O1: nothing that was acknowledged as durable is lost.
    NothingLost,
    /// O2: nothing is there that was never sent.
    NothingInvented,
    /// O3: an offset has one value for ever.
    OneValue,
    /// O4: the batches of a producer stand in the order in which it sent them.
    Order,
    /// O5: a batch of an idempotent producer stands once, however often it was sent, and none is
    /// missing between two others.
    ExactlyOnce,
    /// O8: start and durable end never go back.
    NoStepBack,
    /// O9: retention deletes what its policy says and nothing else; of a removed log nothing is
    /// left behind the next start.
    Retention,
    /// O10: finding by offset and by time equals a linear scan.
    Search,
    /// O11: no damaged byte is served.
    NoDamageServed,
    /// O12: recovering twice equals recovering once.
    Idempotent,
    /// O13: a start reads what lies above the recovery points, and a little for each log.
    RecoveryWork,
    /// O14: once the disk works, the log opens and takes batches.
    Progress,
    /// O15: what a log replays is what it knew: the windows of its producers, its epochs.
    SameState,
    /// The directory is used by one process at a time.
    Exclusive,
    /// The same seed gives the same calls and the same answers.
    Determinism,
}

/// What a crash left to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survived {
    /// What was synced.
    PowerCut,
    /// What was written: only the process died.
    Death,
}

/// A broken rule.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub oracle: Oracle,
    /// How it showed.
    pub text: String,
}

impl Violation {
    /// Says which log it is about.
    #[must_use]
    pub fn in_log(self, id: LogId) -> Self {
        Self {
            text: format!("{id}: {}", self.text),
            ..self
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.oracle, self.text)
    }
}

pub(crate) fn violation(oracle: Oracle, text: impl Into<String>) -> Violation {
    Violation {
        oracle,
        text: text.into(),
    }
}
