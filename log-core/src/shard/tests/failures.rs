//! What a failing disk and a panicking caller do.

use std::io;

use super::*;
use crate::fs::{Fs, OpenMode};

fn fail(
    op: Op,
    name_end: &'static str,
    kind: io::ErrorKind,
) -> impl FnMut(Op, &Path) -> io::Result<()> {
    move |done, path| {
        let is_it = done == op && path.to_str().unwrap().ends_with(name_end);
        if is_it { Err(kind.into()) } else { Ok(()) }
    }
}

/// Every answer so far is that the shard is poisoned.
fn expect_poisoned(rig: &Rig, names: &[u32]) {
    let answers = rig.answers.take();
    assert_eq!(
        answers.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        names
    );
    for (_, result) in answers {
        assert!(
            result
                .unwrap_err()
                .contains("read-only since a failed write or sync")
        );
    }
}

#[test]
fn a_failed_sync_is_told_to_all_who_wait_and_never_tried_again() {
    let rig = Rig::new();
    rig.commit(&[A]);
    let (shard, answers, now) = (Arc::clone(&rig.shard), rig.answers.clone(), rig.now);
    rig.fs.forget();
    rig.fs.set_hook(move |op, _| {
        if op != Op::Sync {
            return Ok(());
        }
        // Written while the sync runs: it waits for the next one.
        shard.append(A, batch(10), AckAt::Durable, now, answers.note(3));
        Err(io::ErrorKind::Other.into())
    });
    rig.enqueue(1, A, AckAt::Durable);
    rig.enqueue(2, A, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.sync_once();
    expect_poisoned(&rig, &[3, 1, 2]);
    assert!(rig.shard.poisoned().unwrap().contains("cannot sync"));

    rig.fs.clear_hook();
    rig.enqueue(4, B, AckAt::Written);
    expect_poisoned(&rig, &[4]);
    assert!(!rig.shard.write_once() && !rig.shard.sync_once());
    assert_eq!(rig.shard.tick(at(10_000)), Mono::NEVER);
    assert!(rig.shard.apply_retention(rig.now).is_err());
    assert!(
        rig.shard
            .add_log(C, config_of(C), LeaderEpoch(0), rig.now)
            .is_err()
    );
    assert_eq!(rig.marks(A), [1, 1, 4]);
    assert_eq!(rig.readable(A), 1, "reads below the durable mark go on");
    assert!(rig.shard.close(rig.now).is_err());
    assert_eq!(
        rig.fs.take(Op::Sync, ""),
        1,
        "nothing was synced after the failure"
    );
    assert!(!rig.names("").contains(&"CLEAN".to_owned()));
}

#[test]
fn a_failed_journal_poisons_whether_it_is_the_write_or_the_sync() {
    for op in [Op::Write, Op::Sync] {
        let rig = Rig::new();
        rig.fs.set_hook(fail(op, JOURNAL, io::ErrorKind::Other));
        rig.enqueue(1, A, AckAt::Durable);
        rig.enqueue(2, B, AckAt::Durable);
        rig.shard.write_once();
        rig.shard.sync_once();
        expect_poisoned(&rig, &[1, 2]);
        assert_eq!(rig.marks(A), [0, 0, 1]);
    }
}

#[test]
fn a_full_disk_sends_the_cycle_past_the_journal() {
    let rig = Rig::new();
    rig.fs
        .set_hook(fail(Op::Write, JOURNAL, io::ErrorKind::StorageFull));
    rig.commit(&[A, B]);
    assert_eq!((rig.marks(A), rig.marks(B)), ([1, 1, 1], [1, 1, 1]));
    rig.fs.clear_hook();
    rig.commit(&[A, B]);
    assert_eq!(
        (rig.marks(A), rig.marks(B)),
        ([1, 2, 2], [1, 2, 2]),
        "back in the journal"
    );
    let rig = rig.cut_power();
    assert_eq!((rig.readable(A), rig.readable(B)), (2, 2));
}

#[test]
fn a_full_disk_delays_the_recovery_points_and_poisons_nothing() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.fs.set_hook(|op, path| {
        let is_points = path.to_str().unwrap().contains("recovery-points");
        if op == Op::Write && is_points {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    });
    rig.shard.tick(at(1000));
    assert_eq!(rig.shard.poisoned(), None);
    rig.fs.clear_hook();
    rig.commit(&[A, B]);
    rig.fs.forget();
    rig.shard.tick(at(2000));
    let points =
        ["recovery-points.a", "recovery-points.b"].map(|name| rig.fs.take(Op::Write, name));
    assert_eq!(points.iter().sum::<usize>(), 1, "made up for");
    let rig = rig.cut_power();
    assert_eq!((rig.readable(A), rig.readable(B)), (2, 2));
}

#[test]
fn a_failed_sync_on_becoming_fsync_poisons() {
    let rig = Rig::new();
    rig.enqueue(1, P, AckAt::Written);
    rig.shard.write_once();
    rig.fs
        .set_hook(fail(Op::Sync, LOG_FILE, io::ErrorKind::Other));
    let changed = rig.shard.set_config(P, config_of(A));
    assert!(matches!(changed, Err(LogError::Poisoned { .. })));
    assert!(rig.shard.poisoned().is_some());
}

/// A second call found every log in the epoch and said that it was noted.
#[test]
fn epochs_that_could_not_be_noted_are_not_appended_under() {
    let rig = Rig::new();
    rig.fs
        .set_hook(fail(Op::Write, "", io::ErrorKind::StorageFull));
    for _ in 0..2 {
        let raised = rig.shard.raise_epochs(LeaderEpoch(3));
        assert!(
            matches!(raised, Err(LogError::Poisoned { .. })),
            "{raised:?}"
        );
    }
    rig.fs.clear_hook();
    rig.enqueue(1, A, AckAt::Written);
    rig.shard.write_once();
    expect_poisoned(&rig, &[1]);
}

#[test]
fn a_write_that_was_cut_back_fails_alone() {
    let rig = Rig::new();
    let a = "0.log";
    let is_a = |path: &Path| path.to_str().unwrap().contains("/0/");
    rig.fs.set_hook(move |op, path| {
        let is_it = op == Op::Write && path.to_str().unwrap().ends_with(a) && is_a(path);
        if is_it {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    });
    rig.enqueue(1, A, AckAt::Durable);
    rig.enqueue(2, B, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.sync_once();
    let answers = rig.answers.take();
    assert!(matches!(&answers[..], [(1, Err(why)), (2, Ok(0))] if why.contains("cannot write")));
    rig.fs.clear_hook();
    rig.commit(&[A]);
    assert_eq!(rig.marks(A), [1, 1, 1]);
    assert_eq!(rig.shard.poisoned(), None);
}

/// A power cut brought a whole batch of it back, and the one that the journal had for its place
/// counted as there already (core seed 157008).
#[test]
fn what_was_cut_back_is_gone_for_good_before_something_takes_its_place() {
    let rig = Rig::new();
    let segment = path(&format!("logs/{}/0/{:020}.log", A.topic_dir(), 0));
    let (fs, is_it) = (rig.fs.clone(), segment.clone());
    rig.fs.set_hook(move |op, path| {
        if op != Op::Write || path != is_it {
            return Ok(());
        }
        let file = fs.open(path, OpenMode::Append)?;
        file.write_at(file.len()?, &[io::IoSlice::new(b"a whole batch")])?;
        Err(io::ErrorKind::StorageFull.into())
    });
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    assert!(matches!(&rig.answers.take()[..], [(1, Err(_))]));
    assert_eq!(rig.fs.contents(&segment).len(), 0);
    assert_eq!(rig.fs.take(Op::Sync, "0.log"), 1);
    rig.fs.clear_hook();
    rig.commit(&[A]);
    assert_eq!(rig.cut_power().readable(A), 1);
}

#[test]
fn a_panic_of_a_completion_reaches_the_followers_as_poison() {
    let rig = Rig::new();
    let (shard, answers, now) = (Arc::clone(&rig.shard), rig.answers.clone(), rig.now);
    rig.enqueue(1, A, AckAt::Durable);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rig.shard
            .append(B, batch(10), AckAt::Written, now, move |_| {
                shard.append(B, batch(10), AckAt::Written, now, answers.note(2));
                panic!("a completion must not");
            });
    }));
    assert!(panic.is_err());
    let mut names: Vec<_> = rig
        .answers
        .take()
        .into_iter()
        .map(|(name, result)| {
            assert!(result.is_err());
            name
        })
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [1, 2],
        "the one that waited for a sync, and the one that was queued"
    );
    assert!(rig.shard.poisoned().is_some());
    rig.enqueue(3, A, AckAt::Written);
    expect_poisoned(&rig, &[3]);
}

#[test]
fn a_panic_in_a_sync_poisons() {
    let rig = Rig::new();
    rig.fs.set_hook(|op, _| {
        if op == Op::Sync {
            panic!("a disk that panics")
        } else {
            Ok(())
        }
    });
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    let shard = std::panic::AssertUnwindSafe(&rig.shard);
    assert!(std::panic::catch_unwind(|| shard.sync_once()).is_err());
    let answers = rig.answers.take();
    assert!(matches!(&answers[..], [(1, Err(_))]), "{answers:?}");
    assert!(rig.shard.poisoned().is_some());
    assert!(!rig.shard.sync_once(), "the next caller does not hang");
}

#[test]
fn appends_fail_before_the_disk_is_full_and_resume_by_themselves() {
    let mut rig = Rig::with(ShardConfig {
        min_free_bytes: Some(1000),
        ..ShardConfig::default()
    });
    rig.shard.mark_vital(C);
    rig.now = at(2_000);
    rig.fs.set_free_bytes(1_500);
    for name in 1..=3 {
        rig.enqueue_batch(name, A, batch(400), AckAt::Written);
        rig.shard.write_once();
    }
    let answers = rig.answers.take();
    assert!(
        matches!(&answers[..2], [(1, Ok(0)), (2, Ok(1))]),
        "{answers:?}"
    );
    assert!(
        answers[2]
            .1
            .as_ref()
            .unwrap_err()
            .contains("fewer than min.free.bytes")
    );
    let asked = rig.fs.asked_free();
    rig.enqueue(4, C, AckAt::Written);
    rig.enqueue(5, A, AckAt::Written);
    rig.shard.write_once();
    let answers = rig.answers.take();
    assert!(
        answers.iter().any(|answer| matches!(answer, (4, Ok(_)))),
        "a vital log goes on"
    );
    assert!(answers.iter().any(|answer| matches!(answer, (5, Err(_)))));

    rig.fs.set_free_bytes(u64::MAX);
    rig.enqueue(6, A, AckAt::Written);
    rig.shard.write_once();
    assert!(
        matches!(&rig.answers.take()[..], [(6, Err(_))]),
        "not asked again within a second"
    );
    assert_eq!(rig.fs.asked_free(), asked);
    rig.now = at(3_000);
    rig.enqueue(7, A, AckAt::Written);
    rig.shard.write_once();
    assert_eq!(rig.answers.take_names(), [7]);
}
