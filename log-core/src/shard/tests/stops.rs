//! Clean stops, unclean ones, and who may open the directory when.

use super::*;
use crate::fs::{Fs, OpenMode};

fn scanned(rig: &Rig) -> u64 {
    rig.recovered
        .logs
        .iter()
        .map(|(_, found)| found.batches_scanned)
        .sum()
}

#[test]
fn after_a_clean_stop_nothing_is_scanned_and_nothing_is_lost() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.enqueue(1, P, AckAt::Written);
    rig.enqueue(2, A, AckAt::Durable);
    rig.shard.close(rig.now).unwrap();
    assert_eq!(
        rig.answers.take().len(),
        2,
        "what was queued is written, synced and answered"
    );
    let rig = rig.cut_power();
    assert!(rig.recovered.is_clean);
    assert_eq!(scanned(&rig), 0);
    assert_eq!(rig.recovered.replayed_batches, 0);
    assert_eq!(
        (rig.readable(A), rig.readable(B), rig.readable(P)),
        (2, 1, 1)
    );
    rig.commit(&[A, B]);
    let rig = rig.cut_power();
    assert!(
        !rig.recovered.is_clean,
        "the mark was gone before the first write"
    );
    assert_eq!((rig.readable(A), rig.readable(B)), (3, 2));
}

#[test]
fn a_start_that_writes_nothing_uses_up_the_mark_too() {
    let rig = Rig::new();
    rig.shard.close(rig.now).unwrap();
    let rig = rig.kill();
    assert!(rig.recovered.is_clean);
    assert!(!rig.names("").contains(&"CLEAN".to_owned()));
    assert!(!rig.kill().recovered.is_clean);
}

#[test]
fn a_log_that_does_not_end_where_it_was_closed_is_read_as_after_a_crash() {
    let rig = Rig::new();
    rig.commit(&[A]);
    rig.shard.close(rig.now).unwrap();
    let old_mark = rig.fs.contents(&path("CLEAN"));
    let rig = rig.kill();
    rig.commit(&[A]);
    rig.shard.close(rig.now).unwrap();
    let mark = rig.fs.open(&path("CLEAN"), OpenMode::Append).unwrap();
    mark.write_at(0, &[std::io::IoSlice::new(&old_mark)])
        .unwrap();
    let rig = rig.kill();
    assert!(!rig.recovered.is_clean, "the owner must know");
    assert_eq!(rig.readable(A), 2);
}

#[test]
fn closing_releases_the_directory_and_refuses_what_comes() {
    let rig = Rig::new();
    rig.commit(&[A]);
    let taken = open_with(&rig.fs, ShardConfig::default(), rig.now);
    assert!(matches!(taken, Err(LogError::Locked { .. })));
    rig.shard.close(rig.now).unwrap();
    rig.shard.close(rig.now).unwrap();
    let (again, _) = open_with(&rig.fs, ShardConfig::default(), rig.now).unwrap();
    assert_eq!(again.reader(A).unwrap().end(), Offset(1));

    let shard = &rig.shard;
    rig.enqueue(1, A, AckAt::Durable);
    assert_eq!(rig.answers.take(), [(1, Err(LogError::Closed.to_string()))]);
    assert!(shard.reader(A).is_none());
    assert_eq!(shard.tick(at(5000)), Mono::NEVER);
    let closed = |result: Result<(), LogError>| matches!(result, Err(LogError::Closed));
    assert!(closed(
        shard
            .add_log(A, config_of(A), LeaderEpoch(0), rig.now)
            .map(drop)
    ));
    assert!(closed(shard.remove_log(A)));
    assert!(closed(shard.set_config(A, config_of(A))));
    assert!(closed(
        shard.delete_records(A, Offset(1), rig.now).map(drop)
    ));
    shard.wait_for_work(Duration::from_secs(600));
    shard.commit_loop();
}

#[test]
fn a_reader_outlives_the_shard() {
    let rig = Rig::new();
    rig.commit(&[A]);
    let reader = rig.shard.reader(A).unwrap();
    rig.shard.close(rig.now).unwrap();
    drop(rig);
    let slice = reader
        .read(Offset(0), 1000, UpTo::Durable, Minimum::OneBatch)
        .unwrap();
    assert_eq!(slice.next_offset, Offset(1));
}

#[test]
fn abandoning_is_a_crash_that_releases_the_directory() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    rig.enqueue(2, A, AckAt::Written);
    rig.fs.forget();
    rig.shard.abandon();
    let closed = Err(LogError::Closed.to_string());
    assert_eq!(rig.answers.take(), [(2, closed.clone()), (1, closed)]);
    assert_eq!(rig.fs.take(Op::Sync, ""), 0);
    rig.shard.abandon();
    rig.shard.close(rig.now).unwrap();
    let rig = Rig {
        fs: rig.fs.clone(),
        ..rig
    }
    .kill();
    assert!(!rig.recovered.is_clean);
    assert!(rig.readable(A) >= 1);
}
