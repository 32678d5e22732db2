//! The driver's command line: `[TARGET..] [--seconds N] [--seed S] [--dump DIR] [--input HEX]`.
//!
//! Invariants
//! - It ends with an error if and only if a target failed or was too slow, or the command line is
//!   wrong; the seed and the input are printed then.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::targets::driver::{self, Inputs};
use crate::targets::{TARGETS, Target};

/// What the command line asks for.
struct Plan {
    targets: Vec<Target>,
    seconds: u64,
    seed: u64,
    dump: Option<String>,
    input: Option<String>,
}

/// Drives one target, or those that the command line names, or all.
pub fn main(only: Option<&str>) -> ExitCode {
    match plan(only).and_then(|plan| run(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn plan(only: Option<&str>) -> Result<Plan, String> {
    let mut names: Vec<String> = only.map(str::to_owned).into_iter().collect();
    let seed = RandomState::new().hash_one(std::process::id());
    let mut plan = Plan {
        targets: Vec::new(),
        seconds: 4,
        seed,
        dump: None,
        input: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            names.push(word);
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{word} needs a number, not {value}"))
        };
        match word.as_str() {
            "--seconds" => plan.seconds = number()?,
            "--seed" => plan.seed = number()?,
            "--dump" => plan.dump = Some(value),
            "--input" => plan.input = Some(value),
            _ => {
                return Err(format!(
                    "{word} is unknown; see the head of tests/fuzz/src/cli.rs"
                ));
            }
        }
    }
    plan.targets = TARGETS
        .iter()
        .filter(|target| names.is_empty() || names.iter().any(|name| name == target.name))
        .copied()
        .collect();
    if plan.targets.len() < names.len() {
        let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!(
            "a target is not known; there are: {}",
            known.join(" ")
        ));
    }
    Ok(plan)
}

fn run(plan: &Plan) -> Result<(), String> {
    let mut failed = Vec::new();
    for target in &plan.targets {
        let outcome = match (&plan.dump, &plan.input) {
            (Some(dir), _) => dump(target, Path::new(dir)),
            (None, Some(hex)) => driver::check(target, &driver::unhex(hex)),
            (None, None) => drive(target, plan.seed, Duration::from_secs(plan.seconds)),
        };
        if let Err(why) = outcome {
            eprintln!("{}: {why}", target.name);
            failed.push(target.name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(" ")))
    }
}

fn drive(target: &Target, seed: u64, time: Duration) -> Result<(), String> {
    let start = Instant::now();
    let mut executions = 0_u64;
    for input in Inputs::new(target, seed) {
        let began = Instant::now();
        let outcome = driver::check(target, &input);
        let took = began.elapsed();
        executions += 1;
        let again = || {
            format!(
                "seed {seed}, execution {executions}\n--input {}",
                driver::hex(&input)
            )
        };
        outcome.map_err(|why| format!("{why}\n{}", again()))?;
        if took > INPUT_TIME_MAX {
            return Err(format!("an input takes {took:?}\n{}", again()));
        }
        if start.elapsed() >= time {
            break;
        }
    }
    let rate = executions as f64 / start.elapsed().as_secs_f64();
    println!(
        "{:18} {executions:>9} executions, {rate:>7.0}/s, seed {seed}",
        target.name
    );
    Ok(())
}

/// The seeds as files, for cargo-fuzz: `DIR/TARGET/NUMBER`.
fn dump(target: &Target, dir: &Path) -> Result<(), String> {
    let dir = dir.join(target.name);
    let write = || {
        fs::create_dir_all(&dir)?;
        for (number, seed) in driver::seeds(target.name).iter().enumerate() {
            fs::write(dir.join(format!("{number:03}")), seed)?;
        }
        Ok::<_, std::io::Error>(())
    };
    write().map_err(|error| format!("{}: {error}", dir.display()))
}

/// An input that takes longer is a finding.
const INPUT_TIME_MAX: Duration = Duration::from_secs(1);
