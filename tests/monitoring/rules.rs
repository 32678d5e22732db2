//! The rules by themselves: promtool takes them, each fires in one case and not in another, and
//! each is documented.

use std::collections::BTreeSet;
use std::process::Command;

use crate::has;
use crate::path;
use crate::read;

const RULES: &str = "ops/prometheus/alerts.yml";
const CASES: &str = "tests/monitoring/alerts_test.yml";

fn alerts() -> BTreeSet<String> {
    let text = read(RULES);
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

#[test]
fn promtool_takes_the_rules_and_every_case_comes_out() {
    if !has("promtool") {
        return;
    }
    for (what, file) in [("check", RULES), ("test", CASES)] {
        let output = Command::new("promtool")
            .args([what, "rules"])
            .arg(path(file))
            .output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_does_not() {
    let text = read(CASES);
    let is_quiet = |line: &str| line.contains("exp_alerts: []");
    let name_of = |line: &str| {
        let rest = line.split("alertname: ").nth(1)?;
        Some(rest.split(',').next()?.to_owned())
    };
    let (mut quiet, mut firing) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let Some(name) = name_of(line) else { continue };
        match is_quiet(line) {
            true => quiet.insert(name),
            false => firing.insert(name),
        };
    }
    let alerts = alerts();
    assert!(alerts.len() > 10, "the rules are not seen");
    assert_eq!(firing, alerts, "cases that fire, and alerts");
    assert_eq!(quiet, alerts, "cases that do not, and alerts");
}

#[test]
fn every_alert_is_documented_and_no_other_is() {
    let text = read("docs/monitoring.md");
    let names = text.lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        let is_alert = name.starts_with("Highwater") || name.starts_with("Kafka");
        is_alert.then(|| name.to_owned())
    });
    assert_eq!(names.collect::<BTreeSet<_>>(), alerts());
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let text = read(RULES);
    for rule in text.split("- alert: ").skip(1) {
        for word in ["severity: ", "summary: \"", "action: \""] {
            assert!(rule.contains(word), "{word} is missing: {rule}");
        }
    }
}
