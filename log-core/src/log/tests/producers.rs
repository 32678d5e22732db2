//! Idempotent producers through a log: repeats, gaps, and what is left of them after a start.
//!
//! Floor 6 of log-core: tests.

use proptest::prelude::*;

use super::*;
use crate::error::ProducerError;

fn sent(id: i64, epoch: i16, base_sequence: i32, records: usize) -> ProducedBatch {
    let producer = Producer {
        id,
        epoch,
        base_sequence,
    };
    batch_of(&vec![1_000; records], 40, Codec::None, Some(producer))
}

fn one(rig: &mut Rig, batch: ProducedBatch) -> Result<Appended, LogError> {
    rig.log.append(&[batch], rig.now).remove(0)
}

#[test]
fn a_repeat_is_answered_with_its_first_offsets_and_not_stored() {
    let mut rig = Rig::new(small());
    let all: Vec<_> = (0..6).map(|n| sent(7, 0, n * 2, 2)).collect();
    for answer in rig.log.append(&all, rig.now) {
        assert!(!answer.unwrap().duplicate);
    }
    for n in 1..6 {
        let again = one(&mut rig, sent(7, 0, n * 2, 2)).unwrap();
        assert_eq!(
            (again.base_offset.0, again.duplicate),
            (i64::from(n) * 2, true)
        );
        assert_eq!(again.last_offset.0, i64::from(n) * 2 + 1);
    }
    let too_old = one(&mut rig, sent(7, 0, 0, 2)).unwrap_err();
    let expected = ProducerError::OutOfOrder {
        producer_id: 7,
        sequence: 0,
        expected: 12,
    };
    assert!(
        matches!(too_old, LogError::Producer(error) if error == expected),
        "{too_old}"
    );
    assert_eq!(rig.log.marks().end(), Offset(12));
}

#[test]
fn a_repeat_within_one_call_is_found() {
    let mut rig = Rig::new(small());
    let answers = rig
        .log
        .append(&[sent(1, 0, 0, 3), sent(1, 0, 0, 3)], rig.now);
    let offsets: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.map(|a| (a.base_offset.0, a.duplicate)).unwrap())
        .collect();
    assert_eq!(offsets, [(0, false), (0, true)]);
    assert_eq!(rig.log.marks().end(), Offset(3));
}

#[test]
fn a_refused_batch_does_not_hold_up_the_others() {
    let mut rig = Rig::new(small());
    let answers = rig.log.append(
        &[sent(1, 0, 0, 1), sent(1, 0, 5, 1), sent(1, 0, 1, 1)],
        rig.now,
    );
    let taken: Vec<_> = answers
        .into_iter()
        .map(|a| a.ok().map(|appended| appended.base_offset.0))
        .collect();
    assert_eq!(taken, [Some(0), None, Some(1)]);
}

#[test]
fn a_snapshot_that_is_newer_than_the_log_is_not_believed() {
    let mut rig = Rig::new(LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    one(&mut rig, sent(1, 0, 0, 1)).unwrap();
    let point = rig.sync();
    let length = rig.file(&log_file(0)).len();
    one(&mut rig, sent(1, 0, 1, 1)).unwrap();
    rig.log.close(rig.now).unwrap();
    // A power cut takes what was never synced in the log, and leaves the snapshot.
    rig.edit(&log_file(0), |bytes| bytes.truncate(length));
    rig.reopen(Some(point), false);
    let again = one(&mut rig, sent(1, 0, 1, 1)).unwrap();
    assert_eq!((again.base_offset.0, again.duplicate), (1, false));
}

/// A start after a crash read the headers of everything since the last roll, which may be a
/// gigabyte a partition.
#[test]
fn a_start_reads_no_batch_below_the_point_for_the_producers() {
    let mut rig = Rig::new(LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    for n in 0..50 {
        one(&mut rig, sent(1, 0, n, 1)).unwrap();
    }
    let point = rig.sync();
    for n in 50..52 {
        one(&mut rig, sent(1, 0, n, 1)).unwrap();
    }
    // Whoever looks for producers there finds none.
    let below = usize::try_from(point.position.0).unwrap();
    rig.edit(&log_file(0), |bytes| bytes[..below].fill(0));
    assert_eq!(rig.reopen(Some(point), false).batches_scanned, 2);
    for n in 47..52 {
        let again = one(&mut rig, sent(1, 0, n, 1)).unwrap();
        assert_eq!((again.base_offset.0, again.duplicate), (i64::from(n), true));
    }
    one(&mut rig, sent(1, 0, 52, 1)).unwrap();
}

#[test]
fn idle_producers_are_forgotten_by_measured_time_over_a_stop_too() {
    let config = LogConfig {
        producer_id_expiration_ms: 1000,
        ..small()
    };
    let mut rig = Rig::new(config);
    one(&mut rig, sent(1, 0, 0, 1)).unwrap();
    rig.advance(600);
    rig.log.close(rig.now).unwrap();
    let point = rig.log.recovery_point();
    // The wall clock jumps; the time that is measured does not.
    rig.now.wall.0 += 1 << 40;
    rig.reopen(Some(point), true);
    rig.log.apply_retention(rig.now).unwrap();
    assert!(
        one(&mut rig, sent(1, 0, 9, 1)).is_err(),
        "600 ms are no reason"
    );
    rig.now = Now {
        mono: Mono(rig.now.mono.0 + 401_000_000),
        wall: Wall(0),
    };
    rig.log.apply_retention(rig.now).unwrap();
    one(&mut rig, sent(1, 0, 9, 1)).expect("unknown producers begin anywhere");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// After any start, and from any of the caches, every producer is answered as before.
    #[test]
    fn replaying_the_log_gives_the_live_windows(
        steps in prop::collection::vec((0..4_i64, 0..3_i16, 1..4_usize, 0..12_u8), 1..40),
    ) {
        let mut rig = Rig::new(small());
        let mut next = std::collections::HashMap::new();
        let mut point = None;
        let mut syncing = None;
        for (id, epoch, records, action) in steps {
            let key = (id, epoch);
            let base_sequence = *next.get(&key).unwrap_or(&0);
            if one(&mut rig, sent(id, epoch, base_sequence, records)).is_ok() {
                next.insert(key, base_sequence + i32::try_from(records).unwrap());
            }
            let live = rig.log.producers.clone();
            match action {
                0 => {
                    rig.close_and_reopen();
                }
                1 => {
                    point = Some(rig.sync());
                    rig.reopen(point.clone(), false);
                }
                2 => {
                    rig.reopen(point.clone(), false);
                }
                3 => {
                    let _gone = rig.fs.remove(&Path::new(DIR).join("producers.snapshot"));
                    rig.reopen(point.clone(), false);
                }
                4 => point = Some(rig.sync()),
                // A sync that ends after more has been written.
                5 => syncing = Some(rig.log.sync_target()),
                6 => {
                    if let Some(target) = syncing.take() {
                        target.sync().unwrap();
                        point = Some(rig.log.recovery_point());
                    }
                }
                _ => {}
            }
            prop_assert_eq!(&rig.log.producers, &live);
        }
    }
}

/// A start after a crash writes no snapshot: what it does not know goes on in the recovery points.
#[test]
fn windows_are_carried_from_start_to_start_until_they_are_many() {
    let mut rig = Rig::new(LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    let snapshot = rig.file("producers.snapshot");
    for id in 0..40 {
        one(&mut rig, sent(id, 0, 0, 1)).unwrap();
        let point = rig.sync();
        rig.reopen(Some(point), false);
        for known in 0..=id {
            assert!(one(&mut rig, sent(known, 0, 0, 1)).unwrap().duplicate);
        }
        let is_same = rig.file("producers.snapshot") == snapshot;
        assert_eq!(is_same, id < 32, "{id}");
    }
    // The log loses its end: what is noted of it is not believed, now or later.
    let point = rig.log.recovery_point();
    let length = rig.file(&log_file(0)).len();
    one(&mut rig, sent(7, 0, 1, 1)).unwrap();
    rig.edit(&log_file(0), |bytes| bytes.truncate(length));
    rig.reopen(Some(point), false);
    let again = one(&mut rig, sent(7, 0, 1, 1)).unwrap();
    assert_eq!((again.base_offset.0, again.duplicate), (40, false));
}

/// Each unclean start begins an epoch, which the next checkpoint is to know.
#[test]
fn epochs_are_carried_from_start_to_start_until_they_are_many() {
    let mut rig = Rig::new(LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    rig.append_simple(1, 10);
    let mut point = rig.sync();
    let mut written = 0;
    for epoch in 1..30 {
        let checkpoint = rig.file("checkpoint");
        rig.reopen(Some(point), false);
        written += usize::from(rig.file("checkpoint") != checkpoint);
        rig.log.raise_epoch(LeaderEpoch(epoch));
        rig.append_simple(1, 10);
        point = rig.sync();
        assert!(point.epochs.len() <= 9, "{}", point.epochs.len());
    }
    assert_eq!(written, 3);
    for epoch in 1..29 {
        let (found, end) = rig.log.reader().epoch_end(epoch);
        assert_eq!((found, end.0), (epoch, i64::from(epoch) + 1));
    }
    rig.check();
}
