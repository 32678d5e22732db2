//! Starts after a power cut: what the journal gives back, and what it must not.

use std::io::IoSlice;

use super::*;
use crate::fs::{Fs, OpenMode};

fn overwrite(fs: &ProbeFs, name: &str, position: u64, bytes: &[u8]) {
    let file = fs.open(&path(name), OpenMode::Append).unwrap();
    file.write_at(position, &[IoSlice::new(bytes)]).unwrap();
    file.sync().unwrap();
}

#[test]
fn journaled_batches_survive_a_power_cut() {
    let rig = Rig::new();
    rig.commit(&[A, B, C]);
    rig.commit(&[A, B]);
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    let before = rig.fs.contents(&path(
        "logs/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1/00000000000000000000.log",
    ));
    let rig = rig.cut_power();
    assert_eq!(rig.recovered.replayed_batches, 5);
    assert_eq!(
        (rig.readable(A), rig.readable(B), rig.readable(C)),
        (2, 2, 1)
    );
    assert_eq!(rig.marks(A), [2, 2, 2], "synced before anybody reads it");
    let after = rig.fs.contents(&path(
        "logs/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1/00000000000000000000.log",
    ));
    assert_eq!(after, before, "byte for byte");
    assert!(!rig.recovered.is_clean && !rig.recovered.is_new);
}

#[test]
fn recovering_twice_is_recovering_once() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    let first = Rig::on(rig.fs.without_power(), ShardConfig::default(), at(100_000));
    assert_eq!(first.recovered.replayed_batches, 2);
    let second = first.cut_power();
    assert_eq!(second.recovered.replayed_batches, 0);
    assert_eq!((second.readable(A), second.readable(B)), (1, 1));
}

#[test]
fn batches_that_a_log_has_are_not_appended_again() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.commit(&[A]);
    let rig = rig.cut_power();
    assert_eq!(
        rig.recovered.replayed_batches, 1,
        "that of B: A was synced after it"
    );
    assert_eq!((rig.readable(A), rig.readable(B)), (2, 1));
}

#[test]
fn a_removed_log_does_not_come_back() {
    let rig = Rig::new();
    rig.commit(&[A, C]);
    rig.shard.remove_log(C).unwrap();
    let rig = rig.cut_power();
    assert_eq!(rig.recovered.replayed_batches, 1);
    assert_eq!(rig.shard.log_ids(), [A, B, P]);
    assert!(!rig.names("logs").contains(&C.topic_dir()));
}

#[test]
fn a_torn_group_was_never_acknowledged_and_is_dropped_whole() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.commit(&[A, B]);
    let fs = rig.fs.without_power();
    // The last byte of the second group's second entry.
    let journal = fs.contents(&path(JOURNAL));
    let last = journal.iter().rposition(|byte| *byte != 0).unwrap();
    overwrite(&fs, JOURNAL, last as u64, &[journal[last] ^ 1]);
    let rig = Rig::on(fs, ShardConfig::default(), at(100_000));
    assert_eq!(rig.recovered.replayed_batches, 2);
    assert_eq!(rig.recovered.journal_damaged, 0);
    assert_eq!((rig.readable(A), rig.readable(B)), (1, 1));
}

#[test]
fn a_gap_is_reported_and_never_filled_later() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.commit(&[A, C]);
    let fs = rig.fs.without_power();
    // A byte of the first group: what A has in the second group does not continue its file.
    overwrite(&fs, JOURNAL, 4096 + 100, b"?");
    let rig = Rig::on(fs, ShardConfig::default(), at(100_000));
    assert_eq!(rig.recovered.journal_damaged, 1);
    let gap = JournalGap {
        log: A,
        end: Offset(0),
        journaled: Offset(1),
    };
    assert_eq!(rig.recovered.gaps, [gap]);
    assert_eq!(
        (rig.readable(A), rig.readable(B), rig.readable(C)),
        (0, 0, 1)
    );

    // A grows to where the lost batch began: the stale group must not fit again.
    rig.commit(&[A]);
    let rig = rig.cut_power();
    assert_eq!(rig.recovered.replayed_batches, 0);
    assert_eq!(rig.readable(A), 1);
}

#[test]
fn a_log_that_becomes_fsync_is_synced_before_the_journal_counts_on_it() {
    let rig = Rig::new();
    rig.enqueue(1, P, AckAt::Written);
    rig.shard.write_once();
    rig.answers.take_names();
    rig.shard.set_config(P, config_of(A)).unwrap();
    assert_eq!(rig.marks(P), [1, 1, 1]);
    rig.commit(&[A, P]);
    assert_eq!(rig.marks(P), [1, 2, 2]);
    let rig = rig.cut_power();
    assert_eq!(rig.recovered.gaps, []);
    assert_eq!(rig.readable(P), 2);
}

#[test]
fn a_start_that_records_deletes_is_never_above_what_survives() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.commit(&[A, B]);
    assert_eq!(
        rig.shard.delete_records(A, Offset(1), rig.now).unwrap(),
        Offset(1)
    );
    let too_far = rig.shard.delete_records(A, Offset(3), rig.now);
    assert!(matches!(too_far, Err(LogError::OutOfRange { .. })));
    let rig = rig.cut_power();
    let reader = rig.shard.reader(A).unwrap();
    assert_eq!((reader.start(), reader.end()), (Offset(1), Offset(2)));
}

#[test]
fn a_roll_between_two_cycles_leaves_no_gap() {
    let small = LogConfig {
        segment_bytes: 300,
        ..config_of(A)
    };
    let rig = Rig::new();
    rig.shard.set_config(A, small).unwrap();
    for _ in 0..8 {
        rig.commit(&[A, B]);
    }
    assert!(rig.shard.reader(A).unwrap().segments().len() > 1);
    let rig = rig.cut_power();
    assert_eq!(rig.recovered.gaps, []);
    assert_eq!((rig.readable(A), rig.readable(B)), (8, 8));
}

/// The names of a log's directory, of its files and of a segment behind a roll are synced before
/// a group that continues them goes into the journal.
#[test]
fn names_are_durable_before_the_journal_counts_on_them() {
    let rig = Rig::new();
    let small = LogConfig {
        segment_bytes: 300,
        ..config_of(A)
    };
    let dir = format!("logs/{}", "ee".repeat(16));
    let id = LogId {
        topic: [0xee; 16],
        partition: 0,
    };
    rig.shard
        .add_log(id, small, LeaderEpoch(0), rig.now)
        .unwrap();
    for made in ["logs".to_owned(), dir.clone(), format!("{dir}/0")] {
        assert!(rig.fs.take(Op::SyncDir, &made) > 0, "{made}");
    }
    let done = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&done);
    rig.fs.set_hook(move |op, path| {
        lock(&noted).push((op, path.to_owned()));
        Ok(())
    });
    for _ in 0..4 {
        rig.commit(&[id, B]);
    }
    let done = std::mem::take(&mut *lock(&done));
    let is_new = |path: &Path| {
        let name = path.to_str().unwrap();
        name.contains(&dir)
            && name.ends_with(".log")
            && !name.ends_with("/00000000000000000000.log")
    };
    let first_write = |(op, path): &(Op, PathBuf)| *op == Op::Write && is_new(path);
    let first = done.iter().position(first_write).expect("it was rolled");
    let named = (Op::SyncDir, path(&format!("{dir}/0")));
    assert!(done[..first].contains(&named), "{done:?}");
    let old_synced = |(op, path): &(Op, PathBuf)| {
        *op == Op::Sync
            && path
                .to_str()
                .unwrap()
                .ends_with("/00000000000000000000.log")
    };
    assert!(done[..first].iter().any(old_synced), "sealed means synced");
}

#[test]
fn a_direct_sync_covers_what_the_journal_holds_below_it() {
    let rig = Rig::new();
    rig.commit(&[A, B]);
    rig.commit(&[A]);
    assert_eq!(rig.marks(A), [2, 2, 2]);
    // The journal is lost with the batches of both: A has its own.
    let fs = rig.fs.without_power();
    overwrite(&fs, JOURNAL, 0, &[0; 64]);
    let rig = Rig::on(fs, ShardConfig::default(), at(100_000));
    assert_eq!((rig.readable(A), rig.readable(B)), (2, 0));
}

#[test]
fn every_cut_of_the_journal_leaves_whole_cycles() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.commit(&[A, B]);
    }
    let length = rig.fs.contents(&path(JOURNAL)).len();
    for cut in (0..length).step_by(61) {
        let fs = rig.fs.without_power();
        let file = fs.open(&path(JOURNAL), OpenMode::Append).unwrap();
        file.set_len(cut as u64).unwrap();
        let found = Rig::on(fs, ShardConfig::default(), at(100_000));
        let (a, b) = (found.readable(A), found.readable(B));
        assert_eq!(a, b, "a group was split at {cut}");
        let whole = i64::try_from((cut / 4096).saturating_sub(1)).unwrap();
        assert!(a >= whole, "cut at {cut}: {a} of {whole}");
    }
}
