//! A power cut inside a repair, at each of its operations: the repair that follows ends in the same
//! directory as one that nothing disturbed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use highwater_kit::client::{A, dir};
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::{Crash, SimFs};
use highwater_log::data_dir::DataDir;
use highwater_log::error::LogError;
use highwater_log::fs::Fs;
use highwater_log::inspect::{Event, Repair, verify};
use highwater_log::reader::{Minimum, UpTo};
use highwater_log::shard::{Shard, ShardConfig};
use highwater_log::types::LogId;
use highwater_proto::clock::Now;

use crate::corruption::durable_world;
use crate::is_full;

const ROOT: &str = "/data";

/// What `log repair` does; answers the offsets that were given up, if it had anything to do.
fn repair(disk: &SimFs) -> Result<Vec<(LogId, i64, i64)>, LogError> {
    let (fs, now): (Arc<dyn Fs>, _) = (Arc::new(disk.clone()), Now::default());
    let mut findings = Vec::new();
    verify(&fs, Path::new(ROOT), &mut |event| {
        if let Event::Finding(finding) = event {
            findings.push(finding);
        }
    })?;
    if !findings.iter().any(|finding| finding.kind.is_damage()) {
        return Ok(Vec::new());
    }
    let mut repair = Repair::begin(&fs, Path::new(ROOT), &findings, now)?;
    for id in repair.shard().log_ids() {
        repair.give_up(id, now)?;
    }
    let losses = repair.losses().iter();
    let given_up = losses
        .filter_map(|loss| Some((loss.log?, loss.offsets?.0.0, loss.offsets?.1.0)))
        .collect();
    repair.finish(now)?;
    Ok(given_up)
}

/// Everything that readers get, without an error.
fn readable(disk: &SimFs) -> BTreeMap<LogId, Vec<u8>> {
    let now = Now::default();
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new(ROOT)).unwrap();
    let (shard, _) = Shard::open(dir, Vec::new(), ShardConfig::default(), now).unwrap();
    let mut all = BTreeMap::new();
    for id in shard.log_ids() {
        let reader = shard.reader(id).unwrap();
        let (mut next, mut bytes) = (reader.start(), Vec::new());
        while next < reader.end() {
            let slice = reader
                .read(next, 1 << 20, UpTo::End, Minimum::OneBatch)
                .unwrap_or_else(|error| panic!("{id} at {next}: {error}"));
            bytes.extend(slice.parts.concat());
            assert!(slice.next_offset > next, "{id} stands still at {next}");
            next = slice.next_offset;
        }
        all.insert(id, bytes);
    }
    all
}

/// A directory with damage in its first segment, in a later one, and in the active one.
fn damaged(is_clean: bool) -> SimFs {
    let disk = durable_world(is_clean).disk;
    let mut segments: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with(dir(A)) && path.extension().is_some_and(|e| e == "log"))
        .filter(|path| disk.content(path).is_some_and(|bytes| bytes.len() > 100))
        .collect();
    segments.sort();
    assert!(segments.len() >= 3, "{segments:?}");
    for at in [0, 1, segments.len() - 1] {
        disk.damage(&segments[at], 70, 0x10);
    }
    disk.image(Crash::Nothing, &mut Rng::new(0))
}

#[test]
fn a_repair_can_be_disturbed_at_every_operation() {
    let mut images = 0;
    for is_clean in [true, false] {
        let disk = damaged(is_clean);
        let image = || disk.image(Crash::Nothing, &mut Rng::new(0));
        let undisturbed = image();
        let given_up = repair(&undisturbed).unwrap();
        assert_eq!(given_up.len(), 3, "{given_up:?}");
        let operations = undisturbed.operations();
        let expected = readable(&undisturbed.image(Crash::Nothing, &mut Rng::new(0)));
        let stride = if is_full() { 1 } else { 3 };
        for operation in (0..operations).step_by(stride) {
            let cut_off = image();
            cut_off.crash_at(operation);
            repair(&cut_off).expect_err("it dies inside the repair");
            for crash in [
                Crash::Nothing,
                Crash::Prefix(cut_off.changes()),
                Crash::Subset,
            ] {
                images += 1;
                let after = cut_off.image(crash, &mut Rng::new(operation as u64));
                let told = || format!("{crash:?} at {}", cut_off.describe(operation));
                repair(&after).unwrap_or_else(|error| panic!("{error}, after {}", told()));
                assert!(repair(&after).unwrap().is_empty(), "after {}", told());
                let read = readable(&after);
                assert!(read == expected, "other records, after {}", told());
            }
        }
    }
    println!("{images} disturbed repairs");
    assert!(images > 60, "only {images} images");
}
