//! Reads that pass over damage: what a repair gave up, and with `corrupt.read=skip` all of it.
//!
//! Floor 6 of log-core: tests.

use super::*;
use crate::config::CorruptRead;

/// Four segments of four batches, and two more batches in the active one; everything is synced.
fn synced_rig(config: LogConfig) -> (Rig, RecoveryPoint) {
    let mut rig = Rig::new(config);
    rig.append_simple(18, 280);
    assert_eq!(rig.log.reader().segments().len(), 5);
    let point = rig.sync();
    (rig, point)
}

fn skipping(config: LogConfig) -> LogConfig {
    LogConfig {
        corrupt_read: CorruptRead::Skip,
        ..config
    }
}

/// Flips a byte of the records of each batch; all batches of a segment have the same length.
fn damage(rig: &Rig, bad: &[i64]) {
    for base in bad {
        let (segment, slot) = (base / 4 * 4, usize::try_from(base % 4).unwrap());
        let bytes = rig.kept[0].bytes.len();
        rig.edit(&log_file(segment), |file| file[slot * bytes + 70] ^= 1);
    }
}

/// The bases of all batches that a reader gets from `from` on, which must be what was written.
fn read_all(rig: &Rig, from: i64, bytes_max: usize) -> Result<Vec<i64>, LogError> {
    let reader = rig.log.reader();
    let (mut next, mut bases) = (Offset(from), Vec::new());
    while next < reader.durable() {
        let slice = reader.read(next, bytes_max, UpTo::Durable, Minimum::OneBatch)?;
        assert!(slice.next_offset > next, "a reader gets on");
        let mut bytes = &slice.parts.concat()[..];
        while !bytes.is_empty() {
            let base = i64::from_be_bytes(bytes[..8].try_into().unwrap());
            let kept = rig.kept.iter().find(|kept| kept.base == base).unwrap();
            assert_eq!(bytes[..kept.bytes.len()], kept.bytes);
            bytes = &bytes[kept.bytes.len()..];
            bases.push(base);
        }
        next = slice.next_offset;
    }
    Ok(bases)
}

fn all_but(bad: &[i64]) -> Vec<i64> {
    (0..18).filter(|base| !bad.contains(base)).collect()
}

#[test]
fn a_reader_passes_over_damage_if_its_policy_says_so() {
    let places: [&[i64]; 6] = [&[0], &[5], &[7, 8], &[4, 5, 6, 7], &[15, 16, 17], &[2, 11]];
    for bad in places {
        for bytes_max in [1, 700, 1 << 20] {
            let (mut rig, point) = synced_rig(skipping(small()));
            damage(&rig, bad);
            rig.reopen(Some(point), true);
            let context = format!("{bad:?}, {bytes_max} bytes");
            assert_eq!(
                read_all(&rig, 0, bytes_max).unwrap(),
                all_but(bad),
                "{context}"
            );
            for base in bad {
                let behind = all_but(bad).into_iter().filter(|good| good > base);
                let found = read_all(&rig, *base, bytes_max).unwrap();
                assert_eq!(found, behind.collect::<Vec<_>>(), "{context} from {base}");
            }
        }
    }
}

#[test]
fn the_policy_holds_from_the_moment_it_is_set() {
    let (mut rig, point) = synced_rig(small());
    damage(&rig, &[5]);
    rig.reopen(Some(point), true);
    let error = read_all(&rig, 5, 1 << 20).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    rig.log.set_config(skipping(small())).unwrap();
    assert_eq!(read_all(&rig, 0, 1 << 20).unwrap(), all_but(&[5]));
    rig.log.set_config(small()).unwrap();
    read_all(&rig, 5, 1 << 20).unwrap_err();
}

#[test]
fn what_was_given_up_is_passed_over_whatever_the_policy_and_stays_so() {
    let places: [&[i64]; 4] = [&[5], &[0, 3], &[7, 8, 16], &[17]];
    for bad in places {
        let (mut rig, point) = synced_rig(small());
        damage(&rig, bad);
        rig.reopen(Some(point), true);
        let given_up = rig.log.give_up_damage(rig.now).unwrap();
        assert_eq!(given_up.len(), bad.len(), "{bad:?}: {given_up:?}");
        for (lost, base) in given_up.iter().zip(bad) {
            assert_eq!((lost.first.0, lost.end.0), (*base, base + 1));
            let copy = rig.fs.open(lost.copy.as_ref().unwrap(), OpenMode::Read);
            assert_eq!(copy.unwrap().len().unwrap(), lost.bytes);
        }
        assert_eq!(read_all(&rig, 0, 1 << 20).unwrap(), all_but(bad));
        assert_eq!(rig.log.give_up_damage(rig.now).unwrap(), [], "it is done");
        for is_clean in [false, true] {
            let mut point = rig.sync();
            if is_clean {
                rig.log.close(rig.now).unwrap();
                point = rig.log.recovery_point();
            }
            let report = rig.reopen(Some(point), is_clean);
            assert_eq!(report.quarantined, [], "{bad:?}: it was known");
            assert_eq!(read_all(&rig, 0, 300).unwrap(), all_but(bad));
        }
        // Without indexes everything is read again.
        for name in rig.names().iter().filter(|name| name.contains("index")) {
            rig.fs.remove(&Path::new(DIR).join(name)).unwrap();
        }
        let point = rig.sync();
        assert_eq!(rig.reopen(Some(point), false).quarantined, []);
        assert_eq!(read_all(&rig, 0, 300).unwrap(), all_but(bad));
    }
}

#[test]
fn damage_beside_a_hole_is_damage() {
    let (mut rig, point) = synced_rig(small());
    damage(&rig, &[5]);
    rig.reopen(Some(point), true);
    rig.log.give_up_damage(rig.now).unwrap();
    let point = rig.sync();
    damage(&rig, &[6]);
    rig.reopen(Some(point), false);
    let error = read_all(&rig, 4, 1).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    let given_up = rig.log.give_up_damage(rig.now).unwrap();
    assert_eq!((given_up.len(), given_up[0].first.0), (1, 6));
    assert_eq!(read_all(&rig, 0, 1).unwrap(), all_but(&[5, 6]));
}

#[test]
fn what_a_scrub_has_found_is_known_after_the_next_start() {
    let (mut rig, point) = synced_rig(small());
    damage(&rig, &[5]);
    rig.reopen(Some(point), true);
    let reader = rig.log.reader();
    let mut damaged = Vec::new();
    for base in reader.sealed_segments() {
        let mut scrub = reader.scrub(base).unwrap().unwrap();
        let (mut is_damaged, mut bytes) = (false, 0);
        loop {
            let step = scrub.step(300).unwrap();
            is_damaged |= step.is_damaged;
            bytes += step.bytes;
            if step.is_over {
                break;
            }
        }
        assert_eq!(bytes, rig.file(&log_file(base.0)).len() as u64);
        if is_damaged {
            damaged.push(base);
        }
    }
    assert_eq!(damaged, [Offset(4)]);
    let survey = reader.survey(Offset(4)).unwrap().unwrap();
    let noted = rig.log.note_damage(Offset(4), survey, rig.now).unwrap();
    assert_eq!((noted.len(), noted[0].first.0), (1, 5));
    assert!(
        reader.survey(Offset(4)).unwrap().is_none(),
        "it is noted once"
    );
    // The rest of the interval is as healthy as before.
    for base in [4, 6, 7] {
        let slice = reader.read(Offset(base), 1, UpTo::Durable, Minimum::OneBatch);
        assert_eq!(slice.unwrap().first_offset, Offset(base));
    }
    let point = rig.sync();
    let report = rig.reopen(Some(point), false);
    assert_eq!(report.quarantined, [], "the checkpoint has it");
    read_all(&rig, 5, 1).unwrap_err();
    assert_eq!(read_all(&rig, 6, 1 << 20).unwrap().len(), 12);
}

#[test]
fn an_old_index_is_not_met_with_new_damage() {
    // A recovery that found damage in a sealed segment dies before its checkpoint is in place.
    let (mut rig, point) = synced_rig(small());
    damage(&rig, &[5]);
    for name in [
        "00000000000000000004.index",
        "00000000000000000004.timeindex",
    ] {
        rig.fs.remove(&Path::new(DIR).join(name)).unwrap();
    }
    let checkpoint = rig.file("checkpoint").to_vec();
    rig.reopen(Some(point.clone()), false);
    rig.edit("checkpoint", |bytes| *bytes = checkpoint);
    rig.reopen(Some(point), false);
    for base in [4, 6, 7] {
        let reader = rig.log.reader();
        let slice = reader.read(Offset(base), 1, UpTo::Durable, Minimum::OneBatch);
        assert_eq!(slice.unwrap().first_offset, Offset(base));
    }
}

/// As a write that went elsewhere leaves it: right batches may stand where they do not belong.
#[test]
fn after_any_copied_chunk_a_repair_leaves_nothing_that_answers_an_error() {
    let mut rng = 7_u64;
    let mut below = |limit: usize| {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(rng >> 33).unwrap() % limit
    };
    for case in 0..300 {
        let (mut rig, point) = synced_rig(small());
        let file = log_file([4, 8, 16][below(3)]);
        let len = rig.file(&file).len();
        let (from, to) = (below(len), below(len));
        let size = below(len - from.max(to));
        rig.edit(&file, |bytes| bytes.copy_within(from..from + size, to));
        rig.reopen(Some(point), true);
        let context = format!("case {case}: {size} bytes of {file} from {from} to {to}");
        rig.log
            .give_up_damage(rig.now)
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        for bytes_max in [1, 1 << 20] {
            for base in 0..18 {
                read_all(&rig, base, bytes_max)
                    .unwrap_or_else(|error| panic!("{context}, from {base}: {error}"));
            }
        }
        let point = rig.sync();
        rig.reopen(Some(point), true);
        for base in 0..18 {
            read_all(&rig, base, 1)
                .unwrap_or_else(|error| panic!("{context}, again from {base}: {error}"));
        }
    }
}

/// Several right batches in a row that stand too early must not hide the healthy ones behind them.
#[test]
fn copied_batches_hide_no_healthy_ones() {
    let small = LogConfig {
        segment_bytes: 4000,
        index_interval_bytes: 500,
        ..small()
    };
    let mut rig = Rig::new(small);
    rig.append_simple(30, 40);
    let point = rig.sync();
    let bytes = rig.kept[0].bytes.len();
    let file = log_file(0);
    let batches = rig.file(&file).len() / bytes;
    assert!(batches > 20, "{batches}");
    // Batches 12 and 13 over the middle of 3 to the middle of 5.
    let middle = 3 * bytes + bytes / 2;
    rig.edit(&file, |all| all.copy_within(12 * bytes..14 * bytes, middle));
    rig.reopen(Some(point), true);
    let given_up = rig.log.give_up_damage(rig.now).unwrap();
    let lost: Vec<_> = given_up
        .iter()
        .map(|lost| (lost.first.0, lost.end.0))
        .collect();
    assert_eq!(lost, [(3, 6)]);
    let left: Vec<i64> = (0..30).filter(|base| !(3..6).contains(base)).collect();
    assert_eq!(read_all(&rig, 0, 1 << 20).unwrap(), left);
}
