//! `torture`: runs a tier, within a budget, and prints the scorecard.
//!
//! ```text
//! cargo run --release -p highwater-tests --bin torture -- --tier ci|nightly|release
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a budget is a budget of real time"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use highwater_tests::card::{Card, Row};
use highwater_tests::drive::{self, Goal};
use highwater_tests::ledger::{self, Entry, Ledger};
use highwater_tests::part::{Notes, Part, Tier};
use highwater_tests::parts;
use highwater_tests::place::Place;

/// Breaks the disk, the process and the files, and counts what was not kept.
#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Args {
    /// How much is run.
    #[arg(long, value_enum, default_value = "ci")]
    tier: Tier,
    /// Only these parts.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<String>,
    /// Only this item of the one part, again: the number that a finding names.
    #[arg(long, value_name = "NUMBER", visible_alias = "seed")]
    item: Option<u64>,
    /// How long it may take: `90s`, `100m`, `6h`. The parts share it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    budget: Option<Duration>,
    /// Goes on where the last run of the tier stopped.
    #[arg(long)]
    resume: bool,
    /// A part that cannot run on this machine fails the run.
    #[arg(long)]
    require_all: bool,
    /// The broker that runs as a process; without it the one beside this program.
    #[arg(long, value_name = "FILE")]
    broker: Option<PathBuf>,
    /// The scorecard as JSON.
    #[arg(long)]
    json: bool,
    /// Where the counts are kept.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/torture/ledger.json"
    )]
    ledger: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("torture: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise held.
fn run(args: &Args) -> Result<bool, String> {
    let mut place = Place::here().map_err(|error| format!("no place to run in: {error}"))?;
    place.broker.clone_from(&args.broker);
    let parts = chosen(args)?;
    if let Some(number) = args.item {
        return again(&parts, number, args.tier, &place);
    }
    let mut ledger = Ledger::open(&place.root.join(&args.ledger));
    let mut card = Card::new(args.tier);
    let mut left: u64 = parts.iter().map(|part| part.ci_seconds).sum();
    let mut rest = args
        .budget
        .unwrap_or_else(|| default_budget(args.tier, left));
    for part in &parts {
        // What a part does not use passes on to those behind it.
        let share = rest.mul_f64(part.ci_seconds as f64 / left.max(1) as f64);
        left -= part.ci_seconds;
        let (row, took) = part_row(part, args, &place, &mut ledger, share)?;
        rest = rest.saturating_sub(took);
        eprintln!(
            "{:14} {} {}, {}",
            row.part,
            row.done,
            row.unit,
            row.verdict()
        );
        card.rows.push(row);
    }
    if args.json {
        let text = serde_json::to_string_pretty(&card).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        println!("{card}");
    }
    let is_whole = card.rows.iter().all(|row| row.unable.is_none());
    Ok(!card.has_failed() && (is_whole || !args.require_all))
}

fn chosen(args: &Args) -> Result<Vec<Part>, String> {
    let all = parts::all();
    let names: Vec<&str> = all.iter().map(|part| part.name).collect();
    if let Some(unknown) = args
        .only
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!(
            "there is no part `{unknown}`; there are {}",
            names.join(", ")
        ));
    }
    let is_chosen = |part: &Part| args.only.is_empty() || args.only.iter().any(|n| n == part.name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// Runs a part; its row, and how long that took now, without what it built before.
fn part_row(
    part: &Part,
    args: &Args,
    place: &Place,
    ledger: &mut Ledger,
    share: Duration,
) -> Result<(Row, Duration), String> {
    let mut row = Card::row(part, args.tier);
    let code = ledger::code(&place.root, part.covers)
        .map_err(|error| format!("cannot read the sources: {error}"))?;
    let entry = match args.resume {
        true => ledger.entry(part, args.tier, &code),
        false => Entry {
            code,
            ..Entry::default()
        },
    };
    let work = match (part.open)(place, args.tier) {
        Ok(work) => work,
        Err(why) => {
            row.unable = Some(why.0);
            return Ok((row, Duration::ZERO));
        }
    };
    let begun = Instant::now();
    let goal = Goal {
        units: part.asked(args.tier),
        deadline: begun + share,
    };
    let keep = |entry: &Entry| {
        ledger
            .keep(part, args.tier, entry.clone())
            .map_err(|error| format!("cannot write the ledger: {error}"))
    };
    let entry = drive::in_stages(part, work.as_ref(), entry, goal, STAGE, keep)?;
    row.done = entry.done;
    row.seconds = entry.seconds;
    row.findings = entry.findings;
    row.notes = entry.notes.into_iter().collect();
    Ok((row, begun.elapsed()))
}

/// Runs one item again and says what it finds.
fn again(parts: &[Part], number: u64, tier: Tier, place: &Place) -> Result<bool, String> {
    let [part] = parts else {
        return Err("--item belongs to one part: name it with --only PART".to_owned());
    };
    let work = (part.open)(place, tier).map_err(|why| why.0)?;
    let notes = Notes::default();
    let outcome = drive::again(work.as_ref(), number, &notes);
    for (name, seen) in notes.rows() {
        println!("{name}: {seen}");
    }
    match &outcome {
        Ok(units) => println!("item {number} of {}: {units} {}, ok", part.name, part.unit),
        Err(finding) => println!("item {number} of {}: {}", part.name, finding.text),
    }
    Ok(outcome.is_ok())
}

/// How long a run may have worked for nothing when it is killed.
const STAGE: Duration = Duration::from_secs(300);

/// The times of the specification: eight minutes, six hours, and no end for a release.
fn default_budget(tier: Tier, ci_seconds: u64) -> Duration {
    match tier {
        Tier::Ci => Duration::from_secs(ci_seconds),
        Tier::Nightly => Duration::from_secs(6 * 3600),
        Tier::Release => Duration::from_secs(10 * 24 * 3600),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let number: u64 = number.parse().map_err(|_| wrong_time(text))?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong_time(text)),
    };
    Ok(Duration::from_secs(number * seconds))
}

fn wrong_time(text: &str) -> String {
    format!("`{text}` is no time: give a number and s, m or h")
}
