//! The limits that docs/security.md tells, against those that a broker starts with.

use std::collections::BTreeMap;

use highwater_broker::config::BrokerConfig;

/// The value of each setting.
fn values(config: &BrokerConfig) -> BTreeMap<&'static str, String> {
    let entries = config.entries().into_iter();
    entries.map(|entry| (entry.name, entry.value)).collect()
}

#[test]
fn the_limits_of_both_profiles_are_those_that_are_documented() {
    let text = include_str!("../../../docs/security.md");
    let table = text.split("<!-- limits -->").nth(1).unwrap();
    let table = table.split("<!-- /limits -->").next().unwrap();
    let (server, edge) = (
        values(&BrokerConfig::server()),
        values(&BrokerConfig::edge()),
    );
    let mut count = 0;
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, of_server, of_edge, what, tests, _] = cells[..] else {
            panic!("a row has five cells: {row}");
        };
        let name = name.trim_matches('`');
        let told = (Some(of_server), Some(of_edge));
        let is = |values: &BTreeMap<&str, String>| values.get(name).cloned();
        let (server, edge) = (is(&server), is(&edge));
        assert_eq!((server.as_deref(), edge.as_deref()), told, "{name}");
        assert!(!what.is_empty(), "{name} says nothing");
        assert!(tests.starts_with('`'), "{name} has no test");
        count += 1;
    }
    assert!(count > 25, "the table is not seen: {count} rows");
}
