//! Lives of a shard that follow from a seed: steps, a failing disk or none, a crash, a recovery,
//! and again.

use crate::client::Client;
use crate::oracle::Survived;
use crate::rng::Rng;
use crate::sabotage::Sabotage;
use crate::sim_fs::{AfterFailedSync, Crash, Errno, Fault, Op, SimFs};
use crate::sweep::{Finding, broken};
use crate::workload::random_word;
use crate::world::{Stop, World};

/// Lives the lives of one seed.
///
/// # Errors
/// The first finding.
pub fn lives(seed: u64, sabotage: Option<Sabotage>) -> Result<(), Finding> {
    let mut rng = Rng::new(seed);
    let world = World::new(SimFs::new(rng.bits()), Client::new(), sabotage);
    let mut story = Vec::new();
    live_all(world, &mut rng, &mut story).map_err(|stop| Finding {
        violation: broken(stop),
        how: format!("SEED={seed}: {}", story.join("; ")),
    })
}

fn live_all(mut world: World, rng: &mut Rng, story: &mut Vec<String>) -> Result<(), Stop> {
    for _ in 0..LIVES {
        live(&mut world, rng, story)?;
        let crash = any_crash(&world, rng);
        story.push(format!("then {crash:?}"));
        let survived = match crash {
            Crash::Killed => world.survived_death(),
            _ => Survived::PowerCut,
        };
        world = world.crash(crash, rng);
        world.start()?;
        world.verify(survived)?;
        world.verify_exclusive()?;
        world.carry_on()?;
    }
    world.verify_search()
}

/// One life, from a start to whatever ends it.
fn live(world: &mut World, rng: &mut Rng, story: &mut Vec<String>) -> Result<(), Stop> {
    match rng.below(3) {
        0 => {
            let operation = world.disk.operations() + rng.below(OPERATIONS_MAX);
            story.push(format!("dies at {operation}"));
            world.disk.crash_at(operation);
        }
        1 => {
            let fault = any_fault(rng);
            story.push(format!("{fault:?}"));
            world.disk.inject(fault);
        }
        _ => {}
    }
    let word = random_word(1 + rng.below(STEPS_MAX), rng);
    story.push(format!("{word:?}"));
    let lived = world
        .start()
        .and_then(|()| word.iter().try_for_each(|step| world.step(*step)));
    match lived {
        Err(Stop::Broken(broken)) => Err(broken.into()),
        // It was told to die, or to meet an error that it may give up on.
        Ok(()) | Err(Stop::Dead | Stop::Refused(_)) => Ok(()),
    }
}

fn any_crash(world: &World, rng: &mut Rng) -> Crash {
    match rng.below(5) {
        0 => Crash::Killed,
        1 => Crash::Nothing,
        2 => Crash::Prefix(rng.below(world.disk.changes() + 1)),
        3 => Crash::Subset,
        _ => Crash::Lengths,
    }
}

fn any_fault(rng: &mut Rng) -> Fault {
    let modes = [
        AfterFailedSync::CleanNew,
        AfterFailedSync::CleanOld,
        AfterFailedSync::Dirty,
    ];
    Fault {
        // Syncs are what most depends on.
        on: if rng.percent(40) {
            Op::Sync
        } else {
            rng.pick(&Op::ALL)
        },
        nth: 1 + rng.below(20) as u64,
        sticky: rng.percent(30),
        errno: rng.pick(&[Errno::Io, Errno::NoSpace]),
        after_sync: rng.pick(&modes),
    }
}

const LIVES: usize = 3;
const STEPS_MAX: usize = 6;
/// About what a start and the steps need.
const OPERATIONS_MAX: usize = 80;
