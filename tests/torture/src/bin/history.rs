//! `history-check`: whether what clients saw can be what the contract allows.
//!
//! ```text
//! cargo run --release -p highwater-tests --bin history-check -- FILE [--json]
//! cargo run --release -p highwater-tests --bin history-check -- --measure 1000000
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "it reads a file that it is given, and says how fast it was"
)]

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use highwater_kit::history::{History, Limits, Report, made};

/// Looks for anomalies in a history: lines of JSON, as the torture keeps them of what it finds.
#[derive(Debug, Parser)]
#[command(name = "history-check")]
struct Args {
    /// The history.
    #[arg(required_unless_present = "measure")]
    file: Option<PathBuf>,
    /// The anomalies as JSON.
    #[arg(long)]
    json: bool,
    /// Instead of a file: a right history of about this many operations.
    #[arg(long, value_name = "OPERATIONS", conflicts_with = "file")]
    measure: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(report) if report.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("history-check: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<Report, String> {
    let begun = Instant::now();
    let history = match (&args.file, args.measure) {
        (Some(file), _) => read(file)?,
        (None, operations) => made::made(1, operations.unwrap_or_default()),
    };
    let there = Instant::now();
    let report = history
        .check(&Limits::default())
        .map_err(|error| error.to_string())?;
    let seconds = there.elapsed().as_secs_f64();
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        println!("{report}");
    }
    eprintln!(
        "there in {:.2} s, checked in {seconds:.2} s: {:.2} M operations a second",
        (there - begun).as_secs_f64(),
        report.operations as f64 / seconds / 1e6,
    );
    Ok(report)
}

fn read(path: &Path) -> Result<History, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    History::read(BufReader::with_capacity(1 << 20, file))
        .map_err(|error| format!("{}: {error}", path.display()))
}
