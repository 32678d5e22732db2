//! Tests of whole logs on a disk in memory, each against a list of batches as the model.
//!
//! Floor 6 of log-core: tests.

mod damage;
mod disk;
mod failures;
mod gaps;
mod keyed;
mod model;
mod policies;
mod producers;
mod readers;
mod recovery;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::clock::{Mono, Now, Wall};
use highwater_proto::compress::Codec;

use super::*;
use crate::config::Verify;
use crate::fs::OpenMode;
use crate::fs::mem::MemFs;
use crate::reader::{Minimum, UpTo};

const DIR: &str = "/logs/t/0";
const ID: LogId = LogId {
    topic: [7; 16],
    partition: 0,
};

/// A batch as the log must hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    base: i64,
    /// Offset and timestamp of each record.
    records: Vec<(i64, i64)>,
    bytes: Vec<u8>,
    epoch: i32,
}

impl Kept {
    fn end(&self) -> i64 {
        self.records.last().unwrap().0 + 1
    }
}

/// A log and what it must hold.
#[derive(Debug)]
struct Rig {
    fs: MemFs,
    config: LogConfig,
    now: Now,
    log: Log,
    kept: Vec<Kept>,
    start: i64,
}

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 300,
        durability: Durability::PageCache,
        fetch_verify: Verify::First,
        ..LogConfig::default()
    }
}

fn now_at(ms: u64) -> Now {
    let wall = 1_700_000_000_000 + i64::try_from(ms).unwrap();
    Now {
        mono: Mono(ms * 1_000_000),
        wall: Wall(wall),
    }
}

/// One record for each timestamp, with values of `value_bytes` bytes.
fn batch(timestamps: &[i64], value_bytes: usize, codec: Codec) -> ProducedBatch {
    batch_of(timestamps, value_bytes, codec, None)
}

fn batch_of(
    timestamps: &[i64],
    value_bytes: usize,
    codec: Codec,
    producer: Option<Producer>,
) -> ProducedBatch {
    let mut builder = BatchBuilder::new(codec);
    builder.set_producer(producer);
    for timestamp in timestamps {
        builder
            .append(*timestamp, Some(b"k"), Some(&vec![b'v'; value_bytes]), &[])
            .unwrap();
    }
    validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap()
}

impl Rig {
    fn new(config: LogConfig) -> Self {
        let fs = MemFs::new();
        for dir in ["/logs", "/logs/t"] {
            fs.create_dir(Path::new(dir)).unwrap();
        }
        let now = now_at(1000);
        let disk = Arc::new(fs.clone());
        let log = Log::create(
            disk,
            PathBuf::from(DIR),
            ID,
            config.clone(),
            LeaderEpoch(0),
            now,
        )
        .unwrap();
        Self {
            fs,
            config,
            now,
            log,
            kept: Vec::new(),
            start: 0,
        }
    }

    fn advance(&mut self, ms: u64) {
        self.now.mono.0 += ms * 1_000_000;
        self.now.wall.0 += i64::try_from(ms).unwrap();
    }

    fn append(&mut self, batches: &[ProducedBatch]) {
        let answers = self.log.append(batches, self.now);
        for (batch, answer) in batches.iter().zip(answers) {
            let appended = answer.unwrap();
            assert!(!appended.duplicate);
            self.keep(batch, &appended);
        }
    }

    fn keep(&mut self, batch: &ProducedBatch, appended: &Appended) {
        let base = appended.base_offset.0;
        assert_eq!(base, self.end(), "offsets without a gap");
        let bytes = [&appended.prefix[..], &appended.rest[..]].concat();
        assert_eq!(bytes[16..], batch.bytes()[16..]);
        let records = highwater_proto::record::RecordIter::new(bytes.clone().into(), 1 << 20);
        let records = records
            .unwrap()
            .map(|record| record.map(|r| (r.offset, r.timestamp)).unwrap());
        let epoch = self.log.reader().current_epoch().0;
        self.kept.push(Kept {
            base,
            records: records.collect(),
            bytes,
            epoch,
        });
    }

    /// `count` batches of one record.
    fn append_simple(&mut self, count: usize, value_bytes: usize) {
        for _ in 0..count {
            self.append(&[batch(&[self.now.wall.0], value_bytes, Codec::None)]);
        }
    }

    fn end(&self) -> i64 {
        self.kept
            .last()
            .map_or_else(|| self.start.max(0), Kept::end)
    }

    fn sync(&self) -> RecoveryPoint {
        let target = self.log.sync_target();
        target.sync().unwrap();
        self.log.marks().advance_durable(target.end());
        self.log.recovery_point()
    }

    /// Opens the directory again.
    fn reopen(&mut self, point: Option<RecoveryPoint>, clean: bool) -> Recovered {
        let start = RecoveryStart {
            point,
            clean,
            ..RecoveryStart::unknown(ID)
        };
        let disk = Arc::new(self.fs.clone());
        let dir = PathBuf::from(DIR);
        let (log, report) = Log::open(disk, dir, self.config.clone(), start, self.now).unwrap();
        self.log = log;
        report
    }

    fn close_and_reopen(&mut self) -> Recovered {
        self.log.close(self.now).unwrap();
        let point = self.log.recovery_point();
        self.reopen(Some(point), true)
    }

    /// Batches that a reader may still get.
    fn readable(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().filter(|kept| kept.end() > self.start)
    }

    /// Every read gives what the model holds.
    fn check(&self) {
        let reader = self.log.reader();
        let marks = (reader.start().0, reader.durable().0, reader.end().0);
        assert_eq!(marks, (self.start, self.end(), self.end()));
        for from in self.start..=self.end() {
            for bytes_max in [0, 1, 100, 200, 500, 1600, 1 << 20] {
                self.check_read(&reader, from, bytes_max);
            }
        }
        for outside in [self.start - 1, self.end() + 1] {
            let error = reader
                .read(Offset(outside), 1, UpTo::End, Minimum::None)
                .unwrap_err();
            assert!(matches!(error, LogError::OutOfRange { .. }), "{error}");
        }
    }

    fn check_read(&self, reader: &LogReader, from: i64, bytes_max: usize) {
        let rest: Vec<&Kept> = self.kept.iter().filter(|kept| kept.end() > from).collect();
        let rest_bytes: usize = rest.iter().map(|kept| kept.bytes.len()).sum();
        for minimum in [Minimum::OneBatch, Minimum::None] {
            let slice = reader
                .read(Offset(from), bytes_max, UpTo::Durable, minimum)
                .unwrap();
            let read = slice.parts.concat();
            let context = format!("from {from}, at most {bytes_max} bytes, {minimum:?}");
            assert_eq!(read.len(), slice.bytes, "{context}");
            let mut count = 0;
            let mut bytes = 0;
            while bytes < read.len() {
                bytes += rest[count].bytes.len();
                count += 1;
            }
            let expected: Vec<u8> = rest[..count].iter().flat_map(|k| k.bytes.clone()).collect();
            assert!(read == expected, "whole batches: {context}");
            let next = count.checked_sub(1).map_or(from, |last| rest[last].end());
            assert_eq!(slice.next_offset, Offset(next), "{context}");
            let is_forced = minimum == Minimum::OneBatch && count == 1;
            assert!(bytes <= bytes_max || is_forced, "{context}: {bytes} bytes");
            if let Some(first) = rest.first() {
                let fits = first.bytes.len() <= bytes_max || minimum == Minimum::OneBatch;
                assert_eq!(
                    count > 0,
                    fits,
                    "the first batch comes if it may: {context}"
                );
                assert!(
                    count == 0 || slice.first_offset.0 == first.base,
                    "{context}"
                );
            }
            if rest_bytes <= bytes_max {
                assert_eq!(count, rest.len(), "everything fits: {context}");
            }
        }
    }

    /// A file of the log's directory, changed in place.
    fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = Path::new(DIR).join(name);
        let file = self.fs.open(&path, OpenMode::Append).unwrap();
        let mut bytes = file.read_at(0, usize::MAX).unwrap().to_vec();
        change(&mut bytes);
        file.set_len(0).unwrap();
        file.write_at(0, &[IoSlice::new(&bytes)]).unwrap();
    }

    fn file(&self, name: &str) -> Bytes {
        let file = self
            .fs
            .open(&Path::new(DIR).join(name), OpenMode::Read)
            .unwrap();
        file.read_at(0, usize::MAX).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.fs.list(Path::new(DIR)).unwrap()
    }
}

fn log_file(base: i64) -> String {
    format!("{base:020}.log")
}
