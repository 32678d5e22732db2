//! The same log on the real disk, where sealed segments are mapped.
//!
//! Floor 6 of log-core: tests.

use super::*;
use crate::fs::os::OsFs;

fn open(dir: &Path, point: RecoveryPoint, clean: bool) -> (Log, Recovered) {
    let start = RecoveryStart {
        point: Some(point),
        clean,
        ..RecoveryStart::unknown(ID)
    };
    Log::open(
        Arc::new(OsFs::new()),
        dir.to_owned(),
        small(),
        start,
        now_at(2000),
    )
    .unwrap()
}

fn read_all(reader: &LogReader, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = reader.start();
    while next < reader.durable() {
        let slice = reader
            .read(next, bytes_max, UpTo::Durable, Minimum::OneBatch)
            .unwrap();
        assert!(!slice.is_empty(), "every read gets on");
        bytes.extend(slice.parts.concat());
        next = slice.next_offset;
    }
    bytes
}

#[test]
fn a_log_on_the_real_disk_is_the_same_after_every_kind_of_start() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    let now = now_at(1000);
    let mut log = Log::create(
        Arc::new(OsFs::new()),
        dir.clone(),
        ID,
        small(),
        LeaderEpoch(0),
        now,
    )
    .unwrap();
    let mut written = Vec::new();
    for round in 0..30 {
        let batch = batch(&[round, round + 1], 150, Codec::None);
        let appended = log.append(&[batch], now).remove(0).unwrap();
        written.extend_from_slice(&appended.prefix);
        written.extend_from_slice(&appended.rest);
    }
    assert!(log.reader().segments().len() > 3);
    for bytes_max in [1, 500, 1 << 20] {
        assert!(read_all(&log.reader(), bytes_max) == written);
    }
    log.close(now).unwrap();
    let point = log.recovery_point();
    let (mut log, report) = open(&dir, point.clone(), true);
    assert_eq!(report, Recovered::default());
    assert!(read_all(&log.reader(), 700) == written);
    assert_eq!(
        log.reader().find_time(25).unwrap().unwrap().offset,
        Offset(49)
    );
    let mapped = log
        .reader()
        .read(Offset(0), 1, UpTo::Durable, Minimum::OneBatch)
        .unwrap();
    log.delete_records(Offset(20), now).unwrap();
    assert!(
        written.starts_with(&mapped.parts[0]),
        "a removed file's map stays valid"
    );
    let (log, report) = open(&dir, point, false);
    assert_eq!((report.torn_bytes, report.quarantined), (0, Vec::new()));
    assert_eq!(log.reader().start(), Offset(20));
    assert!(written.ends_with(&read_all(&log.reader(), 700)));
    log.destroy().unwrap();
    assert!(!dir.exists());
}
