//! `highwater-hunt`: searches for one deliberate bug and says what found it, as JSON.
//!
//! The part `sabotage` of the torture builds it in a patched copy of the project and runs it there.

use std::process::ExitCode;

use clap::Parser;
use highwater_tests::parts::sabotage::hunt::hunt;
use highwater_tests::parts::sabotage::list::BUGS;

/// Searches for a deliberate bug.
#[derive(Debug, Parser)]
#[command(name = "highwater-hunt")]
struct Args {
    /// The bug, as the list of the part has it.
    bug: String,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(bug) = BUGS.iter().find(|bug| bug.name == args.bug) else {
        eprintln!("highwater-hunt: there is no sabotage `{}`", args.bug);
        return ExitCode::from(2);
    };
    // A panic is a finding like any other, and is answered.
    std::panic::set_hook(Box::new(|_| {}));
    match serde_json::to_string(&hunt(bug, args.first_seed)) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("highwater-hunt: {error}");
            ExitCode::from(2)
        }
    }
}
