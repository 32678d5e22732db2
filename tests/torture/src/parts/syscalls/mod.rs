//! Every system-call boundary of the shipped binary: killed on entering a call, or the call fails.
//!
//! strace disturbs the broker from outside. A scripted run of clients goes on over the restart;
//! then everything is read, `log verify` looks, and the history is checked. The calls are counted
//! first, in a run that nothing disturbs: a point that the broker does not reach is no unit.

mod points;
mod run;
mod script;
mod told;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use points::{KINDS, Kind, Point, Scene, What};
use run::Run;
use told::Told;

use crate::part::{Finding, Notes, Part, THE_WHOLE, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "syscalls",
    unit: "points",
    asked: [60, 700, 5_000],
    ci_seconds: 40,
    threads: 2,
    covers: THE_WHOLE,
    open,
};

fn open(place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    let scratch = place.scratch("syscalls");
    Ok(Box::new(Syscalls {
        strace: trace::strace(place)?,
        binary: place.binary("highwater")?,
        scratch: scratch.map_err(|error| Unable(format!("no scratch: {error}")))?,
        kept: place.root.join("target/torture/kept/syscalls"),
        points: points::all(),
        ground: OnceLock::new(),
        reached: Mutex::new(BTreeMap::new()),
    }))
}

struct Syscalls {
    strace: PathBuf,
    binary: PathBuf,
    scratch: PathBuf,
    /// Where what broke a promise is kept.
    kept: PathBuf,
    points: Vec<Point>,
    ground: OnceLock<Result<Ground, Finding>>,
    /// How many points were reached, by call: kills and errors.
    reached: Mutex<BTreeMap<&'static str, [u64; 2]>>,
}

/// What the points stand on.
struct Ground {
    /// What clients were told before their broker was killed.
    told: Told,
    /// What it has left.
    killed: PathBuf,
    /// How often the undisturbed broker makes each call in one thread.
    counts: BTreeMap<Scene, BTreeMap<&'static str, u32>>,
}

impl Work for Syscalls {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        let ground = self.ground.get_or_init(|| self.prepare(notes));
        let ground = ground.as_ref().map_err(Clone::clone)?;
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let Some(point) = self.points.get(index) else {
            return Ok(0);
        };
        let count = ground.counts[&point.scene].get(point.call);
        if count.is_none_or(|count| *count < point.nth) {
            return Ok(0);
        }
        let before = (point.scene == Scene::Killed).then_some(ground);
        let ended = self.run(&number.to_string(), before, Some(*point))?;
        if !ended.is_reached {
            return Ok(0);
        }
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let [kills, errors] = reached.entry(point.call).or_default();
        match point.what {
            What::Kill => *kills += 1,
            What::Error(_) => *errors += 1,
        }
        // The rows are sorted as text, and the last of a name stays.
        let row = format!("{kills:>4} kills, {errors:>4} errors");
        notes.row(format!("syscalls done: {}", point.call), row);
        Ok(1)
    }

    fn items(&self) -> u64 {
        self.points.len() as u64
    }
}

impl Syscalls {
    /// Lets a broker be killed after the script, and counts the calls of undisturbed ones.
    fn prepare(&self, notes: &Notes) -> Result<Ground, Finding> {
        let killed = self.scratch.join("killed");
        let mut ground = Ground {
            told: run::killed(&self.binary, &killed)?,
            killed,
            counts: BTreeMap::new(),
        };
        let fresh = self.run("fresh", None, None)?;
        let recovered = self.run("recovered", Some(&ground), None)?;
        for (scene, ended) in [(Scene::Fresh, fresh), (Scene::Killed, recovered)] {
            ground.counts.insert(scene, trace::counts(&ended.log));
        }
        for Kind {
            call, calls_max, ..
        } in KINDS
        {
            let count = |scene| ground.counts[&scene].get(call).copied().unwrap_or(0);
            let counts = [count(Scene::Fresh), count(Scene::Killed)];
            let row = match counts {
                [0, 0] => "never made by the broker".to_owned(),
                [fresh, killed] if fresh.max(killed) > calls_max => {
                    format!("{fresh} and {killed} calls, of which {calls_max} are tried")
                }
                [fresh, killed] => format!("{fresh} calls from new, {killed} after a kill"),
            };
            notes.row(format!("syscalls: {call}"), row);
        }
        Ok(ground)
    }

    fn run(
        &self,
        name: &str,
        before: Option<&Ground>,
        point: Option<Point>,
    ) -> Result<run::Ended, Finding> {
        let dir = self.scratch.join(name);
        // What an interrupted item has left.
        let _ = fs::remove_dir_all(&dir);
        if let Some(ground) = before {
            copy(&ground.killed, &dir)?;
        }
        let run = Run {
            strace: &self.strace,
            binary: &self.binary,
            dir: &dir,
            point,
        };
        let ended = run.run(before.map_or_else(Told::new, |ground| ground.told.clone()));
        ended.map_err(|finding| {
            let kept = self.kept.join(name);
            let _ = fs::remove_dir_all(&kept);
            let kept = match copy(&dir, &kept) {
                Ok(()) => format!("kept: {}", kept.display()),
                Err(finding) => finding.text,
            };
            let what = point.map_or_else(|| "undisturbed".to_owned(), |it| it.to_string());
            Finding::new(format!("{what}: {}\n{kept}", finding.text))
        })
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), Finding> {
    let say = |error| Finding::new(format!("{} is not copied: {error}", from.display()));
    fs::create_dir_all(to).map_err(say)?;
    for entry in fs::read_dir(from).map_err(say)? {
        let entry = entry.map_err(say)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match source.is_dir() {
            true => copy(&source, &target)?,
            false => drop(fs::copy(&source, &target).map_err(say)?),
        }
    }
    Ok(())
}
