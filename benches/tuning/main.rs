//! What each of the documented knobs buys, on real flights: from the defaults, one at a time, and
//! together.
//!
//! `cargo bench --bench tuning` runs all tables, `-- consume` those that are named, `-- --test`
//! each row once with little data, `-- --write` puts tables and plots into `docs/tuning`.
//!
//! Invariants
//! - The rows of a table take turns, and a row is held against the first one of the same turn, so
//!   that what the machine does meanwhile meets all of them.
//! - Every record that was sent is stored or read, else the run fails.
//! - Broker and client share this process and its cores, and talk over loopback.

mod bound;
mod consume;
mod flights;
mod handlers;
mod kit;
mod plot;
mod produce;
mod profile;
mod rig;
mod table;
mod tail;

use std::error::Error;

use kit::run::Run;
use table::{Report, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let mut run = Run::from_args()?;
    let tables: [(&'static str, Measure); 5] = [
        ("produce", produce::measure),
        ("consume", consume::measure),
        ("handlers", handlers::measure),
        ("tail", tail::measure),
        ("profile", profile::measure),
    ];
    let mut report = Report::new(run.machine());
    for (name, measure) in tables {
        if run.begins(name) {
            report.add(name, measure(&run)?);
        }
    }
    if run.is_smoke() {
        println!("each row was measured with little data: all works");
        return Ok(());
    }
    report.print();
    if std::env::args().any(|word| word == "--write") {
        report.write()?;
    }
    Ok(())
}

/// Measures one table.
type Measure = fn(&Run) -> Result<Table, Box<dyn Error>>;
