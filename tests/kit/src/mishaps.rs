//! What happens to a data directory while nobody uses it: bits rot, a log is forgotten by whoever
//! knew it, files fall back to an older state.
//!
//! Neither a life nor a sweep meets these: their disks keep what they said they had.
//!
//! Invariants
//! - A mishap follows from its seed.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use highwater_log::data_dir::DataDir;
use highwater_log::error::LogError;
use highwater_log::fs::Fs;
use highwater_log::reader::{Minimum, UpTo};
use highwater_log::shard::{AckAt, Shard, ShardConfig};
use highwater_log::types::{LogId, Offset};
use highwater_proto::batch::{BatchHeader, PREFIX_BYTES, ProduceLimits, validate_produced};
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::clock::Now;
use highwater_proto::compress::Codec;

use crate::client::{self, A, B, DATA_DIR, P, Shape, is_idempotent};
use crate::model::{Contents, LogModel, Stored};
use crate::oracle::{Oracle, Violation, violation};
use crate::rng::Rng;
use crate::sim_fs::{Crash, SimFs};
use crate::sweep::{Finding, broken};
use crate::workload::Step;
use crate::world::{Damage, Stop, World};

/// Uses a directory, lets something happen to it, and uses it again.
///
/// # Errors
/// The first broken rule.
pub fn mishap(seed: u64) -> Result<(), Finding> {
    let mut rng = Rng::new(seed);
    let (what, done) = match rng.below(3) {
        0 => ("bits rot", rot(&mut rng)),
        1 => ("a log is forgotten", forget(&mut rng)),
        _ => ("files fall back", fall_back(&mut rng)),
    };
    done.map_err(|stop| Finding {
        violation: broken(stop),
        how: format!("SEED={seed}: {what}"),
    })
}

/// A bit of a segment rots below the recovery point: what it stood in is refused, all else is
/// served, and nothing is cut off or removed, at this start and at the next.
fn rot(rng: &mut Rng) -> Result<(), Stop> {
    let mut world = used(&ROT_STEPS, rng)?;
    world.step(Step::Checkpoint)?;
    if rng.percent(30) {
        world.close()?;
    }
    let mut after = world.crash(Crash::Nothing, rng);
    let segments = segments(&after.disk);
    let (path, length) = segments[rng.below(segments.len())].clone();
    if length == 0 {
        return Ok(());
    }
    let position = rng.below(length);
    after.disk.damage(&path, position, 1 << rng.below(8));
    after.distrust();
    for _ in 0..2 {
        after.start()?;
        check_rot(&after, &segments, &path, position)?;
        after = after.crash(Crash::Nothing, rng);
    }
    Ok(())
}

fn check_rot(
    after: &World,
    segments: &[(PathBuf, usize)],
    path: &Path,
    position: usize,
) -> Result<(), Violation> {
    let place = format!("byte {position} of {} rots", path.display());
    let is_kept = |(path, length): &&(PathBuf, usize)| {
        let content = after.disk.content(path);
        content.is_some_and(|content| content.len() >= *length)
    };
    if let Some((cut, _)) = segments.iter().find(|segment| !is_kept(segment)) {
        let text = format!("{place}: {} was cut off or removed", cut.display());
        return Err(violation(Oracle::NothingLost, text));
    }
    let Damage { refused, wrong } = after.read_damaged();
    if !wrong.is_empty() {
        let text = format!("{place}: wrong bytes are served: {wrong:?}");
        return Err(violation(Oracle::NoDamageServed, text));
    }
    if refused.len() > STRETCH_BATCHES_MAX {
        let text = format!("{place}: refused is {refused:?}");
        return Err(violation(Oracle::NothingLost, text));
    }
    Ok(())
}

/// The segments of the logs whose bytes are all durable, and their lengths.
fn segments(disk: &SimFs) -> Vec<(PathBuf, usize)> {
    let files = disk.files().into_iter();
    let logs = files.filter(|path| {
        let is_log = path.extension().is_some_and(|end| end == "log");
        is_log && [A, B].iter().any(|id| path.starts_with(client::dir(*id)))
    });
    logs.map(|path| {
        let length = disk.content(&path).map_or(0, |content| content.len());
        (path, length)
    })
    .collect()
}

/// Whoever knows the logs has forgotten one: it is moved aside, whole and durably.
fn forget(rng: &mut Rng) -> Result<(), Stop> {
    let world = used(&ALL_STEPS, rng)?;
    let crash = rng.pick(&[Crash::Nothing, Crash::Killed]);
    let after = world.crash(crash, rng);
    let ids = after.client.open_ids();
    let forgotten = rng.pick(&ids);
    let mut known: BTreeSet<LogId> = [A, B, P].into_iter().chain(ids).collect();
    known.remove(&forgotten);
    let shard = open(&after.disk, &known, after.client.now).map_err(refused)?;
    let before: Vec<_> = files_below(&after.disk, &client::dir(forgotten));
    let moved = shard.move_aside(&known).map_err(refused)?;
    drop(shard);
    let disk = after.disk.image(Crash::Nothing, rng);
    let kept = files_below(&disk, &Path::new(DATA_DIR).join("lost+found"));
    for (path, bytes) in before {
        let is_same = |(other, content): &(PathBuf, Vec<u8>)| {
            other.file_name() == path.file_name() && *content == bytes
        };
        if !kept.iter().any(is_same) {
            let text = format!("{} is gone; moved aside was {moved:?}", path.display());
            return Err(violation(Oracle::NothingLost, text).into());
        }
    }
    Ok(())
}

fn files_below(disk: &SimFs, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with(dir));
    paths
        .filter_map(|path| Some((path.clone(), disk.content(&path)?)))
        .collect()
}

/// The disk lied about the syncs of some files, and a power cut took them back. Records may be
/// gone; no others are served in their place, and a producer can go on behind what is left.
fn fall_back(rng: &mut Rng) -> Result<(), Stop> {
    let mut world = used(&ALL_STEPS, rng)?;
    let disk = world.disk.image(Crash::Nothing, rng);
    use_on(&mut world, &ALL_STEPS, rng)?;
    if rng.percent(30) {
        world.close()?;
    }
    let newer = world.disk.image(Crash::Nothing, rng);
    let only_producers = rng.percent(50);
    for path in newer.files() {
        let is_producers = path.ends_with(PRODUCERS_FILE);
        let is_newer = match only_producers {
            true => is_producers,
            false => rng.percent(50),
        };
        if is_newer && let Some(bytes) = newer.content(&path) {
            put(&disk, &path, &bytes);
        }
    }
    let known: BTreeSet<LogId> = [A, B, P].into_iter().chain(world.client.ids()).collect();
    let shard = open(&disk, &known, world.client.now).map_err(refused)?;
    for id in known {
        // What cannot be read is damage that is known.
        let Some(left) = contents(&shard, id) else {
            continue;
        };
        if let Some(log) = world.client.model.logs.get(&id) {
            check_left(&left, log).map_err(|broken| broken.in_log(id))?;
        }
        if let Some(last) = left.batches.last().filter(|_| is_idempotent(id)) {
            go_on(&shard, id, last, world.client.now)?;
        }
    }
    Ok(())
}

/// What is left is what was there.
fn check_left(left: &Contents, log: &LogModel) -> Result<(), Violation> {
    for (base, batch) in log.expected() {
        let stored = left.batches.iter().find(|stored| stored.base == base);
        if stored.is_some_and(|stored| stored.bytes != batch) {
            let text = format!("another batch is served at offset {base}");
            return Err(violation(Oracle::OneValue, text));
        }
    }
    Ok(())
}

/// The producer of a log goes on behind the last batch that the log holds.
fn go_on(shard: &Shard, id: LogId, last: &Stored, now: Now) -> Result<(), Violation> {
    let header = BatchHeader::parse(&last.bytes).expect("the batch was read");
    let batch = next_batch(&header);
    let produced = validate_produced(&batch, &ProduceLimits::default()).expect("it was built");
    let lost = |why: String| {
        let sequence = header.last_sequence() + 1;
        let text = format!("{id}: sequence {sequence} behind {}: {why}", last.last);
        violation(Oracle::ExactlyOnce, text)
    };
    let appended = shard.append_wait(id, produced, AckAt::Durable, now);
    let appended = appended.map_err(|error| lost(error.to_string()))?;
    let after = contents(shard, id);
    let stored = after.as_ref().and_then(|after| after.batches.last());
    if stored.is_some_and(|stored| stored.bytes[PREFIX_BYTES..] == batch[PREFIX_BYTES..]) {
        return Ok(());
    }
    let at = appended.base_offset;
    Err(lost(format!("answered for offset {at}, and not there")))
}

/// What the producer of a batch sends next.
fn next_batch(header: &BatchHeader) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.set_producer(Some(Producer {
        id: header.producer_id,
        epoch: header.producer_epoch,
        base_sequence: header.last_sequence() + 1,
    }));
    for _ in 0..2 {
        builder
            .append(0, None, Some(b"behind what is left"), &[])
            .expect("the batch has room");
    }
    builder.build().expect("a batch with a record can be built")
}

/// All that a consumer may read of a log, if it can be read.
fn contents(shard: &Shard, id: LogId) -> Option<Contents> {
    let reader = shard.reader(id)?;
    let (start, end) = (reader.start(), reader.durable());
    let mut bytes = Vec::new();
    let mut next: Offset = start;
    while next < end {
        let slice = reader.read(next, READ_BYTES, UpTo::Durable, Minimum::OneBatch);
        let slice = slice.ok().filter(|slice| slice.next_offset > next)?;
        bytes.extend(slice.parts.concat());
        next = slice.next_offset;
    }
    Contents::parse(start.0, end.0, &bytes.into()).ok()
}

fn open(disk: &SimFs, known: &BTreeSet<LogId>, now: Now) -> Result<Arc<Shard>, LogError> {
    let policy = |id: LogId| Shape::SMALL.config(id, client::durability(id));
    let policies = known.iter().map(|id| (*id, policy(*id))).collect();
    let limits = ShardConfig {
        journal_bytes: Shape::SMALL.journal_bytes,
        ..ShardConfig::default()
    };
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new(DATA_DIR))?;
    Shard::open(dir, policies, limits, now).map(|(shard, _)| shard)
}

fn refused(error: LogError) -> Stop {
    violation(Oracle::Progress, format!("refused on a good disk: {error}")).into()
}

/// Gives a file of a disk these bytes, durably, wherever its name stands.
fn put(disk: &SimFs, path: &Path, bytes: &[u8]) {
    if disk.content(path).is_some() {
        return disk.rewrite(path, bytes);
    }
    let mut made = Vec::new();
    for dir in path.ancestors().skip(1) {
        made.push(dir);
    }
    for dir in made.iter().rev() {
        disk.create_dir(dir).expect("the disk works");
    }
    let file = disk.create(path).expect("the disk works");
    file.write_at(0, &[IoSlice::new(bytes)])
        .expect("the disk works");
    file.sync().expect("the disk works");
    for dir in made {
        disk.sync_dir(dir).expect("the disk works");
    }
}

fn used(steps: &[Step], rng: &mut Rng) -> Result<World, Stop> {
    let mut world = World::new_started();
    use_on(&mut world, steps, rng)?;
    Ok(world)
}

fn use_on(world: &mut World, steps: &[Step], rng: &mut Rng) -> Result<(), Stop> {
    for _ in 0..4 + rng.below(STEPS_MAX) {
        world.step(rng.pick(steps))?;
    }
    Ok(())
}

/// What leaves all that it appends to the first two logs durable.
const ROT_STEPS: [Step; 8] = [
    Step::Append,
    Step::AppendLarge,
    Step::AppendTwice,
    Step::AppendBoth,
    Step::Roll,
    Step::Checkpoint,
    Step::Restart,
    Step::Kill,
];
const ALL_STEPS: [Step; 11] = [
    Step::Append,
    Step::AppendLarge,
    Step::AppendTwice,
    Step::AppendBoth,
    Step::AppendWritten,
    Step::AppendCached,
    Step::Roll,
    Step::Checkpoint,
    Step::CreateLog,
    Step::Restart,
    Step::Kill,
];
const STEPS_MAX: usize = 10;
/// How many batches one damaged byte may take: those of one stretch of the index.
const STRETCH_BATCHES_MAX: usize = 4;
/// Less than two batches, so that reads are taken apart everywhere.
const READ_BYTES: usize = 200;
const PRODUCERS_FILE: &str = "producers.snapshot";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::seeds;

    #[test]
    fn no_mishap_breaks_a_promise() {
        for seed in seeds(300) {
            mishap(seed).unwrap_or_else(|finding| panic!("{finding}"));
        }
    }
}
