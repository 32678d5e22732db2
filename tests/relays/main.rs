//! Relays and consumers as processes, killed at every numbered step; and the power cut under them.
//!
//! `cargo test --test relays` runs a sample over Highwater, in seconds. `tests/relays/run` starts
//! an Apache Kafka for it, `tests/relays/run --full` runs every step, and goes on where it stopped.
//!
//! Invariants
//! - Every process that publishes or consumes is one of its own, and dies by SIGKILL.
//! - Beside each promise stands a control that breaks it: a series in which it finds nothing fails.

mod cuts;
mod forgetful;
mod judge;
mod kills;
mod ledger;
mod matrix;
mod process;
mod relaying;
mod series;
mod shop;
#[path = "../../client/tests/outbox/stepped.rs"]
#[expect(dead_code, reason = "the client's tests stop a relay and let it go on")]
mod stepped;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use highwater_kit::volatile_fs::VolatileFs;

use matrix::Asked;

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(process::FORGETS) {
        let disk = VolatileFs::new(PathBuf::from(folder), None);
        return highwater::cli::run_on(Some(Arc::new(disk)));
    }
    let mut words = std::env::args().skip(1);
    let done = match words.next() {
        Some(word) if word == process::TASK => {
            relaying::run(&words.next().unwrap_or_default()).map(|()| true)
        }
        first => Asked::read(first.into_iter().chain(words)).and_then(matrix::run),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("relays: {why}");
            ExitCode::FAILURE
        }
    }
}
