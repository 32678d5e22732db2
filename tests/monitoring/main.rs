//! The alerts and the dashboard in `ops`, against the metrics that there are, by promtool, and by a
//! real Prometheus that watches a broker whose consumer stops and comes back.
//!
//! `tests/monitoring/run` runs it. What needs Prometheus is skipped without it, loudly; with
//! `REQUIRE_CLIENTS=1` that is a failure.
//!
//! Invariants
//! - Everything listens on a free port of 127.0.0.1; processes are ended by their own ids.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step of a test ends it"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the files of the project, and those that Prometheus reads, are no log"
)]

mod alertmanager;
mod live;
mod names;
mod patterns;
mod process;
mod rules;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the project.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file of the project.
fn read(name: &str) -> String {
    let text = std::fs::read_to_string(path(name));
    text.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether a program of Prometheus is there.
fn has(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let is_required = std::env::var("REQUIRE_CLIENTS").is_ok_and(|it| it == "1");
    assert!(!is_required, "REQUIRE_CLIENTS=1, but there is no {program}");
    println!("SKIPPED: there is no {program}; apt-get install prometheus");
    false
}
