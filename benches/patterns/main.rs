//! What the patterns reach: relays of an outbox, the inbox, a key that waits; one table, and JSON
//! for each group.
//!
//! `cargo bench --bench patterns` runs all groups, `cargo bench --bench patterns -- inbox` those
//! that are named, `-- --test` each of them once with little data. Without a PostgreSQL its rows
//! are left out, and that is said.
//!
//! Invariants
//! - The broker runs in this process, its data lies on a disk, and topics have `durability=fsync`.
//! - A figure and what it is held against are measured in turns, in the same run.
//! - A missed target is printed like a reached one, and does not fail the run; a record that is
//!   missing or there twice does.

mod inbox;
mod kit;
mod outbox;
mod retry;
mod rig;
mod seen;

use std::error::Error;

use kit::run::Run;

fn main() -> Result<(), Box<dyn Error>> {
    let mut run = Run::from_args()?;
    let groups: [(&str, Group); 4] = [
        ("outbox", outbox::rates),
        ("delay", outbox::delays),
        ("inbox", inbox::measure),
        ("retry", retry::measure),
    ];
    for (name, measure) in groups {
        if run.begins(name) {
            measure(&mut run)?;
        }
    }
    run.finish()?;
    Ok(())
}

/// Measures its rows.
type Group = fn(&mut Run) -> Result<(), Box<dyn Error>>;
