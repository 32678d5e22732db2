//! Unclean stops: what is above the recovery point is taken as far as it continues the log.
//!
//! Floor 6 of log-core: tests.

use super::*;
use crate::checkpoint::LogCheckpoint;
use crate::index_file;
use crate::index_file::IndexKind;
use crate::index_file::frame;
use crate::recovery::CHECKPOINT_FILE;
use crate::time_index::TimeEntry;
use crate::time_index::TimeIndex;

/// Three batches below the recovery point and `above` more.
fn torn_rig(above: usize) -> (Rig, RecoveryPoint) {
    let mut rig = Rig::new(LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    rig.append_simple(3, 100);
    let point = rig.sync();
    rig.append_simple(above, 40);
    (rig, point)
}

fn quarantined_files(rig: &Rig) -> Vec<Bytes> {
    let dir = Path::new("/quarantine");
    let names = rig.fs.list(dir).unwrap_or_default();
    let files = names
        .iter()
        .map(|name| rig.fs.open(&dir.join(name), OpenMode::Read).unwrap());
    files
        .map(|file| file.read_at(0, usize::MAX).unwrap())
        .collect()
}

#[test]
fn a_file_cut_anywhere_above_the_point_ends_at_its_last_whole_batch() {
    let (whole, point) = torn_rig(3);
    let bytes = whole.file(&log_file(0));
    let below = usize::try_from(point.position.0).unwrap();
    for left in below..=bytes.len() {
        let (mut rig, point) = torn_rig(3);
        rig.edit(&log_file(0), |bytes| bytes.truncate(left));
        let report = rig.reopen(Some(point), false);
        let mut kept_bytes = 0;
        rig.kept.retain(|kept| {
            kept_bytes += kept.bytes.len();
            kept_bytes <= left
        });
        let kept_bytes: usize = rig.kept.iter().map(|kept| kept.bytes.len()).sum();
        assert_eq!(
            report.torn_bytes,
            (left - kept_bytes) as u64,
            "{left} bytes are left"
        );
        assert_eq!(report.quarantined, [], "a torn batch is no damage");
        assert_eq!(report.batches_scanned, rig.kept.len() as u64 - 3);
        assert_eq!(
            rig.file(&log_file(0)).len(),
            kept_bytes,
            "no fragment stays"
        );
        rig.check();
        let again = rig.log.recovery_point();
        assert_eq!(
            rig.reopen(Some(again), false).torn_bytes,
            0,
            "twice is once"
        );
        rig.append_simple(1, 5);
        rig.check();
    }
}

#[test]
fn a_flipped_bit_above_the_point_ends_the_log_and_keeps_a_copy() {
    let (whole, point) = torn_rig(3);
    let bytes = whole.file(&log_file(0));
    let below = usize::try_from(point.position.0).unwrap();
    for at in below..bytes.len() {
        let (mut rig, point) = torn_rig(3);
        rig.edit(&log_file(0), |bytes| bytes[at] ^= 1 << (at % 8));
        let damaged = rig.file(&log_file(0));
        let report = rig.reopen(Some(point), false);
        let mut end = 0;
        rig.kept.retain(|kept| {
            end += kept.bytes.len();
            end <= at
        });
        let kept_bytes: usize = rig.kept.iter().map(|kept| kept.bytes.len()).sum();
        let within = at - kept_bytes;
        let hit_last = rig.kept.len() == 5;
        if (12..16).contains(&within) {
            // Nothing says which epoch a batch above the point had: if it rose, the batch is
            // taken, and the next one ends the log, of which the copy has everything.
            let cut = usize::try_from(report.torn_bytes).unwrap();
            assert_eq!(
                rig.file(&log_file(0)),
                damaged[..damaged.len() - cut],
                "byte {at}"
            );
            let copied: usize = quarantined_files(&rig).iter().map(Bytes::len).sum();
            assert!(copied == cut || hit_last, "byte {at}");
            continue;
        }
        assert_eq!(rig.file(&log_file(0)).len(), kept_bytes, "byte {at}");
        let copies = quarantined_files(&rig);
        let expected: &[Bytes] = &[damaged.slice(kept_bytes..)];
        // A batch that is right in itself, but says another offset, is kept, too.
        assert!(
            copies == expected || (hit_last && copies.is_empty()),
            "byte {at}"
        );
        assert_eq!(report.quarantined.len(), copies.len(), "byte {at}");
        rig.check();
    }
}

#[test]
fn a_batch_that_does_not_continue_the_log_ends_it() {
    let stale = |base: i64, epoch: i32| {
        let template = batch(&[1], 30, Codec::None);
        let length = template.header().batch_length;
        let prefix = highwater_proto::batch::prefix(base, length, epoch);
        [&prefix[..], &template.bytes()[16..]].concat()
    };
    for (base, epoch, is_taken) in [
        (3, 2, true),
        (3, 3, true),
        (3, 1, false),
        (2, 2, false),
        (4, 2, false),
    ] {
        let mut rig = Rig::new(small());
        rig.log.raise_epoch(LeaderEpoch(2));
        rig.append_simple(3, 30);
        let point = rig.sync();
        rig.edit(&log_file(0), |bytes| bytes.extend(stale(base, epoch)));
        let report = rig.reopen(Some(point), false);
        assert_eq!(
            rig.log.marks().end().0 == 4,
            is_taken,
            "offset {base}, epoch {epoch}"
        );
        assert_eq!(report.torn_bytes > 0, !is_taken);
    }
}

#[test]
fn zeros_behind_the_log_are_cut_off() {
    let (mut rig, point) = torn_rig(1);
    rig.edit(&log_file(0), |bytes| bytes.resize(bytes.len() + 5000, 0));
    let report = rig.reopen(Some(point), false);
    assert_eq!((report.torn_bytes, report.quarantined.len()), (5000, 0));
    rig.check();
}

#[test]
fn every_cache_may_be_missing_or_damaged() {
    let mut rig = Rig::new(small());
    rig.append_simple(14, 280);
    let point = rig.sync();
    rig.log.close(rig.now).unwrap();
    let names: Vec<String> = rig
        .names()
        .into_iter()
        .filter(|name| !name.ends_with(".log"))
        .collect();
    assert_eq!(
        names.len(),
        10,
        "indexes of four segments, checkpoint, snapshot: {names:?}"
    );
    for clean in [true, false] {
        for name in &names {
            let good = rig.file(name);
            for damage in ["missing", "empty", "cut", "flipped"] {
                match damage {
                    "missing" => rig.fs.remove(&Path::new(DIR).join(name)).unwrap(),
                    "empty" => rig.edit(name, Vec::clear),
                    "cut" => rig.edit(name, |bytes| bytes.truncate(good.len() - 1)),
                    _ => rig.edit(name, |bytes| bytes[good.len() / 2] ^= 4),
                }
                let report = rig.reopen(Some(point.clone()), clean);
                assert_eq!(
                    (report.torn_bytes, report.quarantined),
                    (0, Vec::new()),
                    "{name}"
                );
                rig.check();
                rig.log.close(rig.now).unwrap();
                let repaired = rig.reopen(Some(point.clone()), true);
                assert_eq!(repaired.torn_bytes, 0, "{name} {damage}");
                rig.check();
                rig.log.close(rig.now).unwrap();
            }
        }
    }
}

#[test]
fn a_clean_start_reads_nothing_and_writes_nothing() {
    let mut rig = Rig::new(small());
    rig.append_simple(14, 280);
    rig.log.close(rig.now).unwrap();
    let point = rig.log.recovery_point();
    let files: Vec<_> = rig
        .names()
        .iter()
        .map(|name| (name.clone(), rig.file(name)))
        .collect();
    let report = rig.reopen(Some(point), true);
    assert_eq!(report, Recovered::default());
    let after: Vec<_> = rig
        .names()
        .iter()
        .map(|name| (name.clone(), rig.file(name)))
        .collect();
    assert_eq!(files, after);
}

#[test]
fn an_older_recovery_point_costs_a_longer_scan_only() {
    let mut rig = Rig::new(small());
    let mut points = vec![None, Some(rig.log.recovery_point())];
    for _ in 0..9 {
        rig.append_simple(2, 200);
        points.push(Some(rig.sync()));
    }
    for point in points {
        let report = rig.reopen(point, false);
        assert_eq!((report.torn_bytes, report.quarantined), (0, Vec::new()));
        rig.check();
    }
}

#[test]
fn a_journal_is_replayed_onto_what_the_files_lost() {
    let (mut rig, point) = torn_rig(4);
    rig.edit(&log_file(0), |bytes| {
        bytes.truncate(usize::try_from(point.position.0).unwrap() + 20);
    });
    rig.reopen(Some(point), false);
    for kept in &rig.kept[3..] {
        rig.log
            .append_recovered(kept.bytes.clone().into(), rig.now)
            .unwrap();
    }
    rig.check();
    let gap = Bytes::from(rig.kept[0].bytes.clone());
    let error = rig.log.append_recovered(gap, rig.now).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
}

#[test]
fn a_roll_that_did_not_come_to_its_end_is_taken_back_or_completed() {
    // The new file is there, the checkpoint is not.
    let (mut rig, point) = torn_rig(2);
    rig.fs.create(&Path::new(DIR).join(log_file(5))).unwrap();
    rig.reopen(Some(point.clone()), false);
    assert_eq!(rig.log.reader().segments().len(), 1);
    rig.check();
    // The checkpoint is there, the new file is not.
    rig.log.roll(rig.now).unwrap();
    rig.fs.remove(&Path::new(DIR).join(log_file(5))).unwrap();
    let report = rig.reopen(Some(point), false);
    assert_eq!(report.quarantined, []);
    assert_eq!(rig.log.reader().segments().len(), 2);
    rig.append_simple(1, 10);
    rig.check();
}

#[test]
fn temporary_and_orphaned_files_are_removed_and_others_are_left() {
    let mut rig = Rig::new(small());
    rig.append_simple(5, 280);
    for name in ["checkpoint.tmp", "00000000000000000099.index", "notes.txt"] {
        rig.fs.create(&Path::new(DIR).join(name)).unwrap();
    }
    rig.reopen(None, false);
    let names = rig.names();
    assert!(names.contains(&"notes.txt".to_owned()));
    assert!(
        !names
            .iter()
            .any(|name| name.contains("tmp") || name.contains("99.index"))
    );
}

#[test]
fn a_log_of_a_newer_version_is_refused() {
    let rig = Rig::new(small());
    let newer = crate::envelope::wrap(b"HWCHECK\0", 9, b"");
    rig.edit("checkpoint", |bytes| *bytes = newer.to_vec());
    let start = RecoveryStart {
        point: None,
        clean: false,
        ..RecoveryStart::unknown(ID)
    };
    let disk = Arc::new(rig.fs.clone());
    let error = Log::open(disk, PathBuf::from(DIR), small(), start, rig.now).unwrap_err();
    assert!(matches!(error, LogError::TooNew { .. }), "{error}");
}

/// A disk that writes a whole checkpoint to the place of another log's: its start, once believed,
/// removed the segments of this one.
#[test]
fn a_checkpoint_of_another_log_is_not_believed() {
    let mut rig = Rig::new(small());
    rig.append_simple(40, 100);
    let point = rig.sync();
    assert!(rig.log.reader().segments().len() > 3);
    let foreign = LogCheckpoint {
        start: Offset(rig.kept[30].base),
        ..LogCheckpoint::default()
    };
    let owner = LogId { partition: 1, ..ID };
    rig.edit(CHECKPOINT_FILE, |bytes| {
        *bytes = foreign.encode(owner).to_vec();
    });
    rig.reopen(Some(point), false);
    rig.check();
}

/// The next entry would have had to go behind them, and that was an assertion.
#[test]
fn times_that_the_log_has_not_reached_are_not_believed() {
    for clean in [true, false] {
        let mut rig = Rig::new(LogConfig {
            segment_bytes: 1 << 20,
            ..small()
        });
        rig.append_simple(40, 100);
        rig.log.close(rig.now).unwrap();
        let point = rig.log.recovery_point();
        rig.edit("00000000000000000000.timeindex", |bytes| {
            let saved = index_file::parse(IndexKind::Time, Bytes::from(bytes.clone()));
            let mut later = TimeIndex::default();
            for entry in TimeIndex::decode(saved.entries).entries() {
                let timestamp = entry.timestamp + 1_000_000;
                later.push(TimeEntry {
                    timestamp,
                    ..*entry
                });
            }
            assert!(later.entries().len() > 1);
            *bytes = frame(IndexKind::Time, &later.encode_from(0)).to_vec();
        });
        rig.reopen(Some(point), clean);
        rig.append_simple(40, 100);
        rig.check();
    }
}

/// They were, where they fit: by their length, and by times that lie in the past.
#[test]
fn indexes_of_another_segment_are_not_believed() {
    for clean in [true, false] {
        let mut rig = Rig::new(small());
        for step in 0..40 {
            rig.append(&[batch(&[1000 + step], 100, Codec::None)]);
        }
        rig.log.close(rig.now).unwrap();
        let point = rig.log.recovery_point();
        let mut bases: Vec<_> = rig.names().into_iter().collect();
        bases.retain(|name| name.ends_with(".log"));
        bases.sort();
        let stem = |slot: usize| bases[slot].trim_end_matches(".log").to_owned();
        for end in ["index", "timeindex"] {
            let other = rig.file(&format!("{}.{end}", stem(0)));
            rig.edit(&format!("{}.{end}", stem(1)), |bytes| {
                *bytes = other.to_vec()
            });
        }
        let times = rig.file(&format!("{}.timeindex", stem(0)));
        let times = index_file::parse(IndexKind::Time, times);
        let active = format!("{}.timeindex", stem(bases.len() - 1));
        rig.edit(&active, |bytes| {
            *bytes = frame(IndexKind::Time, &times.entries).to_vec();
        });
        rig.reopen(Some(point), clean);
        rig.check();
        for step in 0..40 {
            let hit = rig.log.reader().find_time(1000 + step).unwrap();
            assert_eq!(hit.unwrap().offset, Offset(step), "clean: {clean}");
        }
    }
}
