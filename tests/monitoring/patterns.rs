//! The text of the patterns' figures: every one is documented, and Prometheus can read it.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use highwater::events::{EventsMetrics, SnapshotCounts};
use highwater::inbox::InboxCounts;
use highwater::{Exposition, Figures, HandlerCounts, Histogram, OutboxMetrics, Samples};

use crate::has;
use crate::read;

/// The figures of every pattern, of two handlers.
fn all() -> Exposition {
    let mut text = Exposition::new();
    text.tell(&[], &outbox(&["order-events", "payments"]));
    text.tell(&[], &InboxCounts::default());
    for handler in ["payments", "invoices"] {
        text.tell(&[("handler", handler)], &HandlerCounts::default());
    }
    text.tell(&[("topic", "orders")], &EventsMetrics::default());
    text.tell(&[("topic", "orders")], &SnapshotCounts::default());
    text
}

fn outbox(topics: &[&str]) -> OutboxMetrics {
    let mut metrics = OutboxMetrics::default();
    metrics.oldest_unpublished = Some(Duration::from_millis(1_500));
    metrics.pending_rows = 3;
    metrics.is_leader = true;
    let topics = topics.iter().map(|topic| ((*topic).to_owned(), 12));
    metrics.published.extend(topics);
    metrics.batch_rows = Histogram {
        buckets: vec![(1.0, 2), (10.0, 3)],
        sum: 7.0,
        count: 4,
    };
    metrics
}

/// The samples of an outbox.
fn samples(metrics: &OutboxMetrics) -> Vec<String> {
    let mut text = Exposition::new();
    text.tell(&[], metrics);
    let text = text.to_string();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(str::to_owned).collect()
}

#[test]
fn every_figure_is_documented_and_no_other_is() {
    let document = read("docs/monitoring.md");
    let table = document.split("<!-- metrics: patterns -->").nth(1).unwrap();
    let table = table.split("<!-- /metrics -->").next().unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `"));
    let documented: BTreeSet<_> = rows
        .map(|row| {
            let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    let text = all().to_string();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let told: BTreeSet<_> = types.map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(told, documented);
}

#[test]
fn each_figure_of_an_outbox_has_its_sample() {
    assert_eq!(
        samples(&outbox(&["order-events"])),
        [
            "outbox_oldest_unpublished_seconds 1.5",
            "outbox_pending_rows 3",
            "outbox_parked_keys 0",
            "outbox_relay_leader 1",
            "outbox_published_total{topic=\"order-events\"} 12",
            "outbox_commit_to_publish_seconds_bucket{le=\"+Inf\"} 0",
            "outbox_commit_to_publish_seconds_sum 0",
            "outbox_commit_to_publish_seconds_count 0",
            "outbox_batch_rows_bucket{le=\"1\"} 2",
            "outbox_batch_rows_bucket{le=\"10\"} 3",
            "outbox_batch_rows_bucket{le=\"+Inf\"} 4",
            "outbox_batch_rows_sum 7",
            "outbox_batch_rows_count 4",
        ]
    );
}

#[test]
fn topics_beyond_a_thousand_are_told_together() {
    let topics: Vec<_> = (0..1002).map(|number| format!("t-{number:04}")).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    let samples = samples(&outbox(&topics));
    let published = samples
        .iter()
        .filter(|it| it.starts_with("outbox_published"));
    let published: Vec<_> = published.collect();
    assert_eq!(published.len(), 1001);
    assert_eq!(published[1000], "outbox_published_total{topic=\"\"} 24");
}

#[test]
fn an_age_that_nobody_knows_is_not_made_up() {
    let mut metrics = OutboxMetrics::default();
    assert_eq!(samples(&metrics)[0], "outbox_oldest_unpublished_seconds 0");
    metrics.pending_rows = 1;
    assert_eq!(samples(&metrics)[0], "outbox_pending_rows 1");
}

/// A part that was named by somebody who means harm.
struct Hostile;

impl Figures for Hostile {
    fn tell(&self, samples: &mut Samples<'_>) {
        samples.counter("9 lives{way=\"far\"} 1\nfound_total", "Lives", 9);
        let words = ["a\"} 1\nup 0\n", "\\", "", "\u{fc}"].map(|word| (word, 1));
        samples.counters("words_total", "Words", "wo-rd:", words);
    }
}

#[test]
fn prometheus_reads_the_text_and_finds_no_fault_with_it() {
    if !has("promtool") {
        return;
    }
    let mut text = all();
    text.tell(&[("x\"y", "} 1\n\\")], &Hostile);
    // A label that a sample has itself.
    text.tell(&[("topic", "t")], &outbox(&["orders"]));
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let promtool = promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.to_string().as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}\n{text}");
}
