//! Highwater beside its peers: the same work, on the same machine, in turns of one run.
//!
//! `cargo run --release` in this folder runs all that this machine can run; words choose groups:
//! `clients`, `brokers`, `stores`, `redis`, `events`. `--test` tries everything with little data,
//! `--turns N` takes as many turns instead of five, `--broker-bin FILE` names the binary
//! `highwater`. README.md says what each row means.
//!
//! Invariants
//! - A row never holds a promise against a stronger one: classes of durability stand in each row.
//! - Every record is counted, and what is stored is asked for: what is missing fails the run.
//! - A group that cannot run is named, with what it lacks; a row that is lost is printed like one
//!   that is won.

mod brokers;
mod clients;
mod disk;
mod events;
mod figures;
mod load;
mod meter;
mod ours;
mod redis;
mod resp;
mod server;
mod stores;
mod theirs;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use figures::Figures;

type Failure = Box<dyn Error + Send + Sync>;

/// Measures its rows, or says what it lacks.
type Group = fn(&mut Figures, &Call) -> Result<Ran, Failure>;

/// What became of a group.
enum Ran {
    Yes,
    /// One line: what is missing, and how to get it.
    Skipped(String),
}

/// The command line.
struct Call {
    is_smoke: bool,
    /// Of each row.
    turns: usize,
    groups: Vec<String>,
    /// The binary `highwater`, if there is one.
    binary: Option<PathBuf>,
}

impl Call {
    fn parse() -> Result<Self, Failure> {
        let mut call = Self {
            is_smoke: false,
            turns: TURNS,
            groups: Vec::new(),
            binary: std::env::var_os("HIGHWATER_BIN").map(PathBuf::from),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--test" => call.is_smoke = true,
                "--turns" => {
                    let count = words.next().ok_or("--turns needs a number")?;
                    call.turns = count.parse()?;
                }
                "--broker-bin" => {
                    let path = words.next().ok_or("--broker-bin needs a FILE")?;
                    call.binary = Some(path.into());
                }
                name if GROUPS.iter().any(|(group, _)| *group == name) => {
                    call.groups.push(word);
                }
                _ => {
                    let names = GROUPS.map(|(name, _)| name).join(", ");
                    let known = format!("{names}, --test, --turns N, --broker-bin FILE");
                    return Err(format!("unknown word {word:?}; known: {known}").into());
                }
            }
        }
        match &call.binary {
            Some(path) if !path.is_file() => {
                Err(format!("there is no binary {}", path.display()).into())
            }
            Some(_) => Ok(call),
            None => {
                let built = root().join("target/release/highwater");
                call.binary = built.is_file().then_some(built);
                Ok(call)
            }
        }
    }

    /// `full` in a measurement, `smoke` in a try.
    const fn scale(&self, full: usize, smoke: usize) -> usize {
        if self.is_smoke { smoke } else { full }
    }

    fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|it| it == group)
    }
}

fn main() -> Result<ExitCode, Failure> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, address, native, folder] = words.as_slice()
        && word == server::CHILD
    {
        server::be_broker(address, native, Path::new(folder))?;
        return Ok(ExitCode::SUCCESS);
    }
    let call = Call::parse()?;
    let mut figures = Figures::new(call.scale(call.turns, 1))?;
    let mut skipped = Vec::new();
    for (name, measure) in GROUPS {
        if !call.wants(name) {
            continue;
        }
        figures.begin(name);
        match measure(&mut figures, &call)? {
            Ran::Yes => {}
            Ran::Skipped(why) => skipped.push(format!("SKIPPED: {name}: {why}")),
        }
    }
    figures.finish(call.is_smoke)?;
    for line in &skipped {
        eprintln!("{line}");
    }
    // Whoever asks for a group by name wants it.
    let is_refused = !skipped.is_empty() && !call.groups.is_empty();
    Ok(if is_refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The project's root folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

const GROUPS: [(&str, Group); 5] = [
    ("clients", clients::measure),
    ("brokers", brokers::measure),
    ("stores", stores::measure),
    ("redis", redis::measure),
    ("events", events::measure),
];

/// Odd, so that one of them is in the middle.
const TURNS: usize = 5;
