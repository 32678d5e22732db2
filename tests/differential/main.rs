//! The same requests to Highwater and to Apache Kafka, and their answers compared field by field.
//!
//! `tests/differential/run` starts both brokers and runs this with `HW_REFERENCE` and `HW_SUBJECT`
//! set to their addresses; without them the comparison is skipped loudly, and only the driver
//! itself is tested: Highwater against Highwater.
//!
//! Invariants
//! - A scenario is one function that is run once a side; what it takes from an answer (an id, an
//!   offset) it takes from its own side.
//! - What cannot be equal is masked by the name of its field, and by nothing else.
//! - Every difference is listed in `intended.rs` with its reason, or it fails the run; so does an
//!   entry of that list that nothing meets any more.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a side that does not answer as it must fails the test"
)]

mod compare;
mod facts;
mod intended;
mod peer;
mod report;
mod scenarios;

use std::net::SocketAddr;

use highwater::Broker;
use highwater_broker::config::BrokerConfig;

use crate::peer::{Common, Peer};
use crate::report::Outcome;

#[test]
fn highwater_agrees_with_apache_kafka() {
    let (Some(subject), Some(reference)) = (address("HW_SUBJECT"), address("HW_REFERENCE")) else {
        println!("SKIPPED: HW_SUBJECT and HW_REFERENCE are not set; run tests/differential/run");
        return;
    };
    let outcomes = run_all(subject, reference);
    print!("{}", report::table(&outcomes));
    if let Some(path) = std::env::var_os("HW_RESULTS") {
        report::write(path.as_ref(), &outcomes).expect("the results can be written");
    }
    let unexplained: Vec<String> = outcomes.iter().flat_map(Outcome::unexplained).collect();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let stale = intended::stale(&outcomes);
    assert!(stale.is_empty(), "nothing meets these any more: {stale:?}");
}

#[test]
fn highwater_agrees_with_itself() {
    let (left, right) = (broker(), broker());
    let addresses = [&left, &right].map(|broker| broker.bootstrap_servers().parse().unwrap());
    for outcome in run_all(addresses[0], addresses[1]) {
        let found: Vec<String> = outcome
            .differences
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            found.is_empty(),
            "{}: {}",
            outcome.scenario,
            found.join("\n")
        );
        assert!(
            outcome.fields_count > 0,
            "{} compares nothing",
            outcome.scenario
        );
    }
}

#[test]
fn another_default_is_found_out() {
    let mut config = BrokerConfig::default();
    config.set("log.retention.bytes", "4711").unwrap();
    let left = broker();
    let right = Broker::builder()
        .in_memory()
        .config(config)
        .start()
        .unwrap();
    right.listen_kafka("127.0.0.1:0").unwrap();
    let addresses = [&left, &right].map(|broker| broker.bootstrap_servers().parse().unwrap());
    let outcomes = run_all(addresses[0], addresses[1]);
    assert!(
        outcomes
            .iter()
            .any(|outcome| !outcome.differences.is_empty())
    );
}

fn broker() -> Broker {
    let broker = Broker::in_memory().unwrap();
    broker.listen_kafka("127.0.0.1:0").unwrap();
    broker
}

fn run_all(subject: SocketAddr, reference: SocketAddr) -> Vec<Outcome> {
    let common = Common::of(subject, reference);
    let only = std::env::var("HW_SCENARIO").unwrap_or_default();
    let chosen = scenarios::ALL
        .iter()
        .filter(|(name, _)| name.contains(&only));
    chosen
        .map(|(name, scenario)| {
            let steps = [subject, reference].map(|address| {
                let mut peer = Peer::new(address, common.clone());
                scenario(&mut peer);
                peer.into_steps()
            });
            let [ours, theirs] = steps;
            Outcome::new(name, &ours, &theirs)
        })
        .collect()
}

fn address(variable: &str) -> Option<SocketAddr> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().expect("an address, like 127.0.0.1:9092"))
}
