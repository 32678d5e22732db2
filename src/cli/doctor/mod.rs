//! `highwater doctor`: what costs data or nights, found before it does.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Nothing is changed but by `--measure`, and that is undone.
//! - Exit code 1 if a finding is a warning or worse.

mod facts;
mod judge;
mod mounts;
mod probe;

use serde::Serialize;

use crate::cli::args::DoctorArgs;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::table::{Side, Table};
use judge::{Finding, Level, judge};

/// Runs the command.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let findings = judge(&probe::facts(args)?);
    let worst = findings.iter().map(|finding| finding.level).max();
    let worst = worst.unwrap_or(Level::Fine);
    if args.json {
        output::json(&Report {
            dir: args.dir.display().to_string(),
            worst,
            findings: &findings,
        })?;
    } else {
        output::text(&table(&findings).to_string())?;
    }
    match worst {
        Level::Fine | Level::Note => Ok(()),
        Level::Warning | Level::Bad => Err(Failure::Found),
    }
}

fn table(findings: &[Finding]) -> Table {
    let left = |name| (name, Side::Left);
    let mut table = Table::new([
        left("CHECK"),
        left("STATE"),
        left("FOUND"),
        left("WHAT TO DO"),
    ]);
    for finding in findings {
        table.row([
            finding.check.to_owned(),
            finding.level.name().to_owned(),
            finding.found.clone(),
            finding.advice.clone(),
        ]);
    }
    table
}

/// What `doctor --json` says.
#[derive(Debug, Serialize)]
struct Report<'a> {
    dir: String,
    worst: Level,
    findings: &'a [Finding],
}
