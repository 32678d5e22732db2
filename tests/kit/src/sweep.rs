//! Crashes at every operation, and what must hold after each.
//!
//! Invariants
//! - A finding names all that is needed to see it again: steps, operation, crash, seed.

use std::collections::HashSet;
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
    /// Two of: the death of the process alone, C0, one prefix (C1), and one of each class in which
    /// chance decides; the next point gets others.
    Few,
    /// The death of the process alone, C0, every prefix (C1), and so many of each class in which
    /// chance decides.
    Many(u64),
    /// At most so many, no two of them alike, of the classes in turn.
    Distinct(usize),
}

impl Images {
    fn of(self, operation: usize, disk: &SimFs) -> Vec<(Crash, u64)> {
        // Other points of the sweep get other subsets.
        let seed = |number: usize| (operation * 1000 + number) as u64;
        let changes = disk.changes();
        let crashes: Vec<Crash> = match self {
            Self::Few => few(operation, changes),
            Self::Many(count) => {
                let random = (0..count).flat_map(|_| Crash::RANDOM);
                certain(changes, 1).chain(random).collect()
            }
            Self::Distinct(max) => {
                let step = changes.div_ceil(max.div_ceil(2)).max(1);
                let random = Crash::RANDOM
                    .into_iter()
                    .cycle()
                    .take(max * DRAWS_PER_IMAGE);
                let drawn = certain(changes, step).chain(random).enumerate();
                return distinct(
                    disk,
                    drawn.map(|(number, crash)| (crash, seed(number))),
                    max,
                );
            }
        };
        let numbered = crashes.into_iter().enumerate();
        numbered
            .map(|(number, crash)| (crash, seed(number)))
            .collect()
    }
}

fn few(operation: usize, changes: usize) -> Vec<Crash> {
    let prefix = Crash::Prefix(operation * 7 % (changes + 1));
    let mut all = vec![Crash::Killed, Crash::Nothing, prefix];
    all.extend(Crash::RANDOM);
    let pick = |more| all[(operation * 2 + more) % all.len()];
    vec![pick(0), pick(1)]
}

/// The crashes in which nothing is left to chance, with each `step`th prefix.
fn certain(changes: usize, step: usize) -> impl Iterator<Item = Crash> {
    let prefixes = (1..=changes).step_by(step).map(Crash::Prefix);
    [Crash::Killed, Crash::Nothing].into_iter().chain(prefixes)
}

/// Those that leave different disks, until there are `max`, or many draws in a row gave nothing
/// new.
fn distinct(
    disk: &SimFs,
    drawn: impl Iterator<Item = (Crash, u64)>,
    max: usize,
) -> Vec<(Crash, u64)> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut old = 0;
    for (crash, seed) in drawn {
        let image = disk.image(crash, &mut Rng::new(seed));
        if seen.insert(image.fingerprint()) {
            found.push((crash, seed));
            old = 0;
        } else {
            old += 1;
        }
        if found.len() == max || old == OLD_IN_A_ROW_MAX {
            break;
        }
    }
    found
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
        for (crash, seed) in images.of(operation, &world.disk) {
            counts.images += 1;
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
    let mut again = world.take_crash(Crash::Nothing, rng);
    again.start()?;
    again.verify(Survived::PowerCut)?;
    if let Some(disturbed) = disturbed.filter(|_| operations > 0) {
        let after = disturb(disturbed, operations, rng)?;
        // What only the page cache held may be lost, now that the power failed, too.
        if crash != Crash::Killed && after.snapshot()? != recovered {
            let text = "a crash inside the recovery changed what is there";
            return Err(violation(Oracle::Idempotent, text).into());
        }
    }
    Ok(())
}

/// Dies inside one of so many operations of the recovery, now and then inside the recovery from
/// that, too, and inside a third (C6); then recovers.
fn disturb(mut world: World, operations: usize, rng: &mut Rng) -> Result<World, Stop> {
    for _ in 0..rng.pick(&DEPTHS) {
        world.disk.crash_at(rng.below(operations));
        match world.start() {
            // A recovery that has less to do than the first one may be through.
            Err(Stop::Dead) | Ok(()) => {}
            other => other?,
        }
        let prefix = Crash::Prefix(rng.below(world.disk.changes() + 1));
        let [subset, lengths, stale, names] = Crash::RANDOM;
        let crash = rng.pick(&[Crash::Nothing, prefix, subset, lengths, stale, names]);
        world = world.crash(crash, rng);
    }
    world.start()?;
    world.verify(Survived::PowerCut)?;
    Ok(world)
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
/// How many recoveries in a row are.
const DEPTHS: [usize; 6] = [1, 1, 1, 2, 2, 3];
const SEARCH_PERCENT: usize = 20;
/// So many draws for each image that is wanted, at most.
const DRAWS_PER_IMAGE: usize = 4;
/// So many draws of a disk that was drawn before, and the point has no other.
const OLD_IN_A_ROW_MAX: usize = 16;
const THREADS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_a_point_are_of_every_class_and_no_two_alike() {
        let word = [Step::AppendBoth, Step::Roll];
        let (first, total) = last_step(&word, None).unwrap();
        let mut classes = HashSet::new();
        let mut most = 0;
        for operation in first..=total {
            let disk = dead_at(&word, operation, None).disk;
            let images = Images::Distinct(64).of(operation, &disk);
            let sums: HashSet<u64> = images
                .iter()
                .map(|(crash, seed)| disk.image(*crash, &mut Rng::new(*seed)).fingerprint())
                .collect();
            assert_eq!(sums.len(), images.len(), "operation {operation}");
            most = most.max(images.len());
            classes.extend(
                images
                    .iter()
                    .map(|(crash, _)| std::mem::discriminant(crash)),
            );
        }
        assert!(most > 20, "at most {most} images");
        assert_eq!(classes.len(), 7);
    }
}
