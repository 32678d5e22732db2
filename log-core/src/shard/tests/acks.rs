//! Who is answered when, and what it costs.

use super::*;

#[test]
fn what_is_queued_is_written_by_one_write_for_each_log() {
    let rig = Rig::new();
    for (name, log) in [(1, A), (2, B), (3, A), (4, A), (5, B)] {
        rig.enqueue(name, log, AckAt::Written);
    }
    assert!(rig.shard.write_once());
    assert_eq!(rig.fs.take(Op::Write, LOG_FILE), 2);
    let answers = rig.answers.take();
    let expected = [(1, 0), (3, 1), (4, 2), (2, 0), (5, 1)];
    assert_eq!(answers, expected.map(|(name, offset)| (name, Ok(offset))));
    assert!(!rig.shard.write_once(), "nothing is queued any more");
}

#[test]
fn what_comes_while_one_drives_is_grouped_behind_it() {
    let rig = Rig::new();
    let (shard, answers, now) = (Arc::clone(&rig.shard), rig.answers.clone(), rig.now);
    rig.shard
        .append(A, batch(10), AckAt::Written, now, move |_| {
            // The driver is at work: it answers this append.
            for name in 1..=3 {
                shard.append(A, batch(10), AckAt::Written, now, answers.note(name));
            }
            assert!(answers.take().is_empty(), "a follower wrote by itself");
        });
    assert_eq!(rig.answers.take(), [(1, Ok(1)), (2, Ok(2)), (3, Ok(3))]);
    assert_eq!(
        rig.fs.take(Op::Write, LOG_FILE),
        2,
        "one for the first, one for the three"
    );
}

#[test]
fn a_driver_leaves_the_rest_to_the_committer_after_some_rounds() {
    fn chain(shard: &Arc<Shard>, left: u32) {
        let next = Arc::clone(shard);
        shard.append(A, batch(10), AckAt::Written, at(0), move |_| {
            if left > 0 {
                chain(&next, left - 1);
            }
        });
    }
    let rig = Rig::new();
    chain(&rig.shard, 19);
    assert_eq!(rig.marks(A)[2], 20, "nobody else would");
    rig.shard
        .committers
        .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    chain(&rig.shard, 39);
    assert_eq!(rig.marks(A)[2], 52);
    rig.shard.commit_bell.wait();
    while rig.shard.write_once() {}
    assert_eq!(rig.marks(A)[2], 60);
}

#[test]
fn written_is_answered_by_stage_one_and_durable_by_stage_two() {
    let rig = Rig::new();
    rig.enqueue(1, A, AckAt::Durable);
    rig.enqueue(2, A, AckAt::Written);
    rig.shard.write_once();
    assert_eq!(rig.answers.take_names(), [2]);
    assert_eq!(rig.marks(A), [0, 0, 2]);
    assert_eq!(
        rig.readable(A),
        0,
        "a consumer sees nothing that a power cut can take"
    );
    assert!(rig.shard.sync_once());
    assert_eq!(rig.answers.take_names(), [1]);
    assert_eq!(rig.marks(A), [2, 2, 2]);
    assert_eq!(rig.readable(A), 2);
    assert!(!rig.shard.sync_once(), "nothing waits any more");
}

#[test]
fn a_page_cache_log_is_answered_and_read_at_once() {
    let rig = Rig::new();
    rig.enqueue(1, P, AckAt::Durable);
    rig.shard.write_once();
    assert_eq!(rig.answers.take_names(), [1]);
    assert_eq!(rig.marks(P), [0, 1, 1]);
    assert!(!rig.shard.sync_once());
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 0);
}

#[test]
fn one_log_is_synced_by_itself_and_several_by_the_journal() {
    let rig = Rig::new();
    rig.commit(&[A]);
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 1);
    assert_eq!(rig.fs.take(Op::Write, JOURNAL), 0);

    rig.commit(&[A, B, C]);
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 0);
    assert_eq!(rig.fs.take(Op::Write, JOURNAL), 1);
    assert_eq!(rig.fs.take(Op::Sync, JOURNAL), 1);
    assert_eq!(rig.marks(A), [1, 2, 2], "durable, but not in its own file");
    assert_eq!(rig.marks(B), [0, 1, 1]);
    assert_eq!(rig.fs.take(Op::SyncDir, DIR), 1, "the journal's name");
    rig.commit(&[A, B]);
    assert_eq!(rig.fs.take(Op::SyncDir, ""), 0, "its name is durable");
}

#[test]
fn a_log_with_many_bytes_is_synced_beside_the_journal() {
    let rig = Rig::new();
    rig.enqueue_batch(1, A, batch(300 << 10), AckAt::Durable);
    rig.enqueue(2, B, AckAt::Durable);
    rig.enqueue(3, C, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.sync_once();
    assert_eq!(rig.answers.take_names(), [1, 2, 3]);
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 1);
    assert_eq!(rig.fs.take(Op::Sync, JOURNAL), 1);
    assert_eq!((rig.marks(A), rig.marks(B)), ([1, 1, 1], [0, 1, 1]));

    rig.enqueue_batch(1, A, batch(300 << 10), AckAt::Durable);
    rig.enqueue(2, B, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.sync_once();
    assert_eq!(
        rig.fs.take(Op::Sync, JOURNAL),
        0,
        "a journal for one log saves no sync"
    );
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 2);
}

#[test]
fn bytes_for_a_late_cycle_are_not_kept_without_bound() {
    let rig = Rig::new();
    for _ in 0..10 {
        rig.enqueue_batch(1, A, batch(100 << 10), AckAt::Written);
        rig.enqueue(1, B, AckAt::Written);
        rig.shard.write_once();
    }
    rig.enqueue(2, C, AckAt::Durable);
    rig.shard.write_once();
    rig.answers.take_names();
    rig.shard.sync_once();
    assert_eq!(rig.answers.take_names(), [2]);
    assert_eq!(rig.marks(A), [10, 10, 10], "synced in its own file");
    assert_eq!(
        (rig.marks(B), rig.marks(C)),
        ([0, 10, 10], [0, 1, 1]),
        "journaled"
    );
}

#[test]
fn what_is_written_during_a_sync_waits_for_the_next_one() {
    let rig = Rig::new();
    let (shard, answers, now) = (Arc::clone(&rig.shard), rig.answers.clone(), rig.now);
    let mut is_first = true;
    rig.fs.set_hook(move |op, _| {
        if op == Op::Sync && std::mem::take(&mut is_first) {
            shard.append(A, batch(10), AckAt::Durable, now, answers.note(2));
        }
        Ok(())
    });
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.sync_once();
    assert_eq!(rig.answers.take_names(), [1]);
    assert_eq!(rig.marks(A), [1, 1, 2]);
    rig.shard.sync_once();
    assert_eq!(rig.answers.take_names(), [2]);
    assert_eq!(rig.marks(A), [2, 2, 2]);
}

#[test]
fn a_duplicate_waits_until_what_it_repeats_is_durable() {
    let rig = Rig::new();
    rig.enqueue_batch(1, A, idempotent_batch(0), AckAt::Written);
    rig.shard.write_once();
    rig.enqueue_batch(2, A, idempotent_batch(0), AckAt::Durable);
    rig.shard.write_once();
    assert_eq!(rig.answers.take_names(), [1]);
    rig.shard.sync_once();
    assert_eq!(rig.answers.take(), [(2, Ok(0))]);
    rig.fs.forget();
    rig.enqueue_batch(3, A, idempotent_batch(0), AckAt::Durable);
    rig.shard.write_once();
    assert_eq!(rig.answers.take(), [(3, Ok(0))], "it is durable already");
    assert!(!rig.shard.sync_once());
    assert_eq!(rig.fs.take(Op::Write, LOG_FILE), 0);
}

#[test]
fn the_logs_that_moved_are_announced_once_a_cycle() {
    let rig = Rig::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    rig.shard
        .on_advance(move |logs| lock(&teller).push(logs.to_vec()));
    for log in [B, A, A, P] {
        rig.enqueue(0, log, AckAt::Durable);
    }
    rig.shard.write_once();
    assert_eq!(*lock(&told), [vec![P]]);
    rig.shard.sync_once();
    assert_eq!(*lock(&told), [vec![P], vec![A, B]]);
}

/// A roll syncs what it seals. Where the sync that everybody waited for failed then, a parked fetch
/// slept beside records that it could read (seed 15193 of the broker's).
#[test]
fn whatever_moves_the_mark_of_readers_tells_them() {
    // One batch fills it.
    const SEGMENT_BYTES: u64 = 100;
    let rig = Rig::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    rig.shard
        .on_advance(move |logs| lock(&teller).extend(logs.to_vec()));
    let take = || std::mem::take(&mut *lock(&told));
    let change = |log, segment_bytes, durability| {
        let config = LogConfig {
            segment_bytes,
            durability,
            ..config_of(log)
        };
        rig.shard.set_config(log, config).unwrap();
    };
    rig.enqueue(1, A, AckAt::Written);
    rig.shard.write_once();
    assert_eq!((rig.marks(A), take()), ([0, 0, 1], vec![]));
    change(A, SEGMENT_BYTES, Durability::Fsync);
    rig.enqueue(2, A, AckAt::Written);
    rig.shard.write_once();
    assert_eq!((rig.marks(A), take()), ([1, 1, 2], vec![A]), "a roll");
    rig.enqueue(3, B, AckAt::Written);
    rig.shard.write_once();
    change(B, 1 << 20, Durability::PageCache);
    assert_eq!((rig.marks(B), take()), ([0, 1, 1], vec![B]), "a change");
    rig.enqueue(4, C, AckAt::Written);
    rig.shard.write_once();
    rig.shard.roll(C, rig.now).unwrap();
    assert_eq!((rig.marks(C), take()), ([1, 1, 1], vec![C]), "asked for");
}

#[test]
fn an_unknown_log_is_answered_closed() {
    let rig = Rig::new();
    let unknown = LogId {
        topic: [1; 16],
        partition: 0,
    };
    rig.enqueue(1, unknown, AckAt::Durable);
    rig.enqueue(2, A, AckAt::Written);
    rig.shard.write_once();
    assert_eq!(
        rig.answers.take(),
        [(1, Err(LogError::Closed.to_string())), (2, Ok(0))]
    );
}
