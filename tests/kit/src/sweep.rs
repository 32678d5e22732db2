//! Crashes at every operation, and what must hold after each.
//!
//! Invariants
//! - A finding names all that is needed to see it again: steps, operation, crash, seed.

use std::fmt;

use crate::client::Client;
use crate::oracle::{Oracle, Survived, Violation, violation};
use crate::rng::Rng;
use crate::sim_fs::{Crash, SimFs};
use crate::workload::Step;
use crate::world::{Stop, World};

/// How much was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Sequences of steps.
    pub words: usize,
    /// Operations at which the process died.
    pub points: usize,
    /// Disks that were recovered from.
    pub images: usize,
}

impl Counts {
    /// Adds what another sweep did.
    pub const fn add(&mut self, other: Self) {
        self.words += other.words;
        self.points += other.points;
        self.images += other.images;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { words, points, images } = self;
        write!(f, "{words} workloads, {points} crash points, {images} images")
    }
}

/// A rule that a crash broke.
#[derive(Debug)]
pub struct Finding {
    /// The rule.
    pub violation: Violation,
    /// How to see it again.
    pub how: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.violation, self.how)
    }
}

/// Which images each crash point gets, besides C0, every prefix of C1 and the death of the
/// process alone.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Arbitrary subsets (C2).
    pub subsets: u64,
    /// Lengths without data and data without lengths (C3).
    pub lengths: u64,
}

/// Runs the steps, dies at every operation that they need, and recovers from every image. The
/// empty word dies inside the first start.
///
/// # Errors
/// The first finding.
pub fn sweep(word: &[Step], images: Images) -> Result<Counts, Finding> {
    let mut counts = Counts { words: 1, ..Counts::default() };
    let (setup, total) = count(word)?;
    let first = if word.is_empty() { 0 } else { setup };
    // Behind the last operation, too: a power cut in a quiet moment.
    for operation in first..=total {
        counts.points += 1;
        let world = dead_at(word, operation);
        let mut crashes = vec![Crash::Killed, Crash::Nothing];
        crashes.extend((1..=world.disk.changes()).map(Crash::Prefix));
        crashes.extend((0..images.subsets).map(|_| Crash::Subset));
        crashes.extend((0..images.lengths).map(|_| Crash::Lengths));
        for (seed, crash) in crashes.into_iter().enumerate() {
            counts.images += 1;
            let seed = seed as u64;
            check_image(&world, crash, seed).map_err(|broken| Finding {
                violation: broken,
                how: format!(
                    "{word:?}, died at {}, then {crash:?} with seed {seed}",
                    world.disk.describe(operation)
                ),
            })?;
        }
    }
    Ok(counts)
}

/// How many operations the start takes, and how many all.
fn count(word: &[Step]) -> Result<(usize, usize), Finding> {
    let mut world = World::new(SimFs::new(0), Client::new(), None);
    let mut setup = 0;
    let mut run = || {
        world.start()?;
        setup = world.disk.operations();
        word.iter().try_for_each(|step| world.step(*step))
    };
    match run() {
        Ok(()) => Ok((setup, world.disk.operations())),
        Err(stop) => {
            Err(Finding { violation: broken(stop), how: format!("{word:?}, without a crash") })
        }
    }
}

/// The world of a process that died inside an operation of a workload.
#[must_use]
pub fn dead_at(word: &[Step], operation: usize) -> World {
    let mut world = World::new(SimFs::new(0), Client::new(), None);
    world.disk.crash_at(operation);
    // That it works without a crash was seen before.
    let _ = world.start().and_then(|()| word.iter().try_for_each(|step| world.step(*step)));
    world
}

/// Recovers from one image of a world that stopped, and checks every rule.
///
/// # Errors
/// The first broken rule.
pub fn check_image(world: &World, crash: Crash, seed: u64) -> Result<(), Violation> {
    let mut rng = Rng::new(seed);
    let survived = if crash == Crash::Killed { Survived::Death } else { Survived::PowerCut };
    check_recovery(world.crash(crash, &mut rng), survived, &mut rng).map_err(broken)
}

/// Starts on what a crash left, and goes on from there: what must have survived is there, a power
/// cut right behind the recovery changes nothing, clients can go on, and what they were told then
/// survives the next power cut.
fn check_recovery(mut world: World, survived: Survived, rng: &mut Rng) -> Result<(), Stop> {
    world.start()?;
    world.verify(survived)?;
    if rng.percent(20) {
        world.verify_search()?;
    }
    let mut twice = world.crash(Crash::Nothing, rng);
    twice.start()?;
    if twice.snapshot()? != world.snapshot()? {
        let text = "a power cut behind the recovery changed what is there";
        return Err(violation(Oracle::Idempotent, text).into());
    }
    world.carry_on()?;
    let mut again = world.crash(Crash::Nothing, rng);
    again.start()?;
    again.verify(Survived::PowerCut)
}

pub(crate) fn broken(stop: Stop) -> Violation {
    match stop {
        Stop::Broken(violation) => violation,
        Stop::Dead | Stop::Refused(_) => {
            violation(Oracle::Progress, format!("stopped on a good disk: {stop:?}"))
        }
    }
}
