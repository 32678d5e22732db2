//! What a crash left half written goes, and nothing else does.

use std::path::PathBuf;

use highwater_kit::client::{P, dir, first_segment};
use highwater_kit::model::Contents;
use highwater_kit::oracle::Survived;
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::Crash;
use highwater_kit::workload::Step;
use highwater_kit::world::World;

/// A world whose page-cache log holds synced batches and, behind them, two that no sync covered,
/// on a disk that has them all the same. The process is dead. Answers the bytes of the log, and
/// where each batch ends.
fn unsynced_tail() -> (World, Vec<u8>, Vec<usize>) {
    let mut world = World::new_started();
    for step in [
        Step::AppendCached,
        Step::Flush,
        Step::Checkpoint,
        Step::AppendCached,
    ] {
        world.step(step).unwrap();
    }
    let bytes = world.disk.content(&first_segment(P)).unwrap();
    let (_, contents) = snapshot_of_tail(&world);
    let ends = contents.batches.iter().scan(0, |end, stored| {
        *end += stored.bytes.len();
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    assert_eq!((ends.len(), ends[3]), (4, bytes.len()));
    let prefix = Crash::Prefix(world.disk.changes());
    (world.crash(prefix, &mut Rng::new(0)), bytes, ends)
}

fn snapshot_of_tail(world: &World) -> (Vec<PathBuf>, Contents) {
    let contents = world.snapshot().unwrap();
    let contents = contents
        .into_iter()
        .find(|(id, _)| *id == P)
        .expect("the log is open")
        .1;
    (world.disk.files(), contents)
}

/// Recovers from a log file with other bytes than it had.
fn recover(world: &World, bytes: &[u8]) -> World {
    let mut after = world.crash(Crash::Nothing, &mut Rng::new(0));
    after.disk.rewrite(&first_segment(P), bytes);
    after.distrust();
    after.start().unwrap();
    after.verify(Survived::PowerCut).unwrap();
    after
}

fn batches(world: &World) -> usize {
    snapshot_of_tail(world).1.batches.len()
}

#[test]
fn a_tail_cut_at_any_byte_leaves_the_whole_batches() {
    let (world, bytes, ends) = unsynced_tail();
    for len in ends[1]..=bytes.len() {
        let after = recover(&world, &bytes[..len]);
        let whole = ends.iter().filter(|end| **end <= len).count();
        assert_eq!(batches(&after), whole, "cut to {len} bytes");
    }
}

#[test]
fn a_damaged_byte_of_the_tail_cuts_its_batch() {
    let (world, bytes, ends) = unsynced_tail();
    for position in ends[2]..bytes.len() {
        // No sum covers the leader epoch, and a higher one is plausible.
        if (12..16).contains(&(position - ends[2])) {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x40;
        assert_eq!(batches(&recover(&world, &damaged)), 3, "byte {position}");
    }
}

#[test]
fn zeros_and_rubbish_behind_the_tail_go() {
    let (world, bytes, _) = unsynced_tail();
    let mut rng = Rng::new(1);
    for len in [1, 11, 12, 60, 61, 600, 5000] {
        let rubbish: Vec<u8> = (0..len).map(|_| rng.bits().to_le_bytes()[0]).collect();
        for tail in [vec![0; len], rubbish] {
            let after = recover(&world, &[bytes.as_slice(), &tail].concat());
            assert_eq!(batches(&after), 4);
            assert_eq!(after.disk.content(&first_segment(P)).unwrap(), bytes);
        }
    }
}

/// The steps: X and Y are written, not synced; X tears; recovery cuts both; W, of X's size, takes
/// X's place and ends exactly where Y began; the power fails again. Y must not come back: it
/// would stand behind a batch that was sent later.
#[test]
fn a_batch_beyond_the_cut_does_not_come_back() {
    let (world, mut bytes, ends) = unsynced_tail();
    bytes[ends[2] - 1] ^= 1;
    let mut after = recover(&world, &bytes);
    assert_eq!(batches(&after), 2);
    let kept = after
        .disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with("/data/quarantine"));
    assert_eq!(
        kept.count(),
        1,
        "a valid batch behind the cut is kept aside"
    );

    after.step(Step::AppendCached).unwrap();
    let mut again = after.crash(Crash::Nothing, &mut Rng::new(0));
    again.start().unwrap();
    again.verify(Survived::PowerCut).unwrap();
    assert_eq!(batches(&again), 2);

    after.step(Step::Flush).unwrap();
    let mut again = after.crash(Crash::Nothing, &mut Rng::new(0));
    again.start().unwrap();
    again.verify(Survived::PowerCut).unwrap();
    assert_eq!(batches(&again), 4);
}

#[test]
fn only_the_torn_log_is_touched() {
    let (world, bytes, _) = unsynced_tail();
    let before = world.disk.files();
    let after = recover(&world, &bytes[..bytes.len() - 1]);
    for path in before
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
    {
        if !path.starts_with(dir(P)) {
            assert_eq!(
                after.disk.content(path),
                world.disk.content(path),
                "{}",
                path.display()
            );
        }
    }
}
