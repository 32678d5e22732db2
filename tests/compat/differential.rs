//! The section of the differential run, from its results.

use std::fmt::Write as _;

/// Appends the section.
pub(crate) fn render(out: &mut String, results: &str) {
    let mut sums = [0; 4];
    let mut reasons = String::new();
    let mut scenarios_count = 0;
    for line in results.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        if let ["intended", count, reason] = cells[..] {
            writeln!(reasons, "| {reason} | {count} |").expect("a string can be written to");
            continue;
        }
        let numbers = cells[1..].iter().map(|cell| cell.parse::<usize>());
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += number.expect("a number");
        }
        scenarios_count += 1;
    }
    let [answers, fields, intended, unexplained] = sums;
    write!(
        out,
        "\n## The same requests to Apache Kafka\n\n\
         {scenarios_count} scenarios, at every version that both have, against Apache Kafka 4.3.1\n\
         as a single node: {answers} answers, {fields} fields compared, {intended} differ as\n\
         intended, {unexplained} without an explanation. Made by `tests/differential/run`;\n\
         each scenario stands in\n\
         [docs/results/differential.tsv](docs/results/differential.tsv).\n\n\
         | what differs as intended | fields |\n|---|---|\n{reasons}"
    )
    .expect("a string can be written to");
}
