//! Bytes that change on the disk: above the recovery point they end the log, below it they cost
//! exactly the batches that they belong to.
//!
//! Floor 6 of log-core: tests.

use super::*;

/// Four segments of four batches, and two more batches in the active one; everything is synced.
fn synced_rig(config: LogConfig) -> (Rig, RecoveryPoint) {
    let mut rig = Rig::new(config);
    rig.append_simple(18, 280);
    assert_eq!(rig.log.reader().segments().len(), 5);
    let point = rig.sync();
    (rig, point)
}

/// The positions of a segment's batches in its file.
fn places(rig: &Rig, base: i64, end: i64) -> Vec<(u64, Kept)> {
    let mut position = 0;
    let batches = rig
        .kept
        .iter()
        .filter(|kept| (base..end).contains(&kept.base));
    batches
        .map(|kept| {
            let place = (position, kept.clone());
            position += kept.bytes.len() as u64;
            place
        })
        .collect()
}

/// Reads each batch by itself: those in `bad` answer an error, all others what was written.
fn check_all_but(rig: &Rig, bad: &[i64], context: &str) {
    let reader = rig.log.reader();
    for kept in &rig.kept {
        let slice = reader.read(Offset(kept.base), 1, UpTo::Durable, Minimum::OneBatch);
        if bad.contains(&kept.base) {
            let error = slice.expect_err(context);
            assert!(
                matches!(error, LogError::Corrupt { .. }),
                "{context}: {error}"
            );
        } else {
            let slice = slice.unwrap_or_else(|error| panic!("{context}: {}: {error}", kept.base));
            assert_eq!(slice.parts.concat(), kept.bytes, "{context}: {}", kept.base);
        }
    }
    // A long read ends before the damage and never jumps over it.
    let slice = reader.read(
        rig.log.marks().start(),
        1 << 20,
        UpTo::Durable,
        Minimum::OneBatch,
    );
    let first_bad = bad.iter().min().copied().unwrap_or_else(|| rig.end());
    match slice {
        Ok(slice) => assert_eq!(slice.next_offset.0, first_bad, "{context}"),
        Err(_) => assert_eq!(first_bad, 0, "{context}"),
    }
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_costs_its_batch_only() {
    let (mut rig, point) = synced_rig(small());
    let file = log_file(4);
    let whole = rig.file(&file);
    let kept = places(&rig, 4, 8);
    for at in 0..whole.len() {
        rig.edit(&file, |bytes| bytes[at] ^= 1 << (at % 8));
        let report = rig.reopen(Some(point.clone()), at % 2 == 0);
        assert_eq!(
            (report.torn_bytes, &report.quarantined[..]),
            (0, &[][..]),
            "byte {at}"
        );
        let (begin, hit) = kept.iter().rfind(|(begin, _)| *begin <= at as u64).unwrap();
        let within = at as u64 - begin;
        if (12..16).contains(&within) {
            // The leader epoch is covered by the interval's sum alone.
            let answer =
                rig.log
                    .reader()
                    .read(Offset(hit.base), 1, UpTo::Durable, Minimum::OneBatch);
            assert!(matches!(answer, Err(LogError::Corrupt { .. })), "byte {at}");
        } else {
            check_all_but(&rig, &[hit.base], &format!("byte {at}"));
        }
        assert_eq!(rig.file(&file).len(), whole.len(), "nothing is cut");
        rig.edit(&file, |bytes| *bytes = whole.to_vec());
    }
}

#[test]
fn a_flipped_bit_below_the_recovery_point_of_the_active_segment_is_never_cut() {
    let file = log_file(16);
    let length = synced_rig(small()).0.file(&file).len();
    let cases = (0..length).flat_map(|at| [(at, false), (at, true)]);
    for (at, is_clean) in cases {
        let (mut rig, mut point) = synced_rig(small());
        if is_clean {
            rig.log.close(rig.now).unwrap();
            point = rig.log.recovery_point();
        }
        let kept = places(&rig, 16, 18);
        rig.edit(&file, |bytes| bytes[at] ^= 1 << (at % 8));
        let report = rig.reopen(Some(point.clone()), is_clean);
        assert_eq!(report.torn_bytes, 0, "byte {at}");
        assert_eq!(rig.log.marks().end(), Offset(18), "byte {at}");
        let (begin, hit) = kept.iter().rfind(|(begin, _)| *begin <= at as u64).unwrap();
        if (12..16).contains(&(at as u64 - begin)) {
            // No checksum of the batch covers it: the index's sums do, or that of the point.
            let read = rig
                .log
                .reader()
                .read(Offset(hit.base), 1, UpTo::Durable, Minimum::OneBatch);
            assert!(matches!(read, Err(LogError::Corrupt { .. })), "byte {at}");
        } else {
            check_all_but(&rig, &[hit.base], &format!("byte {at}"));
        }
        assert_eq!(rig.file(&file).len(), length, "nothing is cut");
        // The log goes on, and what it gets can be read.
        rig.append_simple(1, 10);
        let reader = rig.log.reader();
        let slice = reader
            .read(Offset(18), 1, UpTo::Durable, Minimum::OneBatch)
            .unwrap();
        assert_eq!(slice.parts.concat(), rig.kept.pop().unwrap().bytes);
    }
}

#[test]
fn damage_that_is_known_is_known_after_the_next_start() {
    let (mut rig, point) = synced_rig(small());
    for (name, at) in [(log_file(4), 17), (log_file(16), 3)] {
        rig.edit(&name, |bytes| bytes[at] ^= 8);
    }
    // Without indexes the segments are read whole, and the damage is found at once.
    for name in rig.names().iter().filter(|name| name.contains("index")) {
        rig.fs.remove(&Path::new(DIR).join(name)).unwrap();
    }
    let report = rig.reopen(Some(point), false);
    let found: Vec<_> = report
        .quarantined
        .iter()
        .map(|q| (q.first.0, q.end.0))
        .collect();
    assert_eq!(found, [(4, 5), (16, 17)]);
    rig.config.fetch_verify = Verify::Never;
    for _ in 0..2 {
        let report = rig.close_and_reopen();
        assert_eq!(report.quarantined, []);
        check_all_but(&rig, &[4, 16], "after a clean stop");
        let point = rig.log.recovery_point();
        let report = rig.reopen(Some(point), false);
        assert_eq!(report.quarantined, []);
        check_all_but(&rig, &[4, 16], "after a crash");
    }
    rig.append_simple(6, 300);
    check_all_but(&rig, &[4, 16], "after a roll");
}

#[test]
fn a_rebuilt_index_does_not_bless_rotten_headers() {
    let (mut rig, _) = synced_rig(small());
    rig.log.close(rig.now).unwrap();
    let point = rig.log.recovery_point();
    let file = log_file(8);
    // The leader epoch of the second batch: no checksum of the batch covers it.
    let at = rig.kept[8].bytes.len() + 15;
    rig.edit(&file, |bytes| bytes[at] ^= 1);
    for index in [
        "00000000000000000008.index",
        "00000000000000000008.timeindex",
    ] {
        rig.fs.remove(&Path::new(DIR).join(index)).unwrap();
    }
    let report = rig.reopen(Some(point), true);
    assert_eq!(report.rebuilt_indexes, 1);
    check_all_but(&rig, &[9], "the history says which epoch is wrong");
}

#[test]
fn a_sealed_segment_that_lost_its_end_or_its_file_answers_for_what_is_left() {
    let (mut rig, point) = synced_rig(small());
    let cut = rig.kept[4].bytes.len() + 100;
    rig.edit(&log_file(4), |bytes| bytes.truncate(cut));
    rig.fs.remove(&Path::new(DIR).join(log_file(8))).unwrap();
    let report = rig.reopen(Some(point), false);
    let found: Vec<_> = report
        .quarantined
        .iter()
        .map(|q| (q.first.0, q.end.0))
        .collect();
    assert_eq!(found, [(5, 8), (8, 12)]);
    let bad: Vec<i64> = (5..12).collect();
    check_all_but(&rig, &bad, "the end of one segment and all of the next");
    assert_eq!(rig.close_and_reopen().quarantined, []);
    check_all_but(&rig, &bad, "again");
}

#[test]
fn an_active_segment_shorter_than_the_recovery_point_keeps_its_offsets() {
    for left in [0, 1, 60, 351] {
        let (mut rig, point) = synced_rig(small());
        rig.edit(&log_file(16), |bytes| bytes.truncate(left));
        let report = rig.reopen(Some(point), false);
        assert_eq!(
            rig.log.marks().end(),
            Offset(18),
            "offsets are not given twice"
        );
        let first = if left < rig.kept[16].bytes.len() {
            16
        } else {
            17
        };
        let found: Vec<_> = report
            .quarantined
            .iter()
            .map(|q| (q.first.0, q.end.0))
            .collect();
        assert_eq!(found, [(first, 18)], "{left} bytes are left");
        let bad: Vec<i64> = (first..18).collect();
        rig.append_simple(2, 20);
        check_all_but(&rig, &bad, "the segment was sealed as it was");
        assert_eq!(rig.close_and_reopen().quarantined, []);
        check_all_but(&rig, &bad, "after a clean stop");
    }
}

#[test]
fn all_files_of_a_log_gone_is_a_log_that_goes_on_behind_them() {
    let (mut rig, point) = synced_rig(small());
    for name in rig.names().iter().filter(|name| name.ends_with(".log")) {
        rig.fs.remove(&Path::new(DIR).join(name)).unwrap();
    }
    let report = rig.reopen(Some(point), false);
    assert_eq!(rig.log.marks().end(), Offset(18));
    assert!(!report.quarantined.is_empty());
}

#[test]
fn always_verifying_finds_what_changed_after_the_first_read() {
    let (rig, _) = synced_rig(LogConfig {
        fetch_verify: Verify::Always,
        ..small()
    });
    rig.check();
    rig.edit(&log_file(4), |bytes| bytes[100] ^= 1);
    check_all_but(&rig, &[4], "sealed");
    let (first, _) = synced_rig(small());
    first.check();
    first.edit(&log_file(4), |bytes| bytes[100] ^= 1);
    let reader = first.log.reader();
    let slice = reader
        .read(Offset(4), 1, UpTo::Durable, Minimum::OneBatch)
        .unwrap();
    assert_ne!(
        slice.parts.concat(),
        first.kept[4].bytes,
        "checked once only"
    );
}

#[test]
fn bytes_that_come_back_right_are_believed_again() {
    let (mut rig, point) = synced_rig(small());
    for (file, at, bad) in [(log_file(4), 100, 4), (log_file(16), 100, 16)] {
        rig.reopen(Some(point.clone()), false);
        rig.edit(&file, |bytes| bytes[at] ^= 1);
        check_all_but(&rig, &[bad], "wrong");
        rig.edit(&file, |bytes| bytes[at] ^= 1);
        check_all_but(&rig, &[], "right");
    }
}

#[test]
fn a_last_segment_whose_file_is_gone_answers_an_error_for_what_it_held() {
    let (mut rig, point) = synced_rig(small());
    for name in rig.names() {
        if name.starts_with("00000000000000000016.") {
            rig.fs.remove(&Path::new(DIR).join(name)).unwrap();
        }
    }
    let report = rig.reopen(Some(point), true);
    assert_eq!(report.quarantined.len(), 1);
    assert_eq!(
        rig.log.marks().end(),
        Offset(18),
        "no offset is given twice"
    );
    let reader = rig.log.reader();
    for lost in [16, 17] {
        let read = reader.read(Offset(lost), 1, UpTo::Durable, Minimum::OneBatch);
        assert!(matches!(read, Err(LogError::Corrupt { .. })), "{read:?}");
    }
}

#[test]
fn a_rotten_leader_epoch_is_damage_at_the_second_start_too() {
    let mut rig = Rig::new(small());
    rig.append_simple(4, 10);
    let point = rig.sync();
    let places = places(&rig, 0, 4);
    let (position, second) = places[1].clone();
    let epoch = usize::try_from(position).unwrap() + 15;
    rig.edit(&log_file(0), |bytes| bytes[epoch] ^= 0x10);
    for start in ["first", "second"] {
        rig.reopen(Some(point.clone()), false);
        check_all_but(&rig, &[second.base], start);
        let history = rig.log.shared.view.load().epochs.clone();
        assert_eq!(history.entries(), [(LeaderEpoch(0), Offset(0))], "{start}");
    }
}
