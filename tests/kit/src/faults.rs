//! One call of the disk fails, at every place where it can.
//!
//! Invariants
//! - What fails is reached: a fault that no call meets ends the search, and the count tells.

use crate::client::Client;
use crate::oracle::Survived;
use crate::rng::Rng;
use crate::sabotage::Sabotage;
use crate::sim_fs::{Crash, Fault, SimFs};
use crate::sweep::{Finding, broken};
use crate::workload::Step;
use crate::world::{Stop, World};

/// Lives the story once for each call that the fault can hit: the first of its kind, the second,
/// until none is left. Answers how many calls failed, first or for good.
///
/// # Errors
/// The first finding.
pub fn each_call_fails(fault: Fault, sabotage: Option<Sabotage>) -> Result<u64, Finding> {
    let mut nth = 1;
    while one_fault(Fault { nth, ..fault }, sabotage)? {
        nth += 1;
    }
    Ok(nth - 1)
}

/// Lives the story with one fault, then each of several ends and a start on a disk that works
/// again. Answers whether the fault hit a call.
fn one_fault(fault: Fault, sabotage: Option<Sabotage>) -> Result<bool, Finding> {
    let mut world = World::new(SimFs::new(fault.nth), Client::new(), sabotage);
    world.disk.inject(fault);
    let finding = |stop, end: &str| Finding {
        violation: broken(stop),
        how: format!("{fault:?}, {end}"),
    };
    live(&mut world).map_err(|stop| finding(stop, "before the end"))?;
    for (seed, crash) in [Crash::Nothing, Crash::Killed, Crash::Subset]
        .into_iter()
        .enumerate()
    {
        let mut after = world.crash(crash, &mut Rng::new(seed as u64));
        recover(&mut after)
            .map_err(|stop| finding(stop, &format!("then {crash:?} with seed {seed}")))?;
    }
    Ok(world.disk.fired() > 0)
}

/// The page cache may lie after a failure: nothing but what is durable counts, and what a recovery
/// shows is durable.
fn recover(world: &mut World) -> Result<(), Stop> {
    world.start()?;
    world.verify(Survived::PowerCut)?;
    world.carry_on()?;
    let mut again = world.crash(Crash::Nothing, &mut Rng::new(0));
    again.start()?;
    again.verify(Survived::PowerCut)
}

/// Every step, whatever became of the one before: a shard that refuses goes on refusing.
fn live(world: &mut World) -> Result<(), Stop> {
    match world.start() {
        Err(Stop::Refused(_)) => return Ok(()),
        other => other?,
    }
    for step in STORY {
        match world.step(step) {
            Err(Stop::Refused(_)) if step == Step::Restart => return Ok(()),
            Err(Stop::Refused(_)) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Every kind of step once, so that each call of the seam has its place.
const STORY: [Step; 14] = [
    Step::Append,
    Step::AppendBoth,
    Step::AppendCached,
    Step::Flush,
    Step::AppendWritten,
    Step::CreateLog,
    Step::Roll,
    Step::Checkpoint,
    Step::AppendLarge,
    Step::DeleteRecords,
    Step::Retention,
    Step::RemoveLog,
    Step::AppendTwice,
    Step::Restart,
];
