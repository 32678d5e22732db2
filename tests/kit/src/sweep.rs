//! Crashes at every operation, and what must hold after each.
//!
//! Invariants
//! - A finding names all that is needed to see it again: steps, operation, crash, seed.

use std::fmt;
use std::num::NonZero;
use std::thread;

use crate::client::Client;
use crate::oracle::{Oracle, Survived, Violation, violation};
use crate::rng::Rng;
use crate::sabotage::Sabotage;
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
        let Self {
            words,
            points,
            images,
        } = self;
        write!(
            f,
            "{words} workloads, {points} crash points, {images} images"
        )
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

/// Which images each crash point gets.
#[derive(Clone, Copy, Debug)]
pub enum Images {
    /// Two of: the death of the process alone, C0, one prefix (C1), one subset (C2), one of
    /// lengths without data or data without lengths (C3); the next point gets others.
    Few,
    /// The death of the process alone, C0, every prefix (C1), and so many of C2 and of C3 each.
    Many(u64),
}

impl Images {
    fn of(self, operation: usize, changes: usize) -> Vec<Crash> {
        match self {
            Self::Few => {
                let prefix = Crash::Prefix(operation * 7 % (changes + 1));
                let all = [
                    Crash::Nothing,
                    Crash::Subset,
                    Crash::Killed,
                    prefix,
                    Crash::Lengths,
                ];
                [0, 1]
                    .map(|more| all[(operation * 2 + more) % all.len()])
                    .to_vec()
            }
            Self::Many(count) => {
                let mut crashes = vec![Crash::Killed, Crash::Nothing];
                crashes.extend((1..=changes).map(Crash::Prefix));
                crashes.extend((0..count).flat_map(|_| [Crash::Subset, Crash::Lengths]));
                crashes
            }
        }
    }
}

/// Sweeps every word, on all processors.
///
/// # Errors
/// The finding of the first word that has one, as far as the threads came.
pub fn sweep_all(words: &[Vec<Step>], images: Images) -> Result<Counts, Finding> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS_MAX);
    let share = |first: usize| {
        let mut counts = Counts::default();
        let mut mine = words.iter().skip(first).step_by(threads);
        mine.try_for_each(|word| sweep(word, images, None, &mut counts))
            .map(|()| counts)
    };
    let done: Vec<Result<Counts, Finding>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || share(first)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a sweep panicked"))
            .collect()
    });
    done.into_iter()
        .try_fold(Counts::default(), |mut sum, counts| {
            sum.add(counts?);
            Ok(sum)
        })
}

/// Runs the steps, dies at every operation that the last one needs, and recovers from every image;
/// the operations before it are those of the shorter word. The empty word dies inside the first
/// start.
///
/// # Errors
/// The first finding; `counts` then says how much it took.
pub fn sweep(
    word: &[Step],
    images: Images,
    sabotage: Option<Sabotage>,
    counts: &mut Counts,
) -> Result<(), Finding> {
    counts.words += 1;
    let (first, total) = last_step(word, sabotage)?;
    // Behind the last operation, too: a power cut in a quiet moment.
    for operation in first..=total {
        counts.points += 1;
        let world = dead_at(word, operation, sabotage);
        let crashes = images.of(operation, world.disk.changes());
        for (number, crash) in crashes.into_iter().enumerate() {
            counts.images += 1;
            // Other points of the sweep get other subsets.
            let seed = (operation * 1000 + number) as u64;
            check_image(&world, crash, seed).map_err(|broken| Finding {
                violation: broken,
                how: format!(
                    "{word:?}, died at {}, then {crash:?} with seed {seed}",
                    world.disk.describe(operation)
                ),
            })?;
        }
    }
    Ok(())
}

/// The number of the first operation of the last step, and how many there are.
fn last_step(word: &[Step], sabotage: Option<Sabotage>) -> Result<(usize, usize), Finding> {
    let mut world = World::new(SimFs::new(0), Client::new(), sabotage);
    let mut first = 0;
    let mut run = || {
        world.start()?;
        for step in word {
            first = world.disk.operations();
            world.step(*step)?;
        }
        Ok(world.disk.operations())
    };
    match run() {
        Ok(total) => Ok((first, total)),
        Err(stop) => Err(Finding {
            violation: broken(stop),
            how: format!("{word:?}, without a crash"),
        }),
    }
}

/// The world of a process that died inside an operation of a workload.
#[must_use]
pub fn dead_at(word: &[Step], operation: usize, sabotage: Option<Sabotage>) -> World {
    let mut world = World::new(SimFs::new(0), Client::new(), sabotage);
    world.disk.crash_at(operation);
    // That it works without a crash was seen before.
    let _ = world
        .start()
        .and_then(|()| word.iter().try_for_each(|step| world.step(*step)));
    world
}

/// Recovers from one image of a world that stopped, and checks every rule.
///
/// # Errors
/// The first broken rule.
pub fn check_image(world: &World, crash: Crash, seed: u64) -> Result<(), Violation> {
    let mut rng = Rng::new(seed);
    check_recovery(world.crash(crash, &mut rng.clone()), crash, &mut rng).map_err(broken)
}

/// Starts on what a crash left, and goes on from there: what must have survived is there, a power
/// cut inside or right behind the recovery changes nothing, clients can go on, and what they were
/// told then survives the next power cut.
fn check_recovery(image: World, crash: Crash, rng: &mut Rng) -> Result<(), Stop> {
    let is_disturbed = rng.percent(DISTURBED_PERCENT);
    let disturbed = is_disturbed.then(|| image.copy());
    let mut world = image;
    world.start()?;
    let operations = world.disk.operations();
    world.verify(survived(crash))?;
    if rng.percent(SEARCH_PERCENT) {
        world.verify_search()?;
        world.verify_exclusive()?;
    }
    let recovered = world.snapshot()?;
    let mut twice = world.crash(Crash::Nothing, rng);
    twice.start()?;
    if twice.snapshot()? != recovered {
        let text = "a power cut behind the recovery changed what is there";
        return Err(violation(Oracle::Idempotent, text).into());
    }
    world.carry_on()?;
    let mut again = world.crash(Crash::Nothing, rng);
    again.start()?;
    again.verify(Survived::PowerCut)?;
    if let Some(disturbed) = disturbed.filter(|_| operations > 0) {
        let after = disturb(disturbed, rng.below(operations), rng)?;
        // What only the page cache held may be lost, now that the power failed, too.
        if crash != Crash::Killed && after.snapshot()? != recovered {
            let text = "a crash inside the recovery changed what is there";
            return Err(violation(Oracle::Idempotent, text).into());
        }
    }
    Ok(())
}

/// Dies inside an operation of the recovery, then recovers from any image of that.
fn disturb(mut world: World, operation: usize, rng: &mut Rng) -> Result<World, Stop> {
    world.disk.crash_at(operation);
    match world.start() {
        Err(Stop::Dead) => {}
        other => other?,
    }
    let changes = world.disk.changes();
    let crash = match rng.below(4) {
        0 => Crash::Nothing,
        1 => Crash::Prefix(rng.below(changes + 1)),
        2 => Crash::Subset,
        _ => Crash::Lengths,
    };
    let mut after = world.crash(crash, rng);
    after.start()?;
    after.verify(Survived::PowerCut)?;
    Ok(after)
}

fn survived(crash: Crash) -> Survived {
    if crash == Crash::Killed {
        Survived::Death
    } else {
        Survived::PowerCut
    }
}

pub(crate) fn broken(stop: Stop) -> Violation {
    match stop {
        Stop::Broken(violation) => violation,
        Stop::Dead | Stop::Refused(_) => violation(
            Oracle::Progress,
            format!("stopped on a good disk: {stop:?}"),
        ),
    }
}

/// How many recoveries are disturbed at a random operation; `tests/crash/recovery_crash.rs`
/// disturbs some at every operation.
const DISTURBED_PERCENT: usize = 25;
const SEARCH_PERCENT: usize = 20;
const THREADS_MAX: usize = 16;
