//! Every metric that an alert or a panel asks for is one that is documented, which the tests of the
//! broker and of the command line hold to what is printed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::read;

/// The types of all metrics that docs/monitoring.md has, by name.
fn documented() -> BTreeMap<String, String> {
    let text = read("docs/monitoring.md");
    let mut found = BTreeMap::new();
    for table in text.split("<!-- metrics: ").skip(1) {
        let table = table.split("<!-- /metrics -->").next().unwrap();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            found.insert(cells[1].to_owned(), cells[2].to_owned());
        }
    }
    found
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_of_name(c));
    let prefixes = ["highwater_", "kafka_", "outbox_", "process_"];
    words
        .filter(|word| prefixes.iter().any(|it| word.starts_with(it)))
        .collect()
}

/// The names that are not documented; a histogram's by what stands behind it.
fn unknown(text: &str) -> Vec<&str> {
    let documented = documented();
    assert!(documented.len() > 60, "the tables are not seen");
    let is_known = |name: &&str| {
        let suffixes = ["_bucket", "_sum", "_count"];
        let family = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        let kind = |name| documented.get(name).map(String::as_str);
        match kind(*name) {
            Some("histogram") => false,
            Some(_) => true,
            None => family.and_then(kind) == Some("histogram"),
        }
    };
    named(text)
        .into_iter()
        .filter(|name| !is_known(name))
        .collect()
}

/// What Prometheus evaluates.
fn queries(rules: &str) -> String {
    let is_text = |line: &&str| {
        let line = line.trim_start();
        line.starts_with('#') || line.starts_with("action:")
    };
    let lines = rules.lines();
    lines
        .filter(|line| !is_text(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_metric_of_the_alerts_is_there() {
    let text = queries(&read("ops/prometheus/alerts.yml"));
    assert!(named(&text).len() > 10, "the rules are not seen");
    assert_eq!(unknown(&text), [""; 0]);
}

#[test]
fn every_metric_of_the_dashboard_is_there() {
    let dashboard: Value = serde_json::from_str(&read("ops/grafana/highwater.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(
            panel["type"] == "row" || !targets.is_empty(),
            "{title} shows nothing"
        );
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            assert!(
                !named(query).is_empty() || query.contains("ALERTS"),
                "{title}: {query}"
            );
            assert_eq!(unknown(query), [""; 0], "{title}");
            queries.push(query.to_owned());
        }
    }
    assert!(queries.len() > 20, "the panels are not seen");
    let all = queries.join("\n");
    for quantile in ["0.5,", "0.99,", "0.999,"] {
        assert!(
            all.contains(&format!("histogram_quantile({quantile}")),
            "p{quantile}"
        );
    }
}

#[test]
fn a_name_that_is_not_there_is_found() {
    let query = "sum(rate(highwater_sync_seconds_bucket[5m])) + highwater_sync_seconds + outbox_x";
    assert_eq!(unknown(query), ["highwater_sync_seconds", "outbox_x"]);
}
