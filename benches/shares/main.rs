//! What share of the machine's limits Highwater reaches: one table, and JSON for each group.
//!
//! `cargo bench --bench shares` runs all groups, `cargo bench --bench shares -- commit` those that
//! are named, `-- --test` each of them once with little data.
//!
//! Invariants
//! - A figure and its limit are measured in turns, in the same run; the ratio is the median of the
//!   ratios of the turns.
//! - Data lies on a disk, below `target/bench-data`, never in memory; the table names the file
//!   system.
//! - A missed target is printed like a reached one, and does not fail the run.

mod append;
mod client;
mod commit;
mod events;
mod groups;
mod kit;
mod limits;
mod metrics;
mod startup;
mod tls;
mod wire;

use std::error::Error;

use kit::run::Run;

fn main() -> Result<(), Box<dyn Error>> {
    let mut run = Run::from_args()?;
    let groups: [(&str, Group); 10] = [
        ("limits", limits::measure),
        ("append", append::measure),
        ("commit", commit::measure),
        ("wire", wire::measure),
        ("tls", tls::measure),
        ("client", client::measure),
        ("groups", groups::measure),
        ("events", events::measure),
        ("metrics", metrics::measure),
        ("startup", startup::measure),
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
