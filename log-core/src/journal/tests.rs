//! The journal on a disk in memory: what is replayed, and what is never replayed.
//!
//! Floor 5 of log-core.

use highwater_proto::clock::{Mono, Wall};
use proptest::prelude::*;

use super::*;
use crate::fs::mem::MemFs;

const DIR: &str = "/d";

fn log(number: u8) -> LogId {
    LogId {
        topic: [number; 16],
        partition: u32::from(number),
    }
}

fn stored(fill: u8, bytes: usize) -> Stored {
    Stored {
        prefix: [fill; PREFIX_BYTES],
        rest: Bytes::from(vec![fill; bytes]),
    }
}

fn disk() -> MemFs {
    let fs = MemFs::new();
    fs.create_dir(Path::new(DIR)).unwrap();
    fs
}

fn open_at(fs: &MemFs, bytes_max: u64, mono: u64) -> Journal {
    let now = Now {
        mono: Mono(mono),
        wall: Wall(7),
    };
    Journal::open(
        Arc::new(fs.clone()),
        Path::new(DIR),
        bytes_max,
        OpenMode::Recover,
        now,
    )
    .unwrap()
}

fn open(fs: &MemFs) -> Journal {
    open_at(fs, 1 << 20, 0)
}

/// Appends one group of one batch a log.
fn append(journal: &mut Journal, batches: &[(u8, Stored)]) -> bool {
    let entries: Vec<_> = batches
        .iter()
        .map(|(number, stored)| JournalEntry {
            log: log(*number),
            end: Offset(i64::from(stored.prefix[0])),
            batches: std::slice::from_ref(stored),
        })
        .collect();
    journal.append(&entries).unwrap()
}

fn replay(fs: &MemFs) -> (Vec<(LogId, u8, usize)>, Replayed) {
    let mut seen = Vec::new();
    let replayed = open(fs)
        .replay(&mut |log, batch| {
            assert!(
                batch.iter().all(|byte| *byte == batch[0]),
                "a batch was mixed up"
            );
            seen.push((log, batch[0], batch.len() - PREFIX_BYTES));
            Ok(())
        })
        .unwrap();
    (seen, replayed)
}

fn file(fs: &MemFs, index: usize) -> Arc<dyn File> {
    fs.open(
        &Path::new(DIR).join(format!("journal-{index}")),
        OpenMode::Append,
    )
    .unwrap()
}

fn names(fs: &MemFs) -> Vec<String> {
    fs.list(Path::new(DIR)).unwrap()
}

#[test]
fn groups_are_replayed_in_order_across_both_files() {
    let fs = disk();
    let mut journal = open(&fs);
    assert!(names(&fs).is_empty(), "no file before its first use");
    assert!(append(
        &mut journal,
        &[(1, stored(1, 10)), (2, stored(2, 5000))]
    ));
    assert!(append(&mut journal, &[(1, stored(3, 0))]));
    assert!(journal.rotate());
    assert_eq!(
        journal.ended().unwrap(),
        [(log(1), Offset(3)), (log(2), Offset(2))]
    );
    assert!(append(&mut journal, &[(3, stored(4, 1))]));
    let (seen, replayed) = replay(&fs);
    assert_eq!(
        seen,
        [
            (log(1), 1, 10),
            (log(2), 2, 5000),
            (log(1), 3, 0),
            (log(3), 4, 1)
        ]
    );
    assert_eq!(
        replayed,
        Replayed {
            groups: 3,
            damaged: 0
        }
    );
}

#[test]
fn a_file_is_used_again_only_when_it_is_freed() {
    let fs = disk();
    let mut journal = open_at(&fs, 3 * BLOCK_BYTES, 0);
    for fill in 1..=4 {
        assert!(
            append(&mut journal, &[(1, stored(fill, 9))]),
            "both files have room for two"
        );
    }
    assert!(
        !append(&mut journal, &[(1, stored(5, 9))]),
        "neither file is free"
    );
    assert!(!journal.rotate());
    journal.free();
    assert!(append(&mut journal, &[(1, stored(6, 9))]));
    let fills: Vec<_> = replay(&fs).0.iter().map(|(_, fill, _)| *fill).collect();
    assert_eq!(
        fills,
        [3, 4, 6],
        "the newest life comes last, and the overwritten one is gone"
    );
    assert_eq!(
        file(&fs, 0).len().unwrap(),
        3 * BLOCK_BYTES,
        "the file did not grow again"
    );
}

#[test]
fn what_does_not_fit_into_a_file_is_refused_without_a_trace() {
    let fs = disk();
    let mut journal = open_at(&fs, 3 * BLOCK_BYTES, 0);
    assert!(!append(&mut journal, &[(1, stored(1, 2 * 4096))]));
    assert!(names(&fs).is_empty());
    assert!(!journal.rotate() && journal.ended().is_none());
    assert!(
        !append(&mut open_at(&fs, 0, 0), &[(1, stored(1, 1))]),
        "no journal at all"
    );
}

#[test]
fn a_group_that_is_damaged_in_the_middle_of_a_life_is_told_from_its_end() {
    let fs = disk();
    let mut journal = open(&fs);
    for fill in 1..=3 {
        assert!(append(&mut journal, &[(fill, stored(fill, 100))]));
    }
    file(&fs, 0)
        .write_at(2 * BLOCK_BYTES + 60, &[IoSlice::new(b"?")])
        .unwrap();
    let (seen, replayed) = replay(&fs);
    assert_eq!(seen, [(log(1), 1, 100), (log(3), 3, 100)]);
    assert_eq!(
        replayed,
        Replayed {
            groups: 2,
            damaged: 1
        }
    );
    file(&fs, 0)
        .write_at(3 * BLOCK_BYTES + 60, &[IoSlice::new(b"?")])
        .unwrap();
    assert_eq!(
        replay(&fs).1,
        Replayed {
            groups: 1,
            damaged: 0
        },
        "a torn end"
    );
}

#[test]
fn a_group_is_not_replayed_again_where_a_write_went_astray() {
    let fs = disk();
    let mut journal = open(&fs);
    for fill in 1..=3 {
        assert!(append(&mut journal, &[(1, stored(fill, 100))]));
    }
    let first = file(&fs, 0).read_at(BLOCK_BYTES, 4096).unwrap();
    file(&fs, 0)
        .write_at(3 * BLOCK_BYTES, &[IoSlice::new(&first)])
        .unwrap();
    assert_eq!(replay(&fs).0, [(log(1), 1, 100), (log(1), 2, 100)]);
}

#[test]
fn reset_makes_every_group_unreadable() {
    let fs = disk();
    let mut journal = open(&fs);
    assert!(append(&mut journal, &[(1, stored(1, 100))]));
    assert!(journal.rotate());
    assert!(append(&mut journal, &[(1, stored(2, 100))]));
    let mut again = open_at(&fs, 1 << 20, 9);
    again.reset().unwrap();
    assert_eq!(replay(&fs), (vec![], Replayed::default()));
    assert!(append(&mut again, &[(1, stored(3, 100))]));
    assert_eq!(replay(&fs).0, [(log(1), 3, 100)]);
}

#[test]
fn groups_of_an_older_life_do_not_follow_those_of_a_younger_one() {
    let fs = disk();
    let mut journal = open_at(&fs, 6 * BLOCK_BYTES, 0);
    for fill in 1..=5 {
        assert!(append(&mut journal, &[(1, stored(fill, 100))]));
    }
    assert!(journal.rotate());
    assert!(append(&mut journal, &[(1, stored(6, 100))]));
    journal.free();
    assert!(journal.rotate());
    assert!(
        append(&mut journal, &[(1, stored(7, 100))]),
        "over the first of the five"
    );
    let fills: Vec<_> = replay(&fs).0.iter().map(|(_, fill, _)| *fill).collect();
    assert_eq!(fills, [6, 7]);
}

#[test]
fn the_same_life_number_after_a_lost_header_has_another_salt() {
    let fs = disk();
    let mut journal = open_at(&fs, 1 << 20, 1);
    for fill in 1..=3 {
        assert!(append(&mut journal, &[(1, stored(fill, 100))]));
    }
    file(&fs, 0).write_at(9, &[IoSlice::new(b"?")]).unwrap();
    let mut again = open_at(&fs, 1 << 20, 2);
    assert_eq!(again.next_number, 1, "nothing tells that there was a life");
    assert!(append(&mut again, &[(1, stored(9, 100))]));
    assert_eq!(replay(&fs).0, [(log(1), 9, 100)]);
}

fn fill(journal: &mut Journal) -> bool {
    let Some(mut filling) = journal.begin_filling() else {
        return false;
    };
    filling.run().unwrap();
    journal.end_filling(filling);
    true
}

#[test]
fn the_free_file_is_filled_for_the_life_that_follows() {
    let fs = disk();
    let mut journal = open_at(&fs, 6 << 20, 0);
    assert!(!fill(&mut journal), "nobody uses the journal");
    assert!(append(&mut journal, &[(1, stored(1, 10))]));
    assert!(fill(&mut journal));
    assert!(!fill(&mut journal), "it is long enough");
    assert_eq!(file(&fs, 1).len().unwrap(), 128 << 10);
    assert_eq!(file(&fs, 0).len().unwrap(), 2 * BLOCK_BYTES, "in use");
    assert!(journal.rotate());
    assert!(append(&mut journal, &[(2, stored(2, 100_000))]));
    assert_eq!(file(&fs, 1).len().unwrap(), 128 << 10, "it did not grow");
    journal.free();
    assert!(fill(&mut journal));
    assert_eq!(file(&fs, 0).len().unwrap(), 256 << 10, "twice that life");
    let (seen, replayed) = replay(&fs);
    assert_eq!(seen, [(log(1), 1, 10), (log(2), 2, 100_000)]);
    assert_eq!(replayed.damaged, 0);
    // Up to the largest size, and no further.
    assert!(append(&mut journal, &[(2, stored(3, 4_000_000))]));
    assert!(fill(&mut journal));
    assert_eq!(file(&fs, 0).len().unwrap(), 6 << 20);
}

#[test]
fn a_file_is_not_used_while_it_is_filled() {
    let fs = disk();
    let mut journal = open_at(&fs, 3 * BLOCK_BYTES, 0);
    assert!(append(&mut journal, &[(1, stored(1, 9))]));
    let mut filling = journal.begin_filling().unwrap();
    assert!(journal.begin_filling().is_none(), "one at a time");
    assert!(append(&mut journal, &[(1, stored(2, 9))]));
    assert!(!append(&mut journal, &[(1, stored(3, 9))]) && !journal.rotate());
    filling.run().unwrap();
    journal.end_filling(filling);
    assert!(append(&mut journal, &[(1, stored(4, 9))]));
    let fills: Vec<_> = replay(&fs).0.iter().map(|(_, fill, _)| *fill).collect();
    assert_eq!(fills, [1, 2, 4]);
}

#[test]
fn a_file_that_a_crash_cut_within_a_block_is_filled_without_a_hole() {
    let fs = disk();
    fs.create(&Path::new(DIR).join("journal-1"))
        .unwrap()
        .write_at(0, &[IoSlice::new(&[7; 5000])])
        .unwrap();
    let mut journal = open(&fs);
    assert!(append(&mut journal, &[(1, stored(1, 9))]));
    assert!(fill(&mut journal));
    let bytes = file(&fs, 1).read_at(0, 2 << 20).unwrap();
    assert_eq!(bytes.len(), 128 << 10);
    assert!(bytes[..5000].iter().all(|byte| *byte == 7));
    assert!(bytes[5000..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_newer_format_is_refused() {
    let fs = disk();
    let file = fs.create(&Path::new(DIR).join("journal-0")).unwrap();
    let header = crate::envelope::wrap(b"HWJOURN\0", 2, &[0; 16]);
    file.write_at(0, &[IoSlice::new(&header)]).unwrap();
    let fs: Arc<dyn Fs> = Arc::new(fs);
    let opened = Journal::open(
        fs,
        Path::new(DIR),
        1 << 20,
        OpenMode::Recover,
        Now::default(),
    );
    assert!(matches!(opened, Err(LogError::TooNew { .. })));
}

proptest! {
    /// Whatever happens to the bytes of a file, what is replayed is what was appended, in order,
    /// and each group is whole.
    #[test]
    fn damage_never_invents_or_splits_a_group(
        groups in prop::collection::vec(
            prop::collection::vec((1..5_u8, 0..6000_usize), 1..4), 1..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let fs = disk();
        let mut journal = open(&fs);
        let mut appended = Vec::new();
        for (fill, group) in groups.iter().enumerate() {
            let fill = u8::try_from(fill + 1).unwrap();
            let batches: Vec<_> =
                group.iter().map(|(log, bytes)| (*log, stored(fill, *bytes))).collect();
            prop_assert!(append(&mut journal, &batches));
            appended.push(batches.iter().map(|(number, b)| (log(*number), fill, b.rest.len()))
                .collect::<Vec<_>>());
        }
        let file = file(&fs, 0);
        let length = usize::try_from(file.len().unwrap()).unwrap();
        for (at, byte) in damage {
            file.write_at(at.index(length) as u64, &[IoSlice::new(&[byte])]).unwrap();
        }
        if let Some(cut) = cut {
            file.set_len(cut.index(length) as u64).unwrap();
        }
        let mut left = appended.iter();
        let seen = replay(&fs).0;
        for group in seen.chunk_by(|a, b| a.1 == b.1) {
            prop_assert!(left.any(|appended| appended == group), "{:?} was not appended", group);
        }
    }
}
