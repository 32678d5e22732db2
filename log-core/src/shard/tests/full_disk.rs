//! A disk without room: appends stop, and whatever makes room goes on.

use std::io::ErrorKind::StorageFull;

use super::*;
use crate::fs::Fs as _;
use crate::shard::reserve::Reserve;

/// A log with several sealed segments of which one may stay.
fn filled() -> Rig {
    let rig = Rig::with(ShardConfig {
        min_free_bytes: Some(1000),
        ..ShardConfig::default()
    });
    rig.shard.set_config(A, keeping_little()).unwrap();
    for _ in 0..20 {
        rig.commit(&[A]);
    }
    assert!(rig.shard.reader(A).unwrap().segments().len() > 4);
    rig
}

fn keeping_little() -> LogConfig {
    LogConfig {
        segment_bytes: 300,
        retention_bytes: Some(300),
        ..config_of(A)
    }
}

fn retired(rig: &Rig) -> usize {
    let retired = rig.shard.apply_retention(rig.now).unwrap();
    retired.iter().map(|(_, retired)| retired.segments).sum()
}

#[test]
fn below_min_free_bytes_reads_retention_and_upkeep_go_on() {
    let mut rig = filled();
    rig.fs.set_free_bytes(10);
    rig.now = at(5_000);
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    assert!(matches!(&rig.answers.take()[..], [(1, Err(why))] if why.contains("min.free.bytes")));
    assert_eq!(rig.readable(A), 20);
    assert!(rig.shard.tick(rig.now) < Mono::NEVER);
    assert!(retired(&rig) > 2);
    assert_eq!(rig.shard.poisoned(), None);
    assert_eq!(rig.readable(A), 20);
}

/// Out of file descriptors, a broker that could go on became read-only for good.
#[test]
fn a_reserve_that_cannot_be_made_is_tried_again_and_poisons_nothing() {
    let fs = ProbeFs::new();
    let dir = Path::new("/data");
    let reserve = Reserve::find(Arc::new(fs.clone()), dir, 8192).unwrap();
    // Nowhere to create it.
    reserve.make().unwrap();
    assert_eq!(reserve.missing_bytes(), 8192);
    fs.create_dir(dir).unwrap();
    fs.set_hook(|op, _| match op {
        Op::Write => Err(std::io::Error::other("the disk refused it")),
        _ => Ok(()),
    });
    reserve.make().unwrap();
    assert_eq!(reserve.missing_bytes(), 8192);
    fs.set_hook(|op, _| match op {
        Op::Sync => Err(std::io::Error::other("the disk failed")),
        _ => Ok(()),
    });
    reserve.make().unwrap_err();
    fs.clear_hook();
    fs.remove(&dir.join("RESERVE.tmp")).unwrap();
    reserve.make().unwrap();
    assert_eq!(reserve.missing_bytes(), 0);
}

#[test]
fn retention_frees_a_disk_that_has_no_room_for_a_checkpoint() {
    let rig = filled();
    let mut has_room = false;
    rig.fs.set_hook(move |op, path| {
        let name = path.to_str().unwrap();
        has_room |= op == Op::Remove && name.ends_with(".index");
        let needs_room = op == Op::Write && name.ends_with(".tmp");
        if needs_room && !has_room {
            return Err(StorageFull.into());
        }
        Ok(())
    });
    assert!(retired(&rig) > 2);
    assert_eq!(rig.shard.poisoned(), None);
    let start = rig.shard.reader(A).unwrap().start();
    assert!(start > Offset(4));
    let rig = rig.cut_power();
    assert_eq!(rig.shard.reader(A).unwrap().start(), start);
    assert_eq!(rig.readable(A), 20);
}

#[test]
fn indexes_that_were_given_up_in_vain_are_made_anew() {
    let rig = filled();
    rig.fs.set_hook(|op, path| {
        let needs_room = op == Op::Write && path.to_str().unwrap().ends_with(".tmp");
        if needs_room {
            Err(StorageFull.into())
        } else {
            Ok(())
        }
    });
    assert!(rig.shard.apply_retention(rig.now).is_err());
    assert_eq!(rig.shard.poisoned(), None);
    assert_eq!(rig.readable(A), 20);
    assert_eq!(rig.shard.reader(A).unwrap().start(), Offset(0));
    rig.fs.clear_hook();
    let rig = rig.kill();
    let (_, found) = rig.recovered.logs.iter().find(|(id, _)| *id == A).unwrap();
    assert!(
        found.rebuilt_indexes > 2 && found.quarantined.is_empty(),
        "{found:?}"
    );
    assert_eq!(
        (rig.readable(A), rig.shard.reader(A).unwrap().start()),
        (20, Offset(0))
    );
}
