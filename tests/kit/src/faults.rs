//! One call of the disk fails, at every place where it can; or the disk runs full, at every size.
//!
//! Invariants
//! - What fails is reached: a fault that no call meets ends the search, and the count tells.
//! - Once the disk works again a shard goes on by itself, unless a failure made it read-only, which
//!   only some may; a start heals it always.

use crate::client::Client;
use crate::oracle::{Oracle, Survived, Violation, violation};
use crate::rng::Rng;
use crate::sabotage::Sabotage;
use crate::sim_fs::{Crash, Errno, Fault, SimFs};
use crate::sweep::{Finding, broken};
use crate::workload::Step;
use crate::world::{Stop, World};

/// What is lived with a fault in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Every kind of step once on a new disk.
    New,
    /// A start after a power cut that left much to recover, and a life behind it.
    Recovery,
    /// A long life: rolls, retention, the journal's third life, removed logs, starts.
    Long,
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::New, Self::Recovery, Self::Long];

    /// What is lived on a good disk, before a power cut.
    const fn before(self) -> &'static [Step] {
        match self {
            Self::New => &[],
            Self::Recovery => &RECOVERY_BEFORE,
            Self::Long => &LONG_BEFORE,
        }
    }

    /// What is lived with the fault, after a start.
    const fn during(self) -> &'static [Step] {
        match self {
            Self::New => &NEW,
            Self::Recovery => &RECOVERY,
            Self::Long => &LONG,
        }
    }

    /// The world in which the faults begin. What its client expects is what a start on a good disk
    /// finds: one that meets a fault finds the same, or gives up.
    fn world(self, seed: u64, sabotage: Option<Sabotage>) -> Result<World, Stop> {
        let mut world = World::new(SimFs::new(seed), Client::new(), sabotage);
        if self.before().is_empty() {
            return Ok(world);
        }
        world.start()?;
        self.before()
            .iter()
            .try_for_each(|step| world.step(*step))?;
        // Half of what was not synced is there: groups without their copies, a torn tail.
        let half = Crash::Prefix(world.disk.changes() / 2);
        let mut world = world.take_crash(half, &mut Rng::new(seed));
        let mut undisturbed = world.copy();
        undisturbed.start()?;
        undisturbed.verify(Survived::PowerCut)?;
        for (id, log) in &mut undisturbed.client.model.logs {
            // What the start with the fault has to read is still as it was.
            log.unpointed_bytes = world.client.log(*id).unpointed_bytes;
        }
        world.client = undisturbed.client;
        Ok(world)
    }
}

/// Lives the first story once for each call that the fault can hit: the first of its kind, the
/// second, until none is left. Answers how many calls failed, first or for good.
///
/// # Errors
/// The first finding.
pub fn each_call_fails(fault: Fault, sabotage: Option<Sabotage>) -> Result<u64, Finding> {
    each_call_of(Story::New, fault, sabotage)
}

/// The same for any story.
///
/// # Errors
/// The first finding.
pub fn each_call_of(
    story: Story,
    fault: Fault,
    sabotage: Option<Sabotage>,
) -> Result<u64, Finding> {
    let mut nth = 1;
    while one_fault(story, Fault { nth, ..fault }, sabotage)? {
        nth += 1;
    }
    Ok(nth - 1)
}

/// Lives the story on disks with less and less room, until the first write finds none. Others take
/// the room, so that nobody sees it coming. Answers how many disks ran full.
///
/// # Errors
/// The first finding.
pub fn each_room(story: Story, errno: Errno) -> Result<u64, Finding> {
    let mut runs = 0;
    for bytes in (0_u64..).step_by(ROOM_STEP_BYTES) {
        if !one_room(story, bytes, errno)? {
            break;
        }
        runs += 1;
    }
    Ok(runs)
}

fn one_room(story: Story, bytes: u64, errno: Errno) -> Result<bool, Finding> {
    let finding = |stop| Finding {
        violation: broken(stop),
        how: format!("{story:?} with room for {bytes} bytes, then {errno:?}"),
    };
    let mut world = story.world(bytes, None).map_err(finding)?;
    world.disk.limit_room(bytes, errno);
    // Others take the room, and nobody sees it coming.
    world.disk.set_free_bytes(1 << 40);
    live(&mut world, story).map_err(finding)?;
    world.disk.unlimit_room();
    go_on(&mut world, |why| {
        let text = format!("a full disk made the shard read-only: {why}");
        Err(violation(Oracle::Progress, text))
    })
    .map_err(finding)?;
    ends(&world, finding)?;
    Ok(world.disk.fired() > 0)
}

/// Lives the story with one fault, then each of several ends and a start on a disk that works
/// again. Answers whether the fault hit a call.
fn one_fault(story: Story, fault: Fault, sabotage: Option<Sabotage>) -> Result<bool, Finding> {
    let finding = |stop| Finding {
        violation: broken(stop),
        how: format!("{story:?} with {fault:?}"),
    };
    let mut world = story.world(fault.nth, sabotage).map_err(finding)?;
    world.disk.inject(fault);
    live(&mut world, story).map_err(finding)?;
    go_on(&mut world, |why| match fault.on.only_looks() {
        true => Err(violation(
            Oracle::Progress,
            format!("read-only after a call that only looks: {why}"),
        )),
        false => Ok(()),
    })
    .map_err(finding)?;
    ends(&world, finding)?;
    Ok(world.disk.fired() > 0)
}

/// The disk works again. A shard that is read-only says why, which must be reason enough; any other
/// takes batches.
fn go_on(world: &mut World, is_reason: impl Fn(&str) -> Result<(), Violation>) -> Result<(), Stop> {
    if !world.is_open() {
        return Ok(());
    }
    world.heal();
    match world.poisoned() {
        Some(why) => Ok(is_reason(&why)?),
        None => world.carry_on(),
    }
}

fn ends(world: &World, finding: impl Fn(Stop) -> Finding) -> Result<(), Finding> {
    let ends = [Crash::Nothing, Crash::Killed, Crash::Subset];
    for (seed, crash) in ends.into_iter().enumerate() {
        let mut after = world.crash(crash, &mut Rng::new(seed as u64));
        // What could not be written, an index, say, is read for again.
        after.distrust();
        recover(&mut after).map_err(|stop| {
            let Finding { violation, how } = finding(stop);
            let how = format!("{how}, then {crash:?} with seed {seed}");
            Finding { violation, how }
        })?;
    }
    Ok(())
}

/// The page cache may lie after a failure: nothing but what is durable counts, and what a recovery
/// shows is durable.
fn recover(world: &mut World) -> Result<(), Stop> {
    world.start()?;
    world.verify(Survived::PowerCut)?;
    world.carry_on()?;
    let mut again = world.take_crash(Crash::Nothing, &mut Rng::new(0));
    again.start()?;
    again.verify(Survived::PowerCut)
}

/// Every step, whatever became of the one before: a shard that refuses goes on refusing.
fn live(world: &mut World, story: Story) -> Result<(), Stop> {
    match world.start() {
        Err(Stop::Refused(_)) => return Ok(()),
        other => other?,
    }
    for step in story.during() {
        match world.step(*step) {
            Err(Stop::Refused(_)) if !world.is_open() => return Ok(()),
            Err(Stop::Refused(_)) => {}
            other => other?,
        }
    }
    Ok(())
}

const NEW: [Step; 14] = [
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
const RECOVERY_BEFORE: [Step; 8] = [
    Step::AppendLarge,
    Step::AppendBoth,
    Step::Checkpoint,
    Step::CreateLog,
    Step::AppendTwice,
    Step::AppendCached,
    Step::AppendWritten,
    Step::AppendBoth,
];
const RECOVERY: [Step; 4] = [
    Step::AppendBoth,
    Step::Checkpoint,
    Step::Kill,
    Step::AppendCached,
];
const LONG_BEFORE: [Step; 5] = [
    Step::AppendBoth,
    Step::Checkpoint,
    Step::AppendLarge,
    Step::AppendLarge,
    Step::Roll,
];
const LONG: [Step; 14] = [
    Step::AppendBoth,
    Step::Checkpoint,
    Step::CreateLog,
    Step::AppendBoth,
    Step::Roll,
    Step::Retention,
    Step::RemoveLog,
    Step::CreateLog,
    Step::Kill,
    Step::AppendTwice,
    Step::AppendBoth,
    Step::Checkpoint,
    Step::DeleteRecords,
    Step::Restart,
];

/// Not a divisor of anything, so that writes are cut everywhere.
const ROOM_STEP_BYTES: usize = 97;
