//! Tests of the key index by itself: its files, and the memory that it takes.

use super::entry::floor_of;
use super::*;
use crate::fs::OpenMode;
use crate::fs::mem::MemFs;

const DIR: &str = "/log";
const LOG: LogId = LogId {
    topic: [5; 16],
    partition: 3,
};

/// All is synced.
const ALL: Offset = Offset(i64::MAX);

fn index(segment_bytes: u64) -> (MemFs, KeyIndex) {
    let fs = MemFs::new();
    fs.create_dir(Path::new(DIR)).unwrap();
    let (disk, dir) = (Arc::new(fs.clone()), Arc::from(Path::new(DIR)));
    let seed = KeySeed([2; 16]);
    (fs, KeyIndex::new(disk, dir, LOG, seed, segment_bytes))
}

fn entry(key: KeyHash, revision: u32, offset: i64) -> Entry {
    Entry {
        key,
        revision,
        offset: Offset(offset),
        position: u32::try_from(offset % 1000).unwrap(),
        is_tombstone: offset % 7 == 0,
    }
}

#[test]
fn one_key_may_fill_many_blocks() {
    let (_, index) = index(1 << 40);
    let [low, high] = [KeyHash(u128::MAX / 2 - 1), KeyHash(u128::MAX / 2 + 1)];
    let heavy = KeyHash(u128::MAX / 2);
    let mut offset = 0..;
    let mut next = || offset.next().unwrap();
    index.note([low, high].into_iter().map(|key| entry(key, 0, next())));
    index.note((0..5_000).map(|revision| entry(heavy, revision, next())));
    index.spill(Offset(next())).unwrap();
    assert_eq!((index.size().runs, index.size().recent_entries), (1, 0));
    assert_eq!(index.head(heavy).unwrap().unwrap().revision, 4_999);
    for key in [low, high] {
        assert_eq!(index.head(key).unwrap().unwrap().revision, 0);
        assert_eq!(index.since(key, 1, 9).unwrap(), []);
    }
    for from in [0, 1, 126, 127, 128, 2_500, 4_998, 4_999, 5_000] {
        let found = index.since(heavy, from, 300).unwrap();
        let wanted: Vec<u32> = (from..5_000).take(300).collect();
        let revisions: Vec<u32> = found.iter().map(|entry| entry.revision).collect();
        assert_eq!(revisions, wanted, "from {from}");
    }
}

#[test]
fn to_be_prepared_waits_for_nobody_who_notes() {
    let (fs, index) = index(1 << 40);
    let [old, new] = [KeyHash(7), KeyHash(8)];
    index.note([entry(old, 0, 0)].into_iter());
    index.spill(Offset(1)).unwrap();
    index.note([entry(new, 0, 1)].into_iter());
    let noting = index.recent_mut();
    for key in [old, new] {
        index.prepare(key).unwrap();
    }
    drop(noting);
    // It is known now: no file is read.
    let path = index.runs()[0].path().to_owned();
    let file = fs.open(&path, OpenMode::Append).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(index.head(old).unwrap().unwrap().offset, Offset(0));
    assert_eq!(index.head(new).unwrap().unwrap().offset, Offset(1));
}

/// A sync of an earlier life may have failed, and taken the pages for clean: found by seed 7623 of
/// the torture's `key-seeds`.
#[test]
fn what_an_earlier_life_left_is_written_anew_before_a_sync_counts() {
    let (fs, before) = index(1 << 40);
    let key = KeyHash(7);
    before.note((0..300).map(|revision| entry(key, revision, revision.into())));
    before.spill(Offset(300)).unwrap();
    let path = Path::new(DIR).join(before.cover(Offset(0), Offset(300)).file_name());
    let open = || Run::open(&fs, &path, LOG).unwrap().unwrap();
    assert!(open().is_left());
    let (disk, dir) = (Arc::new(fs.clone()), Arc::from(Path::new(DIR)));
    let index = KeyIndex::new(disk, dir, LOG, before.seed(), 1 << 40);
    index.take_run(open()).unwrap();
    index.sync(Offset(300)).unwrap();
    assert!(!open().is_left(), "it counts on what nobody has synced");
    let kept = index.since(key, 0, 1_000).unwrap();
    assert_eq!(kept, before.since(key, 0, 1_000).unwrap());
    assert_eq!((index.size().runs, kept.len()), (1, 300));
}

#[test]
fn merging_keeps_the_last_of_what_was_deleted_and_all_else() {
    let (fs, index) = index(0);
    let keys: Vec<KeyHash> = (0..4).map(|n| index.seed().hash(&[n])).collect();
    // Sixteen entries a run: each key has one in four offsets.
    for offset in 0..16 * 8 {
        let place = usize::try_from(offset % 4).unwrap();
        let revision = u32::try_from(offset / 4).unwrap();
        index.note([entry(keys[place], revision, offset)].into_iter());
        index.spill_if_due(Offset(offset + 1));
    }
    assert_eq!(index.size().runs, 8);
    // All of the first key's records are gone but the last one; of the others half.
    let start = Offset(64);
    // What a power cut can take is no part of it.
    assert!(!index.merge(start, Offset(127)).unwrap());
    assert!(index.merge(start, ALL).unwrap());
    assert!(!index.merge(start, ALL).unwrap());
    let size = index.size();
    assert_eq!((size.runs, size.run_entries), (1, 64));
    for (key, offset) in keys.iter().zip(124..) {
        let head = index.head(*key).unwrap().unwrap();
        assert_eq!((head.revision, head.offset), (31, Offset(offset)));
        assert_eq!(index.since(*key, 0, 99).unwrap().len(), 16);
    }
    assert_eq!(
        fs.list(Path::new(DIR)).unwrap().len(),
        1,
        "the old files are gone"
    );
    assert!(index.merge(Offset(128), ALL).is_ok_and(|did| !did));
}

#[test]
fn a_key_whose_records_are_all_gone_goes_on_counting() {
    let (_, index) = index(0);
    let gone = index.seed().hash(b"gone");
    for offset in 0..16 * 8 {
        let key = if offset < 3 {
            gone
        } else {
            index.seed().hash(&[u8::try_from(offset).unwrap()])
        };
        let revision = u32::try_from(offset).unwrap() * u32::from(offset < 3);
        index.note([entry(key, revision, offset)].into_iter());
        index.spill_if_due(Offset(offset + 1));
    }
    assert!(index.merge(Offset(100), ALL).unwrap());
    assert_eq!(index.head(gone).unwrap().unwrap().revision, 2);
    assert_eq!(index.since(gone, 0, 9).unwrap().len(), 1);
}

#[test]
fn each_byte_of_a_file_is_vouched_for() {
    let (fs, index) = index(0);
    index.note((0..300_u32).map(|n| entry(index.seed().hash(&n.to_be_bytes()), 0, i64::from(n))));
    index.spill(Offset(300)).unwrap();
    let name = fs.list(Path::new(DIR)).unwrap().remove(0);
    assert_eq!(parse_name(&name), Some((Offset(0), Offset(300))));
    let path = Path::new(DIR).join(name);
    let file = fs.open(&path, OpenMode::Append).unwrap();
    assert!(Run::open(&fs, &path, LOG).unwrap().is_some());
    let other = LogId {
        partition: 4,
        ..LOG
    };
    assert!(Run::open(&fs, &path, other).unwrap().is_none());
    for at in (0..file.len().unwrap()).step_by(13) {
        let byte = file.read_at(at, 1).unwrap()[0];
        let write = |byte: u8| {
            let parts = [std::io::IoSlice::new(std::slice::from_ref(&byte))];
            file.write_at(at, &parts).unwrap();
        };
        write(byte ^ 0x10);
        assert!(Run::open(&fs, &path, LOG).unwrap().is_none(), "byte {at}");
        write(byte);
    }
    assert!(Run::open(&fs, &path, LOG).unwrap().is_some());
    for len in [0, 1, 4_096, file.len().unwrap() - 1] {
        file.set_len(len.min(file.len().unwrap())).unwrap();
        assert!(Run::open(&fs, &path, LOG).unwrap().is_none(), "{len} bytes");
    }
}

#[test]
fn names_that_are_none() {
    for name in [
        "",
        ".keys",
        "1-2.keys",
        "00000000000000000000-00000000000000000001.log",
    ] {
        assert_eq!(parse_name(name), None, "{name:?}");
    }
}

#[test]
fn ten_million_keys_take_less_than_256_mebibytes() {
    const KEYS: u32 = 400_000;
    let (_, index) = index(128 << 20);
    for number in 0..KEYS {
        let key = index.seed().hash(&number.to_be_bytes());
        index.note([entry(key, 0, i64::from(number))].into_iter());
        index.spill_if_due(Offset(i64::from(number) + 1));
    }
    let key = |number: u32| index.seed().hash(&number.to_be_bytes());
    assert!(
        (0..KEYS)
            .step_by(3)
            .all(|n| index.head(key(n)).unwrap().is_some())
    );
    let size = index.size();
    let in_runs: usize = index.runs().iter().map(|run| run.bytes()).sum();
    // The rest does not grow with the keys: what is recent, and what was asked for.
    let fixed = size.memory_bytes - in_runs as u64;
    let by_key = in_runs as f64 / size.run_entries as f64;
    let total = fixed as f64 + by_key * 10e6;
    assert!(
        total < 256.0 * 1024.0 * 1024.0,
        "{total} bytes, {by_key} for each key"
    );
}

#[test]
fn a_floor_is_below_every_entry_of_its_revision() {
    let first = entry(KeyHash(9), 4, 0);
    assert!(floor_of(KeyHash(9), 4) <= first.pack());
    assert!(floor_of(KeyHash(9), 5) > first.pack());
}

/// Eight runs of sixteen entries, and their one key.
fn eight_runs() -> (MemFs, KeyIndex, KeyHash) {
    let (fs, index) = index(0);
    let key = index.seed().hash(b"k");
    for offset in 0..16 * 8 {
        let revision = u32::try_from(offset).unwrap();
        index.note([entry(key, revision, offset)].into_iter());
        index.spill_if_due(Offset(offset + 1));
    }
    (fs, index, key)
}

#[test]
fn a_damaged_run_that_a_merge_has_replaced_is_not_healed_over_the_others() {
    let (_, index, key) = eight_runs();
    let damaged = (Offset(48), Offset(64));
    let anew = index.before(damaged.0);
    anew.note((48..64).map(|offset| entry(key, u32::try_from(offset).unwrap(), offset)));
    anew.spill(damaged.1).unwrap();
    assert!(index.merge(Offset(0), ALL).unwrap());
    index.heal(damaged, damaged.0, &anew);
    assert_eq!(index.head(key).unwrap().unwrap().revision, 127);
    assert_eq!(index.since(key, 0, 999).unwrap().len(), 128);
}

#[test]
fn what_is_read_from_a_run_that_was_replaced_damages_nothing() {
    let (fs, index, _) = eight_runs();
    let old = Arc::clone(&index.runs()[0]);
    assert!(index.merge(Offset(0), ALL).unwrap());
    let files = fs.list(Path::new(DIR)).unwrap();
    let wrong: Result<(), _> = Err(LogError::Corrupt {
        file: old.path().to_owned(),
        position: crate::types::Position(0),
        why: String::new(),
    });
    assert!(index.heeding(&old, wrong).is_err());
    assert_eq!(index.damaged(), None);
    assert_eq!(fs.list(Path::new(DIR)).unwrap(), files);
}

#[test]
fn nothing_is_written_once_the_log_is_nobodys_any_more() {
    let (fs, index, _) = eight_runs();
    let files = fs.list(Path::new(DIR)).unwrap();
    index.end();
    assert!(!index.merge(Offset(0), ALL).unwrap());
    assert_eq!(fs.list(Path::new(DIR)).unwrap(), files);
}
