//! A crash inside a recovery, and inside the recovery from that, and inside the third: the result
//! is the one of a recovery that nothing disturbed.

use std::path::PathBuf;

use highwater_kit::client::DATA_DIR;
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::Crash;
use highwater_kit::sweep::{check_image, dead_at};
use highwater_kit::workload::Step;
use highwater_kit::world::World;
use highwater_log::fs::Fs;

use crate::is_full;

/// Each leaves something to do: a torn tail, a journal to replay, a roll that was not finished.
const STORIES: [[Step; 3]; 5] = [
    [Step::AppendBoth, Step::AppendCached, Step::AppendBoth],
    [Step::AppendBoth, Step::Checkpoint, Step::AppendBoth],
    [Step::AppendLarge, Step::AppendLarge, Step::Roll],
    [Step::CreateLog, Step::AppendCached, Step::RemoveLog],
    [Step::Roll, Step::AppendBoth, Step::Retention],
];

#[test]
fn a_recovery_can_be_disturbed_at_every_operation() {
    let mut images = 0;
    for story in STORIES {
        let mut quiet = World::new_started();
        let first = quiet.disk.operations();
        story.iter().for_each(|step| quiet.step(*step).unwrap());
        let last = quiet.disk.operations();
        // The sweep has been at each operation; every recovery from the last one is of all work.
        let (stride, depth) = if is_full() { (7, DEPTH) } else { (25, 1) };
        for operation in (first..=last).rev().step_by(stride) {
            let dead = dead_at(&story, operation, None);
            for crash in [
                Crash::Nothing,
                Crash::Prefix(dead.disk.changes()),
                Crash::Subset,
            ] {
                images += disturb(&dead, crash, depth, 1);
            }
        }
    }
    println!("{images} disturbed recoveries");
    assert!(images > 500, "only {images} images");
}

/// A log in which a start finds nothing to do is not written by it: what the start read there, and
/// serves, is on the disk all the same.
#[test]
fn what_an_unchanged_log_serves_is_durable() {
    let checkpoints = |world: &World| {
        let staged = |n: &usize| world.disk.describe(*n).ends_with(".tmp");
        (0..world.disk.operations()).filter(staged).count()
    };
    for story in STORIES {
        let mut world = World::new_started();
        story.iter().for_each(|step| world.step(*step).unwrap());
        world = world.crash(Crash::Killed, &mut Rng::new(1));
        world.start().unwrap();
        // Nothing is left to do for a second one.
        for _ in 0..3 {
            world = world.crash(Crash::Killed, &mut Rng::new(1));
            let before = world.disk.operations();
            world.start().unwrap();
            assert_eq!(before, 0);
            assert_eq!(checkpoints(&world), 0, "{story:?}");
            let served = world.snapshot().unwrap();
            for crash in [Crash::Nothing, Crash::Subset, Crash::Names] {
                let mut after = world.crash(crash, &mut Rng::new(2));
                after.start().unwrap();
                assert_eq!(after.snapshot().unwrap(), served, "{story:?}, {crash:?}");
            }
        }
    }
}

/// Found by the seed 1748: a full disk had cost a segment its indexes; each start made them again,
/// and each power cut took their names.
#[test]
fn indexes_that_a_start_makes_again_outlive_a_power_cut() {
    let mut world = World::new_started();
    for step in [Step::AppendBoth, Step::Roll, Step::AppendBoth] {
        world.step(step).unwrap();
    }
    let dir = PathBuf::from(DATA_DIR)
        .join("logs")
        .join("0a".repeat(16))
        .join("0");
    let index = dir.join("00000000000000000000.index");
    world = world.crash(Crash::Killed, &mut Rng::new(1));
    world.disk.remove(&index).unwrap();
    world.disk.sync_dir(&dir).unwrap();
    // Now a start has to read the segment.
    world.distrust();
    world.start().unwrap();
    let after = world.crash(Crash::Nothing, &mut Rng::new(2));
    assert!(after.disk.content(&index).is_some());
}

/// Crashes inside each operation of the recovery from one image; deeper down at a few of them, as
/// each level multiplies.
fn disturb(dead: &World, crash: Crash, depth: usize, stride_min: usize) -> usize {
    let image = || dead.crash(crash, &mut Rng::new(7));
    let mut undisturbed = image();
    undisturbed.start().unwrap();
    let expected = undisturbed.snapshot().unwrap();
    let operations = undisturbed.disk.operations();
    let stride = stride_min.min(operations.max(1));
    let mut images = 0;
    for operation in (0..operations).step_by(stride) {
        let mut world = image();
        world.disk.crash_at(operation);
        world.start().expect_err("it dies inside the start");
        let [subset, lengths, stale, names] = Crash::RANDOM;
        // Of the classes of chance another one than at the operation before.
        let by_turns = [lengths, stale, names][operation % 3];
        let all = Crash::Prefix(world.disk.changes());
        for again in [Crash::Nothing, all, subset, by_turns] {
            images += 1;
            let mut after = world.crash(again, &mut Rng::new(operation as u64));
            let told = || {
                let place = world.disk.describe(operation);
                format!("{crash:?}, recovery died at {place}, then {again:?}")
            };
            after
                .start()
                .unwrap_or_else(|stop| panic!("{stop:?}\n  {}", told()));
            assert_eq!(after.snapshot().unwrap(), expected, "{}", told());
        }
        if operation.is_multiple_of(5) {
            images += 1;
            check_image(&world, Crash::Lengths, operation as u64)
                .unwrap_or_else(|broken| panic!("{broken}\n  {}", world.disk.describe(operation)));
            if depth > 1 {
                images += disturb(&world, Crash::Subset, depth - 1, 20);
            }
        }
    }
    images
}

/// A crash, and two more inside the recoveries from it.
const DEPTH: usize = 3;
