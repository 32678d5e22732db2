//! What stops a start: one clear sentence each, and nothing is lost by it.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{BrokerError, ProduceError};
use highwater_broker::ids::TopicId;
use highwater_log::error::LogError;
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{Fs, OpenMode};

use crate::disk::{EACCES, EIO, ENOSPC, EROFS, FaultyFs};
use crate::kit::{Rig, START, batch, copy_of};

/// A disk that a broker has closed in good order, with one record in the topic `t`.
async fn closed_disk() -> MemFs {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    rig.broker.shutdown().await.unwrap();
    copy_of(&rig.fs)
}

fn start(disk: impl Fs) -> Result<Broker, BrokerError> {
    let clock = Arc::new(VirtualClock::new(START));
    Broker::builder()
        .fs(Arc::new(disk), "/data")
        .clock(clock)
        .start()
}

fn refusal(disk: impl Fs) -> (BrokerError, String) {
    let error = start(disk).unwrap_err();
    let sentence = error.to_string();
    assert!(!sentence.contains('\n'), "one line: {sentence}");
    (error, sentence)
}

/// The record is there once what stopped the start is gone.
async fn nothing_is_lost(disk: MemFs) {
    let rig = Rig::over(disk, VirtualClock::new(START), BrokerConfig::default());
    assert_eq!(rig.values("t", 0).await, ["a"]);
}

fn hex(id: TopicId) -> String {
    id.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_locked_directory() {
    let disk = closed_disk().await;
    let first = start(disk.clone()).unwrap();
    let (error, sentence) = refusal(disk.clone());
    assert!(matches!(error, BrokerError::Log(LogError::Locked { .. })));
    assert!(
        sentence.starts_with("the data directory /data is in use: "),
        "{sentence}"
    );
    drop(first);
    nothing_is_lost(disk).await;
}

#[test]
fn a_locked_directory_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let first = Broker::open(dir.path()).unwrap();
    let error = Broker::open(dir.path()).unwrap_err();
    assert!(matches!(error, BrokerError::Log(LogError::Locked { .. })));
    let holder = format!("{}", std::process::id());
    assert!(
        error.to_string().contains(&holder),
        "it names the holder: {error}"
    );
    drop(first);
    drop(Broker::open(dir.path()).unwrap());
}

/// The CRC-32 of zip files, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), step)
    })
}

#[tokio::test]
async fn a_newer_format() {
    let disk = closed_disk().await;
    let newer = copy_of(&disk);
    // Magic (8 bytes), format (4), length (4), CRC-32 of those and of the body (4), body.
    let version = newer
        .open(Path::new("/data/VERSION"), OpenMode::Append)
        .unwrap();
    let mut bytes = version.read_at(0, 4096).unwrap().to_vec();
    bytes[8..12].copy_from_slice(&9_u32.to_be_bytes());
    let crc = crc32(&[&bytes[..16], &bytes[20..]].concat());
    bytes[16..20].copy_from_slice(&crc.to_be_bytes());
    version.write_at(0, &[IoSlice::new(&bytes)]).unwrap();
    let (error, sentence) = refusal(newer);
    assert!(
        matches!(error, BrokerError::Log(LogError::TooNew { .. })),
        "{error:?}"
    );
    assert!(
        sentence.starts_with("the data directory /data needs a newer version of Highwater: "),
        "{sentence}"
    );
    nothing_is_lost(disk).await;
}

#[tokio::test]
async fn a_directory_that_may_not_be_written() {
    let closed = closed_disk().await;
    for below in [MemFs::new(), closed.clone()] {
        for errno in [EROFS, EACCES] {
            let disk = FaultyFs::new(below.clone());
            disk.faults.writes.store(true, Ordering::SeqCst);
            disk.faults.write_errno.store(errno, Ordering::SeqCst);
            let (error, sentence) = refusal(disk);
            assert!(matches!(error, BrokerError::ReadOnly { .. }), "{error:?}");
            assert!(sentence.contains("/data") && sentence.contains("make it writable"));
        }
    }
    nothing_is_lost(closed).await;
}

#[tokio::test]
async fn a_disk_without_room() {
    let closed = closed_disk().await;
    for below in [MemFs::new(), closed.clone()] {
        let disk = FaultyFs::new(below);
        disk.faults.writes.store(true, Ordering::SeqCst);
        disk.faults.write_errno.store(ENOSPC, Ordering::SeqCst);
        let (error, sentence) = refusal(disk);
        assert!(matches!(error, BrokerError::DiskFull { .. }), "{error:?}");
        assert!(sentence.contains("/data") && sentence.contains("free some space"));
    }
    nothing_is_lost(closed).await;
}

#[tokio::test]
async fn another_failure_of_the_disk_is_told_as_it_is() {
    let disk = FaultyFs::new(MemFs::new());
    disk.faults.writes.store(true, Ordering::SeqCst);
    assert_eq!(disk.faults.write_errno.load(Ordering::SeqCst), EIO);
    let (error, _) = refusal(disk);
    assert!(
        matches!(error, BrokerError::Log(LogError::Io { .. })),
        "{error:?}"
    );
}

/// Below `min.free.bytes` a start is no problem: reading goes on, and deletions make room.
#[tokio::test]
async fn little_room_stops_no_start() {
    let below = closed_disk().await;
    let disk = FaultyFs::new(below.clone());
    disk.faults.free_bytes.store(1000, Ordering::SeqCst);
    let (clock, config) = (VirtualClock::new(START), BrokerConfig::default());
    let rig = Rig::on(Arc::new(disk), below, clock, config);
    assert_eq!(rig.values("t", 0).await, ["a"]);
    let refused = rig.produce("t", batch(&["b"])).await;
    let Err(ProduceError::Storage { why }) = refused else {
        panic!("{refused:?}")
    };
    assert!(why.contains("min.free.bytes"), "{why}");
}

/// The batches below a directory, by path; indexes and the like may be made anew.
fn all_batches(fs: &MemFs, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = all_files(fs, dir);
    files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "log"));
    files
}

fn all_files(fs: &MemFs, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut names = fs.list(dir).unwrap();
    names.sort_unstable();
    for path in names.iter().map(|name| dir.join(name)) {
        if fs.list(&path).is_ok() {
            files.extend(all_files(fs, &path));
        } else {
            let file = fs.open(&path, OpenMode::Read).unwrap();
            let len = usize::try_from(file.len().unwrap()).unwrap();
            files.push((path, file.read_at(0, len).unwrap().to_vec()));
        }
    }
    files
}

#[tokio::test]
async fn metadata_that_is_missing_while_there_are_logs() {
    let disk = closed_disk().await;
    let meta_dir = format!("/data/logs/{}", hex(TopicId::META));
    let (there, away) = (Path::new(&meta_dir), Path::new("/data/away"));
    disk.rename(there, away).unwrap();
    let before = all_batches(&disk, Path::new("/data/logs"));
    for _ in 0..2 {
        let (error, sentence) = refusal(disk.clone());
        assert!(
            matches!(error, BrokerError::MetaMissing { logs_count: 1, .. }),
            "{error:?}"
        );
        assert!(sentence.contains(&meta_dir), "{sentence}");
        assert!(
            disk.list(there).is_err(),
            "the place is free for what is put back"
        );
        assert_eq!(all_batches(&disk, Path::new("/data/logs")), before);
    }
    disk.rename(away, there).unwrap();
    nothing_is_lost(disk).await;
}

#[tokio::test]
async fn metadata_that_is_empty_while_there_are_logs() {
    let disk = closed_disk().await;
    let meta_dir = PathBuf::from(format!("/data/logs/{}/0", hex(TopicId::META)));
    for name in disk.list(&meta_dir).unwrap() {
        disk.remove(&meta_dir.join(name)).unwrap();
    }
    let (error, _) = refusal(disk.clone());
    assert!(
        matches!(error, BrokerError::MetaMissing { .. }),
        "{error:?}"
    );
    assert!(
        disk.list(Path::new("/data/lost+found")).is_err(),
        "nothing was moved"
    );
}

#[tokio::test]
async fn metadata_that_is_damaged() {
    let disk = closed_disk().await;
    let damaged = copy_of(&disk);
    let dir = PathBuf::from(format!("/data/logs/{}/0", hex(TopicId::META)));
    let names = damaged.list(&dir).unwrap();
    let log = names.iter().find(|name| name.ends_with(".log")).unwrap();
    let file = damaged.open(&dir.join(log), OpenMode::Append).unwrap();
    // A byte of the first batch's records, behind its header of 61 bytes.
    let byte = file.read_at(70, 1).unwrap()[0] ^ 1;
    file.write_at(70, &[IoSlice::new(&[byte])]).unwrap();
    let topics = |fs: &MemFs| {
        let mut topics = fs.list(Path::new("/data/logs")).unwrap();
        topics.sort_unstable();
        topics
    };
    let before = topics(&damaged);
    let (error, sentence) = refusal(damaged.clone());
    assert!(matches!(error, BrokerError::Meta { .. }), "{error:?}");
    assert!(sentence.contains("highwater log verify"), "{sentence}");
    assert!(sentence.contains("highwater log repair"), "{sentence}");
    assert_eq!(topics(&damaged), before, "nothing was moved or deleted");
    nothing_is_lost(disk).await;
}

/// A directory that no topic has, for instance out of a backup of another broker.
#[tokio::test]
async fn what_no_topic_has_is_moved_aside_and_kept() {
    let disk = closed_disk().await;
    let foreign = format!("/data/logs/{}", "ab".repeat(16));
    disk.create_dir(Path::new(&foreign)).unwrap();
    disk.create_dir(&Path::new(&foreign).join("3")).unwrap();
    let path = Path::new(&foreign).join("3/00000000000000000000.log");
    let file = disk.create(&path).unwrap();
    let bytes = batch(&["precious"]);
    file.write_at(0, &[IoSlice::new(&bytes)]).unwrap();
    file.sync().unwrap();
    let rig = Rig::over(
        disk.clone(),
        VirtualClock::new(START),
        BrokerConfig::default(),
    );
    assert_eq!(rig.values("t", 0).await, ["a"]);
    assert!(
        disk.list(Path::new(&foreign)).is_err(),
        "it is out of the way"
    );
    let kept = all_files(&disk, Path::new("/data/lost+found"));
    assert!(
        kept.iter()
            .any(|(_, kept)| kept.windows(8).any(|part| part == b"precious")),
        "its bytes are kept: {kept:?}"
    );
}
