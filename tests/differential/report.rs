//! What a run found: a table for people, a file for the documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::compare::{Difference, compare};
use crate::intended;
use crate::peer::Step;

/// What became of one scenario.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its name.
    pub(crate) scenario: &'static str,
    /// How many answers were compared.
    pub(crate) steps_count: usize,
    /// How many fields of them.
    pub(crate) fields_count: usize,
    /// All differences, the intended ones included.
    pub(crate) differences: Vec<Difference>,
}

impl Outcome {
    pub(crate) fn new(scenario: &'static str, ours: &[Step], theirs: &[Step]) -> Self {
        let (differences, fields_count) = compare(ours, theirs);
        Self {
            scenario,
            steps_count: ours.len(),
            fields_count,
            differences,
        }
    }

    /// The differences that nobody has explained, as lines.
    pub(crate) fn unexplained(&self) -> Vec<String> {
        let all = self.differences.iter();
        all.filter(|difference| intended::reason(self.scenario, difference).is_none())
            .map(|difference| format!("{}: {difference}", self.scenario))
            .collect()
    }
}

/// One line a scenario, and the sum.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut out =
        String::from("scenario                    answers  fields  intended  unexplained\n");
    let mut sums = [0; 4];
    for outcome in outcomes {
        let row = row(outcome);
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, cell)| *sum += cell);
        line(&mut out, outcome.scenario, row);
    }
    line(&mut out, "all", sums);
    out
}

/// The same, with tabs, into a file; and behind it how many fields each reason excuses.
#[expect(
    clippy::disallowed_methods,
    reason = "the results of a test are a file"
)]
pub(crate) fn write(path: &Path, outcomes: &[Outcome]) -> std::io::Result<()> {
    let mut out = String::from("scenario\tanswers\tfields\tintended\tunexplained\n");
    for outcome in outcomes {
        let cells = row(outcome).map(|cell| cell.to_string()).join("\t");
        writeln!(out, "{}\t{cells}", outcome.scenario).expect("a string can be written to");
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in outcomes {
        let reason = |difference| intended::reason(outcome.scenario, difference);
        let reasons = outcome.differences.iter().filter_map(reason);
        reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
    }
    for (reason, count) in counts {
        writeln!(out, "intended\t{count}\t{reason}").expect("a string can be written to");
    }
    std::fs::write(path, out)
}

fn row(outcome: &Outcome) -> [usize; 4] {
    let unexplained = outcome.unexplained().len();
    let intended = outcome.differences.len() - unexplained;
    [
        outcome.steps_count,
        outcome.fields_count,
        intended,
        unexplained,
    ]
}

fn line(out: &mut String, name: &str, [answers, fields, intended, unexplained]: [usize; 4]) {
    writeln!(
        out,
        "{name:<27} {answers:>7} {fields:>7} {intended:>9} {unexplained:>12}"
    )
    .expect("a string can be written to");
}
