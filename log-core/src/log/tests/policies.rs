//! Rolls, retention, deletion and stamps, under clocks that run and clocks that jump.
//!
//! Floor 6 of log-core: tests.

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

fn bases(rig: &Rig) -> Vec<i64> {
    rig.log
        .reader()
        .segments()
        .iter()
        .map(|segment| segment.base.0)
        .collect()
}

/// Four sealed segments and an active one, written now.
fn week_rig() -> Rig {
    let mut rig = Rig::new(small());
    rig.append_simple(18, 280);
    assert_eq!(bases(&rig), [0, 4, 8, 12, 16]);
    rig
}

fn retire(rig: &mut Rig) -> Retired {
    let retired = rig.log.apply_retention(rig.now).unwrap();
    rig.start = rig.log.marks().start().0;
    assert_eq!(retired.start.0, rig.start);
    retired
}

#[test]
fn seven_days_that_pass_delete_and_no_less() {
    let mut rig = week_rig();
    rig.advance(7 * DAY_MS - 1);
    assert_eq!(retire(&mut rig).segments, 0);
    rig.append_simple(1, 10);
    rig.advance(1);
    let retired = retire(&mut rig);
    assert_eq!(
        (retired.segments, rig.start),
        (4, 16),
        "the active one got a batch since"
    );
    assert_eq!(
        rig.names()
            .iter()
            .filter(|name| name.ends_with(".log"))
            .count(),
        1
    );
    rig.check();
    rig.advance(7 * DAY_MS);
    assert_eq!(
        retire(&mut rig).start,
        Offset(19),
        "an idle active segment goes, too"
    );
    rig.check();
    rig.append_simple(1, 10);
    rig.reopen(None, false);
    rig.check();
}

#[test]
fn a_clock_that_jumps_deletes_nothing_while_running_or_at_a_start() {
    for jump_ms in [-54 * YEAR_MS, 50 * YEAR_MS, -50 * YEAR_MS, i64::MAX / 2] {
        let mut rig = week_rig();
        rig.now.wall.0 += jump_ms;
        rig.advance(1000);
        assert_eq!(retire(&mut rig).segments, 0, "running, {jump_ms}");
        rig.close_and_reopen();
        assert_eq!(
            retire(&mut rig).segments,
            0,
            "after a clean stop, {jump_ms}"
        );
        rig.now.wall.0 -= jump_ms;
        rig.reopen(None, false);
        assert_eq!(
            retire(&mut rig).segments,
            0,
            "after a crash and back, {jump_ms}"
        );
        rig.check();
        rig.advance(8 * DAY_MS);
        assert!(
            retire(&mut rig).segments > 0,
            "time that is measured counts"
        );
    }
}

#[test]
fn a_boot_at_1970_deletes_nothing_and_neither_does_the_correction() {
    let mut rig = week_rig();
    rig.log.close(rig.now).unwrap();
    let point = rig.log.recovery_point();
    let today = rig.now.wall;
    rig.now = Now {
        mono: Mono(0),
        wall: Wall(0),
    };
    rig.reopen(Some(point), true);
    assert_eq!(retire(&mut rig).segments, 0);
    let early = batch(&[5], 280, Codec::None);
    rig.append(&[early.clone(), early.clone(), early.clone(), early]);
    rig.now = Now {
        mono: Mono(60_000_000_000),
        wall: today,
    };
    assert_eq!(retire(&mut rig).segments, 0);
    rig.close_and_reopen();
    assert_eq!(retire(&mut rig).segments, 0);
}

#[test]
fn a_stop_of_ten_days_counts_and_ages_survive_a_start() {
    let mut rig = week_rig();
    rig.advance(3 * DAY_MS);
    rig.log.close(rig.now).unwrap();
    let point = rig.log.recovery_point();
    rig.now = Now {
        mono: Mono(5),
        wall: Wall(rig.now.wall.0 + 3 * DAY_MS as i64),
    };
    rig.reopen(Some(point), true);
    assert_eq!(retire(&mut rig).segments, 0, "six days old");
    rig.advance(DAY_MS);
    assert_eq!(
        retire(&mut rig).start,
        Offset(18),
        "seven days old, the idle active one, too"
    );
}

#[test]
fn retention_by_size_holds_within_a_segment() {
    let mut rig = Rig::new(LogConfig {
        retention_bytes: Some(3000),
        ..small()
    });
    for _ in 0..40 {
        rig.append_simple(1, 280);
        retire(&mut rig);
        let size = rig.log.reader().size_bytes();
        assert!(size <= 3000 + 1500, "{size}");
        assert!(size >= 3000 || rig.start == 0, "{size}");
    }
    rig.check();
}

#[test]
fn deleted_records_stay_deleted_and_free_their_segments() {
    let mut rig = Rig::new(LogConfig {
        delete: false,
        ..small()
    });
    for _ in 0..8 {
        rig.append(&[batch(&[1, 2, 3, 4], 80, Codec::None)]);
    }
    assert_eq!(
        rig.log.delete_records(Offset(14), rig.now).unwrap(),
        Offset(14)
    );
    assert_eq!(
        bases(&rig)[0],
        12,
        "offset 14 lies within a batch of the first segment left"
    );
    rig.start = 14;
    rig.check();
    assert_eq!(
        rig.log.delete_records(Offset(3), rig.now).unwrap(),
        Offset(14)
    );
    let error = rig.log.delete_records(Offset(33), rig.now).unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { .. }), "{error}");
    rig.reopen(None, false);
    rig.check();
    assert_eq!(
        rig.log.delete_records(Offset(32), rig.now).unwrap(),
        Offset(32)
    );
    rig.start = 32;
    retire(&mut rig);
    assert_eq!(bases(&rig), [32], "nothing is left, and the offsets go on");
    rig.check();
    rig.append_simple(1, 1);
    rig.check();
}

#[test]
fn a_segment_is_sealed_by_size_and_by_age() {
    let config = LogConfig {
        segment_ms: 5000,
        ..small()
    };
    let mut rig = Rig::new(config);
    rig.append_simple(1, 10);
    rig.advance(4999);
    rig.append_simple(1, 10);
    assert_eq!(bases(&rig), [0]);
    rig.advance(1);
    rig.append_simple(1, 10);
    assert_eq!(bases(&rig), [0, 2], "counted from the first batch");
    rig.advance(3000);
    rig.close_and_reopen();
    rig.advance(2000);
    rig.append_simple(1, 10);
    assert_eq!(bases(&rig), [0, 2, 3], "the age survives a start");
    rig.append_simple(9, 300);
    let sizes: Vec<u64> = rig
        .log
        .reader()
        .segments()
        .iter()
        .map(|s| s.bytes)
        .collect();
    assert!(sizes.iter().all(|bytes| *bytes <= 1500), "{sizes:?}");
    rig.check();
}

#[test]
fn a_batch_larger_than_a_segment_is_refused() {
    let mut rig = Rig::new(small());
    let error = rig
        .log
        .append(&[batch(&[1], 1500, Codec::None)], rig.now)
        .remove(0)
        .unwrap_err();
    assert!(
        matches!(
            error,
            LogError::LargerThanSegment {
                segment_bytes: 1500,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(rig.log.marks().end(), Offset(0));
}

#[test]
fn the_log_stamps_its_records_if_it_is_asked_to() {
    let config = LogConfig {
        timestamp_type: crate::config::TimestampType::LogAppendTime,
        ..small()
    };
    let mut rig = Rig::new(config);
    let sent = batch(&[5, 900], 20, Codec::Lz4);
    let appended = rig
        .log
        .append(std::slice::from_ref(&sent), rig.now)
        .remove(0)
        .unwrap();
    assert_eq!(appended.log_append_time_ms, Some(rig.now.wall.0));
    let reader = rig.log.reader();
    let slice = reader
        .read(Offset(0), 1 << 20, UpTo::Durable, Minimum::OneBatch)
        .unwrap();
    let stored = Bytes::from(slice.parts.concat());
    highwater_proto::batch::check_crc(&stored).unwrap();
    let records = highwater_proto::record::RecordIter::new(stored, 1 << 20).unwrap();
    assert!(
        records
            .map(Result::unwrap)
            .all(|record| record.timestamp == rig.now.wall.0)
    );
    let hit = reader.find_time(rig.now.wall.0).unwrap().unwrap();
    assert_eq!((hit.offset, hit.timestamp), (Offset(0), rig.now.wall.0));
    assert_eq!(reader.find_time(rig.now.wall.0 + 1).unwrap(), None);
    rig.log.delete_records(Offset(1), rig.now).unwrap();
    assert_eq!(reader.find_time(0).unwrap().unwrap().offset, Offset(1));
    assert_eq!(
        sent.header().max_timestamp,
        900,
        "the producer's bytes are not touched"
    );
}

#[test]
fn epochs_are_known_over_starts_and_deletions() {
    let mut rig = Rig::new(small());
    for epoch in [1, 3, 4] {
        rig.append_simple(3, 200);
        rig.log.raise_epoch(LeaderEpoch(epoch));
    }
    let answers = |rig: &Rig| {
        let reader = rig.log.reader();
        [-1, 0, 1, 2, 3, 4, 5].map(|epoch| {
            let (known, end) = reader.epoch_end(epoch);
            (known, end.0)
        })
    };
    let expected = [(-1, -1), (0, 3), (1, 6), (1, 6), (3, 9), (4, 9), (-1, -1)];
    assert_eq!(answers(&rig), expected);
    let point = rig.log.recovery_point();
    rig.reopen(Some(point), false);
    assert_eq!(
        answers(&rig),
        expected,
        "an epoch without a batch is in the recovery point"
    );
    rig.close_and_reopen();
    assert_eq!(answers(&rig), expected);
    rig.log.delete_records(Offset(4), rig.now).unwrap();
    rig.start = 4;
    assert_eq!(answers(&rig)[1], (0, 4), "below the first known epoch");
    rig.check();
}
