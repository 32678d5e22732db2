//! A disk whose operations fail: one after the other, once or from then on.
//!
//! Floor 6 of log-core: tests.

use std::io::{Error, ErrorKind, Result as IoResult};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::fs::{DirLock, File};
use crate::keys::{Expect, Keyed, RecordKey};
use crate::log::Sent;

/// A disk in memory whose changing operations are counted, and fail from some number on.
#[derive(Clone, Debug)]
struct Faulty {
    disk: MemFs,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    count: AtomicU64,
    fails_at: u64,
    is_sticky: bool,
}

impl Plan {
    fn step(&self) -> IoResult<()> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let fails = number == self.fails_at || (self.is_sticky && number > self.fails_at);
        if fails {
            Err(Error::new(ErrorKind::StorageFull, "a fault"))
        } else {
            Ok(())
        }
    }

    fn has_failed(&self) -> bool {
        self.count.load(Ordering::Relaxed) > self.fails_at
    }
}

impl Faulty {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FaultyFile {
            file,
            plan: Arc::clone(&self.plan),
        })
    }
}

impl Fs for Faulty {
    fn list(&self, dir: &Path) -> IoResult<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> IoResult<()> {
        self.plan.step()?;
        self.disk.create_dir(dir)
    }

    fn create(&self, path: &Path) -> IoResult<Arc<dyn File>> {
        self.plan.step()?;
        Ok(self.file(self.disk.create(path)?))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> IoResult<Arc<dyn File>> {
        Ok(self.file(self.disk.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> IoResult<()> {
        self.plan.step()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> IoResult<()> {
        self.plan.step()?;
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> IoResult<()> {
        self.plan.step()?;
        self.disk.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> IoResult<DirLock> {
        self.disk.lock(dir)
    }

    fn free_bytes(&self, dir: &Path) -> IoResult<u64> {
        self.disk.free_bytes(dir)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn File>,
    plan: Arc<Plan>,
}

impl File for FaultyFile {
    fn len(&self) -> IoResult<u64> {
        self.file.len()
    }

    /// A write that fails has written a part.
    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> IoResult<()> {
        let failed = self.plan.step();
        if failed.is_err() {
            let bytes = parts
                .iter()
                .flat_map(|part| part.to_vec())
                .collect::<Vec<u8>>();
            self.file
                .write_at(position, &[IoSlice::new(&bytes[..bytes.len() / 2])])?;
            return failed;
        }
        self.file.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> IoResult<Bytes> {
        self.file.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> IoResult<()> {
        self.plan.step()?;
        self.file.set_len(len)
    }

    fn sync(&self) -> IoResult<()> {
        self.plan.step()?;
        self.file.sync()
    }
}

/// What a scenario was promised.
#[derive(Debug, Default)]
struct Promised {
    /// Bytes of each batch that was acknowledged, in order.
    batches: Vec<(i64, Vec<u8>)>,
    start: i64,
    /// A batch was refused by a log that is poisoned now: it may be there or not.
    is_open: bool,
}

/// Appends, rolls, deletes, applies retention and closes, whatever fails.
fn scenario(log: &mut Log, now: Now, promised: &mut Promised) {
    for round in 0..7 {
        let batches: Vec<_> = (0..3)
            .map(|n| batch(&[round * 10 + n], 300, Codec::None))
            .collect();
        let answers = log.append(&batches, now);
        for appended in answers.into_iter().flatten() {
            let bytes = [&appended.prefix[..], &appended.rest[..]].concat();
            promised.batches.push((appended.base_offset.0, bytes));
        }
        if let Err(error) = log.sync_target().sync() {
            log.poison(&error.to_string());
        }
        if round == 3 {
            let before = log.marks().durable();
            let start = Offset(before.0 / 2);
            if log.delete_records(start, now).is_ok() {
                promised.start = start.0;
            }
        }
        if round == 5 {
            // What fails only after the checkpoint has moved the start.
            let _tried = log.apply_retention(now);
            promised.start = promised.start.max(log.marks().start().0);
        }
    }
    promised.is_open = log.poisoned().is_some();
    let _tried = log.close(now);
}

#[test]
fn each_operation_may_fail_and_nothing_acknowledged_is_lost() {
    let config = LogConfig {
        retention_bytes: Some(2000),
        ..small()
    };
    for is_sticky in [false, true] {
        for fails_at in 0.. {
            let mut rig = Rig::new(config.clone());
            let plan = Plan {
                count: AtomicU64::new(0),
                fails_at,
                is_sticky,
            };
            let disk = Faulty {
                disk: rig.fs.clone(),
                plan: Arc::new(plan),
            };
            let start = RecoveryStart {
                point: None,
                clean: false,
                ..RecoveryStart::unknown(ID)
            };
            let shared: Arc<dyn Fs> = Arc::new(disk.clone());
            let opened = Log::open(shared, PathBuf::from(DIR), config.clone(), start, rig.now);
            let mut promised = Promised::default();
            if let Ok((mut log, _)) = opened {
                scenario(&mut log, rig.now, &mut promised);
            }
            let report = rig.reopen(None, false);
            let context = format!("operation {fails_at}, sticky {is_sticky}: {report:?}");
            assert_eq!(report.quarantined, [], "{context}");
            check_promises(&rig.log, &promised, &context);
            if !disk.plan.has_failed() {
                assert!(
                    fails_at > 60,
                    "the scenario does more than {fails_at} operations"
                );
                break;
            }
        }
    }
}

fn check_promises(log: &Log, promised: &Promised, context: &str) {
    let reader = log.reader();
    assert!(reader.start().0 >= promised.start, "{context}");
    let acknowledged = promised.batches.last().map_or(0, |(base, _)| base + 1);
    let end = reader.end().0;
    if promised.is_open {
        assert!(end >= acknowledged, "{context}: the end is {end}");
    } else {
        assert_eq!(
            end, acknowledged,
            "{context}: what was refused is not there"
        );
    }
    for (base, bytes) in promised
        .batches
        .iter()
        .filter(|(base, _)| *base >= reader.start().0)
    {
        let slice = reader
            .read(Offset(*base), 1, UpTo::End, Minimum::OneBatch)
            .unwrap();
        assert!(slice.parts.concat() == *bytes, "{context}: batch {base}");
    }
}

/// A log whose next changing operation but `ahead` fails, once.
fn failing(ahead: u64) -> (Rig, Log) {
    failing_with(small(), ahead)
}

fn failing_with(config: LogConfig, ahead: u64) -> (Rig, Log) {
    let rig = Rig::new(config);
    let open = |fails_at| {
        let plan = Plan {
            count: AtomicU64::new(0),
            fails_at,
            is_sticky: false,
        };
        let disk = Faulty {
            disk: rig.fs.clone(),
            plan: Arc::new(plan),
        };
        let start = RecoveryStart {
            point: Some(rig.log.recovery_point()),
            clean: false,
            ..RecoveryStart::unknown(ID)
        };
        let shared: Arc<dyn Fs> = Arc::new(disk.clone());
        let log = Log::open(
            shared,
            PathBuf::from(DIR),
            rig.config.clone(),
            start,
            rig.now,
        )
        .unwrap()
        .0;
        (log, disk.plan.count.load(Ordering::Relaxed))
    };
    // The first start finds no index files yet.
    open(u64::MAX);
    let (_, used) = open(u64::MAX);
    let (log, _) = open(used + ahead);
    (rig, log)
}

#[test]
fn a_failed_write_is_cut_back_and_offsets_and_producers_are_as_before() {
    let (rig, mut log) = failing(0);
    let producer = Producer {
        id: 5,
        epoch: 0,
        base_sequence: 0,
    };
    let first = batch_of(&[1, 2], 30, Codec::None, Some(producer));
    let second = batch_of(
        &[3],
        30,
        Codec::None,
        Some(Producer {
            base_sequence: 2,
            ..producer
        }),
    );
    // The repeat in the same group depends on the write that fails, too.
    let answers = log.append(&[first.clone(), second.clone(), first.clone()], rig.now);
    for answer in answers {
        assert!(
            matches!(answer, Err(LogError::Io { op: "write", .. })),
            "{answer:?}"
        );
    }
    assert_eq!((log.poisoned(), log.marks().end()), (None, Offset(0)));
    assert_eq!(rig.file(&log_file(0)).len(), 0, "no fragment is left");
    let answers = log.append(&[first, second], rig.now);
    let offsets: Vec<_> = answers
        .into_iter()
        .map(|a| a.unwrap().base_offset.0)
        .collect();
    assert_eq!(offsets, [0, 2], "the producer may send the same again");
}

#[test]
fn a_conflict_with_what_could_not_be_written_is_that_failure() {
    let keyed = LogConfig {
        key_index: true,
        ..small()
    };
    let (rig, mut log) = failing_with(keyed, 0);
    let new = Expect::NoStream {
        allow_recreate: false,
    };
    let seed = log.reader().key_seed().unwrap();
    let sent = Sent {
        batch: batch(&[1], 10, Codec::None),
        keyed: Some(Keyed {
            checks: Vec::new(),
            records: vec![RecordKey {
                key: seed.hash(b"k"),
                is_tombstone: false,
                expect: new,
            }],
        }),
    };
    for answer in log.append_all(&[sent.clone(), sent.clone()], rig.now) {
        assert!(
            matches!(answer, Err(LogError::Io { op: "write", .. })),
            "{answer:?}"
        );
    }
    // Nothing of it is remembered.
    let answers = log.append_all(&[sent.clone(), sent], rig.now);
    assert_eq!(answers[0].as_ref().unwrap().revisions, [0]);
    assert!(matches!(answers[1], Err(LogError::Conflict(_))));
}

#[test]
fn a_failed_sync_is_the_callers_to_report_and_a_poisoned_log_reads_on() {
    let (rig, mut log) = failing(1);
    log.append(&[batch(&[1], 10, Codec::None)], rig.now)
        .remove(0)
        .unwrap();
    let error = log.sync_target().sync().unwrap_err();
    assert!(matches!(error, LogError::Io { op: "sync", .. }), "{error}");
    assert_eq!(
        log.recovery_point().offset,
        Offset(0),
        "nothing is believed to be synced"
    );
    log.poison(&error.to_string());
    let refused = [
        log.append(&[batch(&[1], 10, Codec::None)], rig.now)
            .remove(0)
            .map(drop),
        log.roll(rig.now),
        log.apply_retention(rig.now).map(drop),
        log.delete_records(Offset(0), rig.now).map(drop),
        log.close(rig.now),
    ];
    for answer in refused {
        assert!(
            matches!(answer, Err(LogError::Poisoned { .. })),
            "{answer:?}"
        );
    }
    let read = log
        .reader()
        .read(Offset(0), 1 << 20, UpTo::Durable, Minimum::OneBatch)
        .unwrap();
    assert_eq!(read.next_offset, Offset(1));
}

#[test]
fn a_roll_that_finds_no_space_leaves_the_log_in_its_segment() {
    // After the append, the cut and the sync of the segment, each index takes a try to create its
    // file, a cut, a write and a sync; then comes the new file.
    let (rig, mut log) = failing(11);
    log.append(&[batch(&[1], 10, Codec::None)], rig.now)
        .remove(0)
        .unwrap();
    let error = log.roll(rig.now).unwrap_err();
    assert!(
        matches!(error, LogError::Io { op: "create", .. }),
        "{error}"
    );
    assert_eq!(log.poisoned(), None);
    log.append(&[batch(&[2], 10, Codec::None)], rig.now)
        .remove(0)
        .unwrap();
    log.roll(rig.now).unwrap();
    assert_eq!(log.reader().segments().len(), 2);
    assert_eq!(log.marks().end(), Offset(2));
}

/// Every unclean start wrote a checkpoint, a snapshot and two indexes a log, and synced them: with
/// a thousand logs that was all that a start took.
#[test]
fn an_unclean_start_of_an_unchanged_log_writes_nothing() {
    let mut rig = Rig::new(LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    rig.append_simple(5, 200);
    rig.log.roll(rig.now).unwrap();
    rig.append_simple(5, 200);
    rig.log.save_index();
    rig.append_simple(5, 200);
    let mut point = rig.sync();
    rig.append_simple(3, 200);
    for _ in 0..3 {
        let content = |rig: &Rig| {
            let files = rig.names().into_iter();
            files
                .map(|name| (rig.file(&name), name))
                .collect::<Vec<_>>()
        };
        let before = content(&rig);
        let plan = Arc::new(Plan {
            count: AtomicU64::new(0),
            fails_at: u64::MAX,
            is_sticky: false,
        });
        let fs = Arc::new(Faulty {
            disk: rig.fs.clone(),
            plan: Arc::clone(&plan),
        });
        let start = RecoveryStart {
            point: Some(point),
            clean: false,
            ..RecoveryStart::unknown(ID)
        };
        let opened = Log::open(fs, PathBuf::from(DIR), rig.config.clone(), start, rig.now);
        (rig.log, _) = opened.unwrap();
        let changes = plan.count.load(Ordering::Relaxed);
        assert_eq!(changes, 1, "the names are synced, and nothing else is done");
        assert!(content(&rig) == before);
        rig.check();
        point = rig.log.recovery_point();
    }
    // Its index goes on where it ended, and the next roll finds everything as it should be.
    rig.log.save_index();
    rig.append_simple(5, 200);
    rig.log.roll(rig.now).unwrap();
    rig.append_simple(1, 200);
    assert_eq!(rig.close_and_reopen(), Recovered::default());
    rig.check();
}
