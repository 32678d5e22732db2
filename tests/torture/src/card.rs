//! The scorecard: what was run, how much was asked for, and what was found.
//!
//! Invariants
//! - A part that did less than it was asked for says so; below half of it the run has failed.

use std::fmt;

use highwater::cli::table::{Side, Table};
use serde::Serialize;

use crate::part::{Part, Tier};

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The part.
    pub part: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// How many units were asked for.
    pub asked: u64,
    /// How many were done.
    pub done: u64,
    /// How long they took.
    pub seconds: f64,
    /// What was found.
    pub findings: Vec<String>,
    /// What the part wants to be read: name and what was seen.
    pub notes: Vec<(String, String)>,
    /// Why the part did not run on this machine.
    pub unable: Option<String>,
}

impl Row {
    /// What became of the part, in a word or two.
    #[must_use]
    pub fn verdict(&self) -> String {
        match (self.findings.len(), &self.unable) {
            (0, None) if self.done >= self.asked => "ok".to_owned(),
            (0, None) => format!(
                "{} % of what was asked",
                self.done * 100 / self.asked.max(1)
            ),
            (0, Some(_)) => "skipped".to_owned(),
            (count, _) => format!("{count} BROKEN"),
        }
    }

    /// Whether the run fails because of this part.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        !self.findings.is_empty() || (self.unable.is_none() && self.done < self.asked.div_ceil(2))
    }
}

/// The whole.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    /// The tier.
    pub tier: String,
    /// A row for each part that was to run.
    pub rows: Vec<Row>,
}

impl Card {
    /// An empty card.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self {
            tier: tier.to_string(),
            rows: Vec::new(),
        }
    }

    /// Whether a promise broke, or a part did less than half of what it was asked for.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.rows.iter().any(Row::has_failed)
    }

    /// A row for a part, with nothing done yet.
    #[must_use]
    pub fn row(part: &Part, tier: Tier) -> Row {
        Row {
            part: part.name,
            unit: part.unit,
            asked: part.asked(tier),
            done: 0,
            seconds: 0.0,
            findings: Vec::new(),
            notes: Vec::new(),
            unable: None,
        }
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            ("part", Side::Left),
            ("done", Side::Right),
            ("asked", Side::Right),
            ("of", Side::Left),
            ("seconds", Side::Right),
            ("verdict", Side::Left),
        ]);
        for row in &self.rows {
            table.row([
                row.part.to_owned(),
                row.done.to_string(),
                row.asked.to_string(),
                row.unit.to_owned(),
                format!("{:.1}", row.seconds),
                row.verdict(),
            ]);
        }
        let seconds: f64 = self.rows.iter().map(|row| row.seconds).sum();
        writeln!(f, "torture, tier {}: {seconds:.0} s\n\n{table}", self.tier)?;
        for row in self.rows.iter().filter(|row| !row.notes.is_empty()) {
            let mut table = Table::new([(row.part, Side::Left), ("", Side::Left)]);
            for (name, seen) in &row.notes {
                table.row([name.clone(), seen.clone()]);
            }
            writeln!(f, "{table}")?;
        }
        for row in &self.rows {
            if let Some(why) = &row.unable {
                writeln!(f, "SKIPPED {}: {why}", row.part)?;
            }
            for finding in &row.findings {
                writeln!(f, "BROKEN {}: {finding}", row.part)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(done: u64, findings: &[&str], unable: Option<&str>) -> Row {
        Row {
            part: "kills",
            unit: "kills",
            asked: 50,
            done,
            seconds: 1.0,
            findings: findings.iter().map(ToString::to_string).collect(),
            notes: Vec::new(),
            unable: unable.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn less_than_half_fails_and_so_does_a_finding() {
        assert_eq!(row(50, &[], None).verdict(), "ok");
        assert!(!row(25, &[], None).has_failed());
        assert_eq!(row(25, &[], None).verdict(), "50 % of what was asked");
        assert!(row(24, &[], None).has_failed());
        assert!(row(50, &["lost"], None).has_failed());
        assert!(!row(0, &[], Some("no strace")).has_failed());
    }

    #[test]
    fn what_broke_is_told_in_full() {
        let rows = vec![row(50, &["item 3: lost"], None)];
        let card = Card {
            tier: "ci".to_owned(),
            rows,
        };
        assert!(card.has_failed());
        assert!(card.to_string().contains("BROKEN kills: item 3: lost"));
    }
}
