//! The section on suites that others wrote: counts from the committed board, and every case that
//! does not pass with its reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One line of `docs/results/conformance.tsv`.
struct Row<'a> {
    suite: &'a str,
    case: &'a str,
    reference: &'a str,
    outcome: &'a str,
    reason: &'a str,
}

/// What a suite is, in the order of the table.
const SUITES: &[(&str, &str)] = &[
    (
        "librdkafka",
        "librdkafka 2.12.1's own test suite, whole and not in its quick mode",
    ),
    (
        "librdkafka-idempotent",
        "the same with an idempotent producer in every test (`-P`)",
    ),
    (
        "librdkafka-noautocreate",
        "its tests for a broker that creates no topics by itself",
    ),
    ("rdkafka", "the tests of the crate rdkafka 0.39.0"),
    ("rskafka", "the tests of the crate rskafka 0.6.0"),
    (
        "clients",
        "our scenarios with foreign clients: groups of twelve members, offsets, administration",
    ),
    ("tools", "Apache Kafka's command line tools"),
    ("spring", "a Spring Boot service with a Kafka listener"),
];

/// Appends the section.
pub(crate) fn render(out: &mut String, board: &str) {
    let rows: Vec<Row<'_>> = board.lines().skip(1).map(Row::read).collect();
    out.push_str(HEAD);
    for (suite, what) in SUITES {
        let of_suite: Vec<&Row<'_>> = rows.iter().filter(|row| row.suite == *suite).collect();
        if of_suite.is_empty() {
            continue;
        }
        let count = |outcome| of_suite.iter().filter(|row| row.outcome == outcome).count();
        let reference = reference(&of_suite);
        let (all, passed) = (of_suite.len(), count("pass"));
        let (failed, skipped) = (count("fail"), count("skip"));
        writeln!(
            out,
            "| {suite}: {what} | {all} | {passed} | {failed} | {skipped} | {reference} |"
        )
        .expect("a string can be written to");
    }
    assert!(
        rows.iter()
            .all(|row| SUITES.iter().any(|(suite, _)| *suite == row.suite)),
        "a suite of the board is not described here"
    );
    reasons(out, &rows, "fail", FAILING_HEAD);
    reasons(out, &rows, "skip", SKIPPED_HEAD);
}

/// How many cases pass on Apache Kafka, if the suite was run against it.
fn reference(rows: &[&Row<'_>]) -> String {
    if rows.iter().all(|row| row.reference == "-") {
        return "not run".to_owned();
    }
    let passed = rows.iter().filter(|row| row.reference == "pass");
    passed.count().to_string()
}

/// The cases of one outcome, those of one suite and one reason in one line.
fn reasons(out: &mut String, rows: &[Row<'_>], outcome: &str, head: &str) {
    let mut grouped: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome == outcome) {
        assert!(
            !row.reason.is_empty(),
            "{} {} does not pass and has no reason",
            row.suite,
            row.case
        );
        let cases = grouped.entry((row.suite, row.reason)).or_default();
        cases.push(row.case);
    }
    if grouped.is_empty() {
        return;
    }
    out.push_str(head);
    for ((suite, reason), cases) in grouped {
        let cases = cases.join(", ");
        writeln!(out, "| {suite} | {cases} | {reason} |").expect("a string can be written to");
    }
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Self {
        let cells: Vec<&str> = line.split('\t').collect();
        let [suite, case, reference, outcome, _seconds, reason] =
            *cells.as_array().expect("a line has six cells");
        Self {
            suite,
            case,
            reference,
            outcome,
            reason,
        }
    }
}

const HEAD: &str = "
## Conformance

Suites that others wrote, and real clients through whole scenarios, against the release binary; the
last column counts the cases that pass on Apache Kafka 4.3.1 as a single node, by the same command.
A case that passes must go on passing. Made by `tests/conformance/run`
([how](tests/conformance/README.md)); every case stands in
[docs/results/conformance.tsv](docs/results/conformance.tsv).

| suite | cases | passed | failed | skipped | pass on Apache Kafka |
|---|---|---|---|---|---|
";

const FAILING_HEAD: &str = "
### Cases that fail

| suite | cases | reason |
|---|---|---|
";

const SKIPPED_HEAD: &str = "
### Cases that are not run, or skip themselves

| suite | cases | reason |
|---|---|---|
";
