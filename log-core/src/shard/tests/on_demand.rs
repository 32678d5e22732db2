//! Syncs and segments that the owner asks for.

use std::io;

use super::*;

#[test]
fn a_log_that_is_synced_in_the_background_is_synced_when_somebody_points_into_it() {
    let rig = Rig::new();
    for name in 1..=3 {
        rig.enqueue(name, P, AckAt::Written);
    }
    rig.shard.write_once();
    assert_eq!(rig.marks(P), [0, 3, 3]);
    rig.shard
        .sync_up_to(&[(P, Offset(2)), (C, Offset(9))])
        .unwrap();
    assert_eq!(rig.marks(P), [3, 3, 3]);
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 1, "C holds nothing");
    // An offset beyond the end needs no more than what is there.
    rig.shard.sync_up_to(&[(P, Offset(99))]).unwrap();
    let gone = LogId {
        topic: [9; 16],
        partition: 0,
    };
    rig.shard.sync_up_to(&[(gone, Offset(1))]).unwrap();
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 0);
    let rig = rig.cut_power();
    assert_eq!(rig.readable(P), 3);
}

#[test]
fn a_sync_on_demand_that_fails_is_final() {
    let rig = Rig::new();
    rig.enqueue(1, P, AckAt::Written);
    rig.shard.write_once();
    rig.fs.set_hook(|op, path| {
        let is_log = path.to_str().is_some_and(|path| path.ends_with(LOG_FILE));
        match op == Op::Sync && is_log {
            true => Err(io::Error::other("broken")),
            false => Ok(()),
        }
    });
    assert!(rig.shard.sync_up_to(&[(P, Offset(1))]).is_err());
    rig.fs.clear_hook();
    assert!(rig.shard.poisoned().is_some());
    let error = rig.shard.sync_up_to(&[(P, Offset(1))]).unwrap_err();
    assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
    assert!(rig.shard.roll(P, rig.now).is_err());
}

#[test]
fn a_segment_begins_when_it_is_asked_for() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.commit(&[A, B]);
    // The last batch stands in the journal, and nobody has synced the file.
    assert_eq!(rig.marks(A), [0, 2, 2]);
    assert_eq!(rig.shard.roll(A, rig.now).unwrap(), Offset(2));
    assert_eq!(rig.marks(A), [2, 2, 2]);
    assert_eq!(
        rig.shard.roll(A, rig.now).unwrap(),
        Offset(2),
        "it is empty"
    );
    rig.commit(&[A, B]);
    let start = rig.shard.delete_records(A, Offset(2), rig.now).unwrap();
    assert_eq!(start, Offset(2));
    let segments = rig.shard.reader(A).unwrap().segments();
    assert_eq!(segments.len(), 1, "what was sealed is gone: {segments:?}");
    let rig = rig.cut_power();
    assert_eq!(rig.shard.reader(A).unwrap().start(), Offset(2));
    assert_eq!((rig.readable(A), rig.readable(B)), (3, 3));
}

#[test]
fn what_is_written_and_waits_for_its_sync_when_a_segment_ends_is_answered() {
    let rig = Rig::new();
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.roll(A, rig.now).unwrap();
    rig.enqueue(2, A, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.sync_once();
    assert_eq!(rig.answers.take_names(), [1, 2]);
    let rig = rig.cut_power();
    assert_eq!(rig.readable(A), 2);
}
