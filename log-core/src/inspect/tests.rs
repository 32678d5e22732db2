//! Verify and dump on whole data directories, sound and damaged in every way that has a name.

mod repair;
mod survey;

use std::io::IoSlice;
use std::path::Path;

use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;

use super::*;
use crate::config::LogConfig;
use crate::data_dir::DataDir;
use crate::fs::mem::MemFs;
use crate::shard::{AckAt, Shard, ShardConfig};
use crate::types::LeaderEpoch;

const ROOT: &str = "/data";
const A: LogId = LogId {
    topic: [0xaa; 16],
    partition: 0,
};
const B: LogId = LogId {
    topic: [0xaa; 16],
    partition: 1,
};
const BATCHES: i64 = 200;

fn batch(number: i64) -> ProducedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder
        .append(1_700_000_000_000 + number, None, Some(&[b'v'; 60]), &[])
        .unwrap();
    validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap()
}

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 8 << 10,
        index_interval_bytes: 1 << 10,
        ..LogConfig::default()
    }
}

fn open(fs: &MemFs) -> Arc<Shard> {
    let now = Now::default();
    let dir = DataDir::open(Arc::new(fs.clone()), Path::new(ROOT)).unwrap();
    let configs = vec![(A, small_segments()), (B, small_segments())];
    Shard::open(dir, configs, ShardConfig::default(), now)
        .unwrap()
        .0
}

/// Two logs with several segments each.
fn written() -> (MemFs, Arc<Shard>) {
    let (fs, now) = (MemFs::new(), Now::default());
    let shard = open(&fs);
    for id in [A, B] {
        shard
            .add_log(id, small_segments(), LeaderEpoch(0), now)
            .unwrap();
        for number in 0..BATCHES {
            shard
                .append_wait(id, batch(number), AckAt::Durable, now)
                .unwrap();
        }
    }
    (fs, shard)
}

fn closed() -> MemFs {
    let (fs, shard) = written();
    shard.close(Now::default()).unwrap();
    fs
}

fn look(fs: &MemFs, dir: &str) -> Result<(Verified, Vec<Finding>), LogError> {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut findings = Vec::new();
    let verified = verify(&fs, Path::new(dir), &mut |event| {
        if let Event::Finding(finding) = event {
            findings.push(finding);
        }
    })?;
    assert_eq!(verified.findings, findings.len() as u64);
    let damaged = findings.iter().filter(|found| found.kind.is_damage());
    assert_eq!(verified.damaged, damaged.count() as u64);
    Ok((verified, findings))
}

fn kinds(fs: &MemFs) -> Vec<FindingKind> {
    let (_, findings) = look(fs, ROOT).unwrap();
    findings.iter().map(|finding| finding.kind).collect()
}

fn dir_of(id: LogId) -> String {
    format!("{ROOT}/logs/{}/{}", id.topic_dir(), id.partition)
}

/// The paths of the log's files that end so, in order.
fn files(fs: &MemFs, id: LogId, end: &str) -> Vec<PathBuf> {
    let dir = PathBuf::from(dir_of(id));
    let mut names = fs.list(&dir).unwrap();
    names.retain(|name| name.ends_with(end));
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

fn flip(fs: &MemFs, path: &Path, position: u64) {
    let file = fs.open(path, OpenMode::Append).unwrap();
    let byte = file.read_at(position, 1).unwrap()[0] ^ 0x10;
    file.write_at(position, &[IoSlice::new(&[byte])]).unwrap();
}

fn cut(fs: &MemFs, path: &Path, bytes: u64) {
    let file = fs.open(path, OpenMode::Append).unwrap();
    file.set_len(file.len().unwrap() - bytes).unwrap();
}

/// Every byte of every file below the root.
fn image(fs: &MemFs, dir: &Path, into: &mut BTreeMap<PathBuf, Option<bytes::Bytes>>) {
    for name in fs.list(dir).unwrap() {
        let path = dir.join(name);
        match fs.open(&path, OpenMode::Read) {
            Ok(file) => {
                let length = usize::try_from(file.len().unwrap()).unwrap();
                into.insert(path, Some(file.read_at(0, length).unwrap()));
            }
            Err(_) => {
                into.insert(path.clone(), None);
                image(fs, &path, into);
            }
        }
    }
}

#[test]
fn a_directory_that_was_closed_is_clean_and_stays_as_it_is() {
    let fs = closed();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    image(&fs, Path::new(ROOT), &mut before);
    let (verified, findings) = look(&fs, ROOT).unwrap();
    image(&fs, Path::new(ROOT), &mut after);
    assert_eq!(findings, []);
    assert_eq!(verified.logs, 2);
    assert_eq!(verified.batches, 2 * u64::try_from(BATCHES).unwrap());
    assert!(verified.segments > 4, "{verified:?}");
    assert!(before == after, "something was changed");
    assert_eq!(look(&fs, &dir_of(A)).unwrap().1, []);
}

#[test]
fn a_directory_in_use_is_refused_and_one_log_of_it_is_not() {
    let (fs, shard) = written();
    assert!(matches!(look(&fs, ROOT), Err(LogError::Locked { .. })));
    let (verified, findings) = look(&fs, &dir_of(A)).unwrap();
    assert_eq!((verified.logs, findings), (1, Vec::new()));
    shard.abandon();
    assert_eq!(kinds(&fs), []);
}

#[test]
fn each_flipped_bit_of_a_batch_is_found_in_every_segment() {
    for slot in 0..3 {
        for position in [0, 3, 9, 13, 16, 17, 30, 62, 100] {
            let fs = closed();
            let paths = files(&fs, A, ".log");
            let path = [&paths[0], &paths[1], paths.last().unwrap()][slot];
            flip(&fs, path, position);
            let found = kinds(&fs);
            assert!(
                found.contains(&FindingKind::CorruptBatch),
                "segment {slot}, byte {position}: {found:?}"
            );
        }
    }
}

#[test]
fn a_torn_tail_is_damage_only_after_a_clean_stop() {
    let fs = closed();
    cut(&fs, files(&fs, A, ".log").last().unwrap(), 5);
    let found = kinds(&fs);
    assert!(found.contains(&FindingKind::CorruptBatch), "{found:?}");

    let (fs, shard) = written();
    shard.abandon();
    cut(&fs, files(&fs, A, ".log").last().unwrap(), 5);
    assert_eq!(kinds(&fs), [FindingKind::TornTail]);
    let (_, findings) = look(&fs, &dir_of(A)).unwrap();
    assert_eq!(findings[0].kind, FindingKind::TornTail);
    assert!(
        findings[0].to_string().contains("are no whole batch"),
        "{}",
        findings[0]
    );
}

#[test]
fn a_right_batch_behind_a_wrong_one_is_no_torn_tail() {
    let (fs, shard) = written();
    shard.abandon();
    flip(&fs, files(&fs, A, ".log").last().unwrap(), 80);
    assert_eq!(kinds(&fs), [FindingKind::CorruptTail]);
}

#[test]
fn a_segment_that_is_gone_is_a_gap_wherever_it_was() {
    for slot in 0..3 {
        let fs = closed();
        let paths = files(&fs, A, ".log");
        fs.remove([&paths[0], &paths[1], paths.last().unwrap()][slot])
            .unwrap();
        let (_, findings) = look(&fs, ROOT).unwrap();
        assert!(
            findings.iter().any(|found| found.kind.is_damage()),
            "{slot}: {findings:?}"
        );
    }
}

#[test]
fn an_index_that_does_not_match_is_named_and_is_no_damage() {
    for end in [".index", ".timeindex"] {
        let fs = closed();
        let path = &files(&fs, A, end)[1];
        fs.remove(path).unwrap();
        assert_eq!(kinds(&fs), [FindingKind::Index], "{end} is gone");

        let fs = closed();
        let (of_this, other) = (&files(&fs, A, end)[1], &files(&fs, A, end)[0]);
        fs.rename(other, of_this).unwrap();
        let found = kinds(&fs);
        assert_eq!(found, [FindingKind::Index; 2], "{end} is another's");
    }
}

#[test]
fn an_entry_that_lies_is_found_though_its_checksum_agrees() {
    let fs = closed();
    let path = &files(&fs, A, ".index")[1];
    let file = fs.open(path, OpenMode::Append).unwrap();
    let bytes = file.read_at(0, 1 << 20).unwrap();
    let loaded = crate::index_file::parse(crate::index_file::IndexKind::Offset, bytes);
    let mut entries = loaded.entries.to_vec();
    entries[16 + 8] ^= 1;
    let kind = crate::index_file::IndexKind::Offset;
    let trailer = crate::index_file::trailer_frame(loaded.trailer.unwrap());
    let lying = [crate::index_file::frame(kind, &entries), trailer].concat();
    fs.remove(path).unwrap();
    fs.create(path)
        .unwrap()
        .write_at(0, &[IoSlice::new(&lying)])
        .unwrap();
    let (_, findings) = look(&fs, ROOT).unwrap();
    assert_eq!(findings[0].kind, FindingKind::Index);
    assert!(
        findings[0].what.contains("entry 1 does not match"),
        "{}",
        findings[0]
    );
}

#[test]
fn small_files_that_are_damaged_are_named() {
    for name in ["checkpoint", "producers.snapshot"] {
        let fs = closed();
        flip(&fs, &Path::new(&dir_of(A)).join(name), 17);
        let found = kinds(&fs);
        assert_eq!(found, [FindingKind::State], "{name}");
    }
}

#[test]
fn batches_that_stand_in_the_journal_only_are_named() {
    let (fs, shard) = written();
    let now = Now::default();
    for id in [A, B] {
        let done = crate::shard::Done::new(|_| {});
        let (batch, ack) = (batch(BATCHES), AckAt::Durable);
        shard.enqueue(crate::shard::Append {
            log: id,
            sent: batch.into(),
            ack,
            now,
            done,
        });
    }
    shard.write_once();
    shard.sync_once();
    shard.abandon();
    assert_eq!(kinds(&fs), [], "the logs have them, too");
    let tail = files(&fs, B, ".log").pop().unwrap();
    cut(&fs, &tail, 1);
    let (_, findings) = look(&fs, ROOT).unwrap();
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::TornTail, FindingKind::JournalOnly]);
    assert_eq!(
        findings[1].offsets,
        Some((Offset(BATCHES), Offset(BATCHES + 1)))
    );
    // Two batches are gone, and the journal has the second one only.
    cut(&fs, &tail, batch(BATCHES).bytes().len() as u64);
    let (_, findings) = look(&fs, ROOT).unwrap();
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&FindingKind::OffsetGap), "{findings:?}");
}

#[test]
fn what_is_no_data_directory_is_refused_in_a_sentence() {
    let fs = MemFs::new();
    fs.create_dir(Path::new("/else")).unwrap();
    let error = look(&fs, "/else").unwrap_err();
    assert!(error.to_string().contains("VERSION"), "{error}");
}

#[test]
fn a_dump_gives_each_batch_and_says_where_there_is_none() {
    let fs = closed();
    let path = files(&fs, A, ".log").remove(1);
    let whole: Vec<_> = dump(&fs, &path).unwrap().map(Result::unwrap).collect();
    let base = SegmentFile::parse(path.file_name().unwrap().to_str().unwrap())
        .unwrap()
        .0;
    let Stretch::Batch {
        position,
        header,
        is_crc_right: true,
    } = &whole[0]
    else {
        panic!("{:?}", whole[0]);
    };
    assert_eq!((*position, header.base_offset), (Position(0), base.0));
    assert_eq!(header.codec(), Ok(Codec::None));
    let batch_bytes = header.total_bytes() as u64;

    // A record byte: the batch is still shown. A header byte: the next right one is searched.
    flip(&fs, &path, 70);
    flip(&fs, &path, 2 * batch_bytes + 16);
    let damaged: Vec<_> = dump(&fs, &path).unwrap().map(Result::unwrap).collect();
    assert_eq!(damaged.len(), whole.len());
    assert!(matches!(
        damaged[0],
        Stretch::Batch {
            is_crc_right: false,
            ..
        }
    ));
    let Stretch::Damage {
        position, bytes, ..
    } = damaged[2]
    else {
        panic!("{:?}", damaged[2]);
    };
    assert_eq!((position, bytes), (Position(2 * batch_bytes), batch_bytes));
    assert_eq!(damaged[3..], whole[3..]);
    assert!(dump(&fs, Path::new("/data/VERSION")).is_err());
}
