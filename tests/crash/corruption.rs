//! Bit rot in what was durable: it is named, what is healthy stays readable, and nothing is
//! deleted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use highwater_kit::client::{A, dir};
use highwater_kit::oracle::Survived;
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::Crash;
use highwater_kit::workload::Step;
use highwater_kit::world::{Damage, Stop, World};

/// A world with several sealed segments and recovery points, stopped.
pub(crate) fn durable_world(is_clean: bool) -> World {
    let mut world = World::new_started();
    let rolls = [
        Step::AppendLarge,
        Step::AppendBoth,
        Step::AppendTwice,
        Step::Roll,
    ];
    for step in rolls.into_iter().cycle().take(12) {
        world.step(step).unwrap();
    }
    world.step(Step::AppendBoth).unwrap();
    world.step(Step::Checkpoint).unwrap();
    if is_clean {
        world.close().unwrap();
    }
    world.crash(Crash::Nothing, &mut Rng::new(0))
}

fn segments(world: &World) -> Vec<PathBuf> {
    let files = world.disk.files().into_iter();
    files
        .filter(|path| path.starts_with(dir(A)) && has_end(path, "log"))
        .collect()
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|found| found == end)
}

/// Starts on the damaged disk. Whatever the outcome, no file is gone and no segment is shorter.
fn start_on(world: &World, damage: impl FnOnce(&World)) -> (World, bool) {
    let mut after = world.crash(Crash::Nothing, &mut Rng::new(0));
    damage(&after);
    after.distrust();
    let sizes = |world: &World| -> BTreeSet<(PathBuf, usize)> {
        let sized = |path: PathBuf| {
            let len = world
                .disk
                .content(&path)
                .expect("the file was listed")
                .len();
            (path, len)
        };
        segments(world).into_iter().map(sized).collect()
    };
    let before = sizes(&after);
    let started = after.start().is_ok();
    let missing: Vec<_> = before.difference(&sizes(&after)).cloned().collect();
    assert!(
        missing.is_empty(),
        "segments were deleted or cut: {missing:?}"
    );
    (after, started)
}

#[test]
fn a_flipped_bit_in_a_segment_is_named_and_the_rest_is_readable() {
    for is_clean in [true, false] {
        let world = durable_world(is_clean);
        let segments = segments(&world);
        assert!(segments.len() >= 3, "{segments:?}");
        let mut tried = 0;
        for path in &segments {
            let len = world.disk.content(path).unwrap().len();
            // Every byte of the first header, and a byte of each later stretch.
            for position in (0..61).chain((61..len).step_by(97)) {
                let (after, started) = start_on(&world, |w| w.disk.damage(path, position, 0x10));
                let place = format!("{} byte {position}, clean: {is_clean}", path.display());
                assert!(started, "{place}: the start failed");
                let Damage { refused, wrong } = after.read_damaged();
                assert!(
                    wrong.is_empty(),
                    "{place}: wrong bytes were served: {wrong:?}"
                );
                let batches = refused.len();
                assert!(
                    (1..=STRETCH_BATCHES_MAX).contains(&batches),
                    "{place}: {refused:?}"
                );
                tried += 1;
            }
        }
        println!("{tried} flipped bits, clean: {is_clean}");
    }
}

/// A sector that reads as zeros, and one that holds what was meant for another place of the log:
/// batches that are right, but not here. (A whole batch of another log that begins where one of the
/// same offset began is not told from it, if the rest of its stretch is damaged.)
#[test]
fn a_wrong_sector_in_a_segment_is_named_and_the_rest_is_readable() {
    for is_clean in [true, false] {
        let world = durable_world(is_clean);
        let content = |path: &PathBuf| world.disk.content(path).unwrap();
        let others: Vec<Vec<u8>> = segments(&world).iter().map(content).collect();
        let mut tried = 0;
        for path in segments(&world) {
            let content = content(&path);
            for position in (0..content.len()).step_by(SECTOR_BYTES) {
                let end = content.len().min(position + SECTOR_BYTES);
                let zeros = vec![0; SECTOR_BYTES];
                let strangers = others.iter().flat_map(|other| other.chunks(SECTOR_BYTES));
                for sector in strangers.chain([&zeros[..]]) {
                    let hit = &sector[..sector.len().min(end - position)];
                    if content[position..].starts_with(hit) {
                        continue;
                    }
                    let (after, started) =
                        start_on(&world, |w| w.disk.overwrite(&path, position, hit));
                    let place = format!("{} byte {position}, clean: {is_clean}", path.display());
                    assert!(started, "{place}: the start failed");
                    let Damage { refused, wrong } = after.read_damaged();
                    assert!(
                        wrong.is_empty(),
                        "{place}: wrong bytes were served: {wrong:?}"
                    );
                    assert!(
                        (1..=SECTOR_BATCHES_MAX).contains(&refused.len()),
                        "{place}: {refused:?}"
                    );
                    tried += 1;
                }
            }
        }
        println!("{tried} wrong sectors, clean: {is_clean}");
        assert!(tried > 100);
    }
}

const SECTOR_BYTES: usize = 512;
/// Those of the stretches of the index that a sector touches.
const SECTOR_BATCHES_MAX: usize = 3 * STRETCH_BATCHES_MAX;

/// How many batches one damaged byte may take: those of one stretch of the index.
const STRETCH_BATCHES_MAX: usize = 4;

#[test]
fn damaged_caches_are_rebuilt() {
    for is_clean in [true, false] {
        let world = durable_world(is_clean);
        let mut tried = 0;
        for path in world.disk.files() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if has_end(&path, "log") || name == "VERSION" || name == "LOCK" {
                continue;
            }
            let len = world.disk.content(&path).unwrap().len();
            for position in (0..len).step_by(len.div_ceil(12).max(1)) {
                let (mut after, started) =
                    start_on(&world, |w| w.disk.damage(&path, position, 0x10));
                let place = format!("{} byte {position}, clean: {is_clean}", path.display());
                assert!(started, "{place}: the start failed");
                carries_on(&mut after).unwrap_or_else(|stop| panic!("{place}: {stop:?}"));
                tried += 1;
            }
            if len > 0 {
                let (mut after, started) = start_on(&world, |w| w.disk.rewrite(&path, b""));
                assert!(started, "{} was emptied: the start failed", path.display());
                carries_on(&mut after)
                    .unwrap_or_else(|stop| panic!("{} was emptied: {stop:?}", path.display()));
            }
        }
        println!("{tried} damaged small files, clean: {is_clean}");
        assert!(tried > 50);
    }
}

/// Everything is there, can be found, and survives another power cut.
fn carries_on(world: &mut World) -> Result<(), Stop> {
    world.verify(Survived::PowerCut)?;
    world.verify_search()?;
    world.carry_on()?;
    let mut again = world.crash(Crash::Nothing, &mut Rng::new(0));
    again.start()?;
    again.verify(Survived::PowerCut)
}

#[test]
fn a_damaged_version_refuses_the_start() {
    let world = durable_world(true);
    let path = Path::new("/data/VERSION");
    let len = world.disk.content(path).unwrap().len();
    for position in 0..len {
        let (_, started) = start_on(&world, |w| w.disk.damage(path, position, 0x10));
        assert!(!started, "byte {position}");
    }
}
