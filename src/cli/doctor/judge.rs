//! What the facts mean: one finding a question, each with what to do about it.
//!
//! Floor 6 of cli. Pure: facts in, findings out.
//!
//! Invariants
//! - Every question is answered, also by "this cannot be known here".
//! - Whatever is not fine says what to do.

mod contents;
mod machine;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::facts::{Contents, Facts};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Fine,
    /// Worth knowing; nobody has to act.
    Note,
    /// It will cost something, sooner or later.
    Warning,
    /// It costs data or stops the broker.
    Bad,
}

impl Level {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Warning => "WARNING",
            Self::Bad => "BAD",
        }
    }
}

/// The answer to a question.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// The question.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// What was found.
    pub(super) found: String,
    /// What to do; nothing if it is fine.
    pub(super) advice: String,
}

/// Judges everything.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        machine::file_system(facts),
        machine::space(facts),
        machine::open_files(facts),
        machine::clock(facts),
        machine::owner(facts),
    ];
    findings.extend(machine::sync(facts));
    findings.push(contents::usage(facts));
    match &facts.contents {
        Contents::Empty | Contents::Locked(_) => {}
        Contents::TooNew(why) => findings.push(contents::too_new(why)),
        Contents::Refused(why) => findings.push(contents::refused(why)),
        Contents::Read(survey) => findings.extend(contents::of(survey, &facts.dir)),
    }
    findings
}

fn fine(check: &'static str, found: impl Into<String>) -> Finding {
    told(check, Level::Fine, found, "")
}

fn told(
    check: &'static str,
    level: Level,
    found: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        check,
        level,
        found: found.into(),
        advice: advice.into(),
    }
}
