//! What `tick` does, and when it wants to.

use std::sync::atomic::Ordering;

use super::*;

#[test]
fn a_page_cache_log_is_synced_once_its_oldest_byte_is_old_enough() {
    let rig = Rig::new();
    let wanted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&wanted);
    rig.shard.on_work(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(rig.shard.tick(at(0)), at(1000).mono, "nothing is dirty");
    rig.enqueue(1, P, AckAt::Written);
    rig.shard.write_once();
    assert_eq!(
        wanted.load(Ordering::Relaxed),
        1,
        "the plan was later than flush.ms"
    );
    rig.enqueue(2, P, AckAt::Written);
    rig.shard.write_once();
    assert_eq!(wanted.load(Ordering::Relaxed), 1);
    assert_eq!(rig.shard.tick(at(99)), at(100).mono);
    assert_eq!(rig.marks(P), [0, 2, 2]);
    assert_eq!(
        rig.shard.tick(at(100)),
        at(1000).mono.plus(Duration::from_millis(100))
    );
    assert_eq!(rig.marks(P), [2, 2, 2]);
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 1);
    rig.shard.tick(at(500));
    assert_eq!(
        rig.fs.take(Op::Sync, LOG_FILE),
        0,
        "nothing is dirty any more"
    );
}

#[test]
fn many_bytes_of_a_page_cache_log_are_synced_at_once() {
    let rig = Rig::new();
    rig.shard.tick(at(0));
    for _ in 0..2 {
        rig.enqueue_batch(1, P, batch(600 << 10), AckAt::Written);
        rig.shard.write_once();
    }
    // A thread that waits for work is woken.
    rig.shard.wait_for_work(Duration::from_secs(600));
    rig.shard.tick(at(1));
    assert_eq!(rig.marks(P), [2, 2, 2]);
}

#[test]
fn bytes_written_during_a_background_sync_are_dirty_again() {
    let rig = Rig::new();
    let (shard, answers, now) = (Arc::clone(&rig.shard), rig.answers.clone(), rig.now);
    rig.enqueue(1, P, AckAt::Written);
    rig.shard.write_once();
    let mut is_first = true;
    rig.fs.set_hook(move |op, _| {
        if op == Op::Sync && std::mem::take(&mut is_first) {
            shard.append(P, batch(10), AckAt::Written, now, answers.note(2));
        }
        Ok(())
    });
    rig.shard.tick(at(100));
    assert_eq!(rig.marks(P), [1, 2, 2]);
    rig.shard.tick(at(200));
    assert_eq!(rig.marks(P), [2, 2, 2]);
}

#[test]
fn memory_that_reads_no_longer_take_is_given_back_once_a_second() {
    let rig = Rig::new();
    let before = rig.fs.releases();
    rig.shard.tick(at(999));
    assert_eq!(rig.fs.releases(), before);
    rig.shard.tick(at(1000));
    rig.shard.tick(at(1500));
    assert_eq!(rig.fs.releases(), before + 1);
    rig.shard.tick(at(2000));
    assert_eq!(rig.fs.releases(), before + 2);
}

#[test]
fn the_journal_is_emptied_into_the_logs_once_a_second() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.shard.tick(at(999));
    assert_eq!(rig.marks(A), [0, 1, 1]);
    rig.fs.forget();
    rig.shard.tick(at(1000));
    assert_eq!((rig.marks(A), rig.marks(B)), ([1, 1, 1], [1, 1, 1]));
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 2);
    let points =
        ["recovery-points.a", "recovery-points.b"].map(|name| rig.fs.take(Op::Write, name));
    assert_eq!(points.iter().sum::<usize>(), 1);
    assert_eq!(rig.fs.take(Op::Write, "journal-1"), 1, "filled ahead");

    let filled = rig.fs.contents(&path("journal-1")).len();
    rig.commit(&[A, B]);
    assert_eq!(rig.fs.take(Op::Write, "journal-1"), 1, "the other file");
    assert_eq!(rig.fs.contents(&path("journal-1")).len(), filled);
    assert_eq!(rig.fs.take(Op::SyncDir, ""), 1, "its name, once");
    rig.commit(&[A]);
    rig.fs.forget();
    rig.shard.tick(at(2000));
    assert_eq!(
        rig.fs.take(Op::Sync, LOG_FILE),
        1,
        "one of them was synced meanwhile"
    );
    assert_eq!(rig.fs.take(Op::Write, JOURNAL), 1, "filled, too");
    rig.commit(&[A, B]);
    assert_eq!(rig.fs.take(Op::Write, JOURNAL), 1, "free again");
    rig.fs.forget();
    rig.shard.tick(at(3000));
    rig.shard.tick(at(4000));
    rig.fs.forget();
    rig.shard.tick(at(5000));
    assert_eq!(
        rig.fs.take(Op::Write, ""),
        0,
        "nothing has moved: nothing is written"
    );
}

#[test]
fn a_full_journal_asks_for_the_checkpoint_and_cycles_go_on_without_it() {
    let config = ShardConfig {
        journal_bytes: 3 * 4096,
        ..ShardConfig::default()
    };
    let rig = Rig::with(config);
    rig.shard.tick(at(0));
    let wanted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&wanted);
    rig.shard.on_work(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    rig.commit(&[A, B]);
    rig.commit(&[A, B]);
    assert_eq!(wanted.load(Ordering::Relaxed), 0);
    rig.commit(&[A, B]);
    assert_eq!(
        wanted.load(Ordering::Relaxed),
        1,
        "one file is full, and ends its life"
    );
    rig.commit(&[A, B]);
    assert_eq!(rig.marks(A), [0, 4, 4]);
    rig.commit(&[A, B]);
    assert_eq!(
        rig.marks(A),
        [5, 5, 5],
        "both are full: the logs' files are synced"
    );
    rig.shard.tick(at(1));
    rig.fs.forget();
    rig.commit(&[A, B]);
    assert_eq!(
        rig.fs.take(Op::Sync, JOURNAL),
        1,
        "its file was freed before its second was up"
    );
}

#[test]
fn a_shard_that_is_idle_or_writes_to_one_log_has_no_journal() {
    let rig = Rig::new();
    for second in 1..5 {
        rig.commit(&[A]);
        rig.shard.tick(at(second * 1000));
    }
    assert!(!rig.names("").iter().any(|name| name.starts_with("journal")));
}

#[test]
fn a_journal_that_cannot_be_filled_is_used_as_it_is_and_a_failed_sync_of_it_poisons() {
    for (kind, op) in [
        (std::io::ErrorKind::StorageFull, Op::Write),
        (std::io::ErrorKind::Other, Op::Sync),
    ] {
        let rig = Rig::new();
        rig.commit(&[A, B]);
        rig.fs.set_hook(move |done, path| {
            let is_it = done == op && path.to_str().unwrap().ends_with("journal-1");
            if is_it { Err(kind.into()) } else { Ok(()) }
        });
        rig.shard.tick(at(1000));
        let is_full = kind == std::io::ErrorKind::StorageFull;
        assert_eq!(rig.shard.poisoned().is_none(), is_full);
        if is_full {
            rig.fs.clear_hook();
            rig.commit(&[A, B]);
            assert_eq!(rig.marks(A), [1, 2, 2], "journaled");
            let rig = rig.cut_power();
            assert_eq!((rig.readable(A), rig.readable(B)), (2, 2));
        }
    }
}

#[test]
fn a_failed_background_sync_poisons() {
    let rig = Rig::new();
    rig.enqueue(1, P, AckAt::Written);
    rig.enqueue(2, A, AckAt::Durable);
    rig.shard.write_once();
    assert_eq!(rig.answers.take_names(), [1]);
    rig.fs.set_hook(|op, _| match op {
        Op::Sync => Err(std::io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
    assert_eq!(rig.shard.tick(at(100)), Mono::NEVER);
    assert!(matches!(&rig.answers.take()[..], [(2, Err(_))]));
    assert!(rig.shard.poisoned().is_some());
}

#[test]
fn recovery_points_spare_the_next_start_the_scan() {
    let rig = Rig::new();
    for _ in 0..5 {
        rig.commit(&[A]);
    }
    rig.shard.tick(at(1000));
    rig.commit(&[A]);
    let rig = rig.kill();
    let (_, found) = rig.recovered.logs.iter().find(|(id, _)| *id == A).unwrap();
    assert_eq!(found.batches_scanned, 1);
    assert_eq!(rig.readable(A), 6);
}
