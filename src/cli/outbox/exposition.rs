//! What a relay tells about itself, in the text that Prometheus reads.
//!
//! Floor 6 of cli. Pure.

use std::fmt::Write;

use highwater_client::{Histogram, OutboxMetrics};

/// The media type of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The figures as text.
pub(super) fn text(metrics: &OutboxMetrics) -> String {
    let mut text = String::new();
    // Of a table that does not say when its rows were written, nobody knows how long they wait.
    let oldest = match (metrics.oldest_unpublished, metrics.pending_rows) {
        (Some(age), _) => Some(age.as_secs_f64()),
        (None, 0) => Some(0.0),
        (None, _) => None,
    };
    if let Some(oldest) = oldest {
        let what = "How long the oldest row has been waiting, in seconds: raise an alarm on it";
        gauge(&mut text, "outbox_oldest_unpublished_seconds", what, oldest);
    }
    for (name, what, value) in [
        (
            "outbox_pending_rows",
            "Rows that wait, about",
            metrics.pending_rows,
        ),
        (
            "outbox_parked_keys",
            "Keys that wait because a row of theirs cannot be published",
            metrics.parked_keys,
        ),
        (
            "outbox_relay_leader",
            "Whether this relay is the one that publishes",
            u64::from(metrics.is_leader),
        ),
    ] {
        gauge(&mut text, name, what, value as f64);
    }
    let name = "outbox_published_total";
    head(&mut text, name, "Records that were acknowledged", "counter");
    for (topic, count) in metrics.published.iter().take(TOPICS_MAX) {
        // Names of topics have no character that would have to be escaped.
        let _ = writeln!(text, "{name}{{topic=\"{topic}\"}} {count}");
    }
    let others: u64 = metrics.published.values().skip(TOPICS_MAX).sum();
    if others > 0 {
        let _ = writeln!(text, "{name}{{topic=\"\"}} {others}");
    }
    histogram(
        &mut text,
        "outbox_commit_to_publish_seconds",
        "From the writing of a row to its acknowledgement",
        &metrics.commit_to_publish,
    );
    histogram(
        &mut text,
        "outbox_batch_rows",
        "Rows of a batch",
        &metrics.batch_rows,
    );
    text
}

fn head(text: &mut String, name: &str, what: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {what}.\n# TYPE {name} {kind}");
}

fn gauge(text: &mut String, name: &str, what: &str, value: f64) {
    head(text, name, what, "gauge");
    let _ = writeln!(text, "{name} {value}");
}

fn histogram(text: &mut String, name: &str, what: &str, histogram: &Histogram) {
    head(text, name, what, "histogram");
    for (bound, count) in &histogram.buckets {
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let (sum, count) = (histogram.sum, histogram.count);
    let _ = writeln!(
        text,
        "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
    );
}

/// Topics that are told by name: rows choose them.
const TOPICS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn lines(metrics: &OutboxMetrics) -> Vec<String> {
        let text = text(metrics);
        let figures = text.lines().filter(|line| !line.starts_with('#'));
        figures.map(str::to_owned).collect()
    }

    #[test]
    fn each_figure_has_its_line() {
        let mut metrics = OutboxMetrics::default();
        metrics.oldest_unpublished = Some(Duration::from_millis(1_500));
        metrics.pending_rows = 3;
        metrics.is_leader = true;
        metrics.published.insert("order-events".to_owned(), 12);
        metrics.batch_rows = Histogram {
            buckets: vec![(1.0, 2), (10.0, 3)],
            sum: 7.0,
            count: 4,
        };
        assert_eq!(
            lines(&metrics),
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
    fn every_metric_is_documented_and_no_other_is() {
        let document = include_str!("../../../docs/monitoring.md");
        let table = document.split("<!-- metrics: outbox -->").nth(1).unwrap();
        let table = table.split("<!-- /metrics -->").next().unwrap();
        let rows = table.lines().filter_map(|row| row.strip_prefix("| `"));
        let documented: BTreeSet<_> = rows
            .map(|row| {
                let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
                (cells.next().unwrap(), cells.next().unwrap())
            })
            .collect();
        let text = text(&OutboxMetrics::default());
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let printed: BTreeSet<_> = types.map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(printed, documented);
    }

    #[test]
    fn topics_beyond_a_thousand_are_told_together() {
        let mut metrics = OutboxMetrics::default();
        let topics = (0..TOPICS_MAX + 2).map(|number| (format!("t-{number:04}"), 3));
        metrics.published.extend(topics);
        let lines = lines(&metrics);
        let published: Vec<_> = lines
            .iter()
            .filter(|it| it.starts_with("outbox_published"))
            .collect();
        assert_eq!(published.len(), TOPICS_MAX + 1);
        assert_eq!(
            *published[TOPICS_MAX],
            "outbox_published_total{topic=\"\"} 6"
        );
    }

    #[test]
    fn an_age_that_nobody_knows_is_not_made_up() {
        let mut metrics = OutboxMetrics::default();
        assert_eq!(lines(&metrics)[0], "outbox_oldest_unpublished_seconds 0");
        metrics.pending_rows = 1;
        assert_eq!(lines(&metrics)[0], "outbox_pending_rows 1");
    }
}
