//! One test for each bug that the sweeps and seeds have found.

use highwater_kit::client::{A, B, first_segment};
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::Crash;
use highwater_kit::sweep::{Counts, Images, sweep};
use highwater_kit::workload::Step;
use highwater_kit::world::World;

/// The log of three batches in one growing interval, after a clean stop, with one byte of the
/// second batch changed. Answers how many batches are refused and how many are served wrong.
fn damaged_after_a_clean_stop(byte: usize) -> (usize, usize) {
    let mut world = World::new_started();
    world.step(Step::Append).unwrap();
    let second = world.disk.content(&first_segment(A)).unwrap().len();
    world.step(Step::Append).unwrap();
    world.step(Step::Append).unwrap();
    world.close().unwrap();
    let mut after = world.crash(Crash::Nothing, &mut Rng::new(0));
    after.disk.damage(&first_segment(A), second + byte, 0x10);
    after.start().unwrap();
    let damage = after.read_damaged();
    (damage.refused.len(), damage.wrong.len())
}

/// A start removed the segments that a checkpoint had forgotten whose name was not durable: after
/// the next power cut the old checkpoint was back, and they were not.
#[test]
fn a_start_syncs_the_checkpoint_before_it_removes_what_that_forgot() {
    let word = [
        Step::AppendLarge,
        Step::AppendBoth,
        Step::Checkpoint,
        Step::Roll,
        Step::AppendBoth,
        Step::Checkpoint,
        Step::AppendBoth,
        Step::AppendWritten,
        Step::Retention,
    ];
    let mut counts = Counts::default();
    if let Err(finding) = sweep(&word, Images::Distinct(24), None, &mut counts) {
        panic!("{finding}");
    }
}

/// No checksum of its own covers the base offset of a batch; a read took it from the batch that it
/// was to check, and served it.
#[test]
fn a_rotten_base_offset_in_the_growing_interval_is_not_served() {
    for byte in 0..8 {
        let (refused, wrong) = damaged_after_a_clean_stop(byte);
        assert_eq!(wrong, 0, "byte {byte}");
        assert!(refused > 0, "byte {byte}");
    }
}

/// Nor the leader epoch, and the start after a clean stop does not read the batches: the running
/// sum of the recovery point must be compared at the first read.
#[test]
fn a_rotten_leader_epoch_in_the_growing_interval_is_not_served() {
    for byte in 12..16 {
        let (refused, wrong) = damaged_after_a_clean_stop(byte);
        assert_eq!(wrong, 0, "byte {byte}");
        assert!(refused > 0, "byte {byte}");
    }
}

/// Above the recovery point there is no sum, and a start took whatever epoch a batch had, and then
/// the next ones for too old (core seed 85468).
#[test]
fn a_rotten_leader_epoch_above_the_recovery_point_is_not_served() {
    for (byte, bit) in (12..16).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let mut world = World::new_started();
        world.step(Step::AppendWritten).unwrap();
        let second = world.disk.content(&first_segment(B)).unwrap().len();
        world.step(Step::AppendWritten).unwrap();
        let mut after = world.crash(Crash::Nothing, &mut Rng::new(0));
        let place = second + byte;
        after.disk.damage(&first_segment(B), place, 1 << bit);
        after.start().unwrap();
        let damage = after.read_damaged();
        assert!(damage.wrong.is_empty(), "bit {bit} of byte {byte}");
    }
}
