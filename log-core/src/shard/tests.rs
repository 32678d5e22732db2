//! The shard on a disk in memory that notes, fails and loses what a test tells it to.
//!
//! Floor 7 of log-core.

mod acks;
mod changes;
mod failures;
mod full_disk;
mod on_demand;
mod parallel;
mod probe_fs;
mod replay;
mod stops;
mod threads;
mod upkeep;

use std::path::{Path, PathBuf};

use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::clock::{Mono, Wall};
use highwater_proto::compress::Codec;

use self::probe_fs::{Op, ProbeFs};
use super::*;
use crate::config::{Durability, LogConfig};
use crate::data_dir::DataDir;
use crate::reader::{Minimum, UpTo};
use crate::types::LeaderEpoch;

const DIR: &str = "/data";
const A: LogId = LogId {
    topic: [0xaa; 16],
    partition: 0,
};
const B: LogId = LogId {
    topic: [0xaa; 16],
    partition: 1,
};
const C: LogId = LogId {
    topic: [0xcc; 16],
    partition: 0,
};
/// The one that is a page-cache log.
const P: LogId = LogId {
    topic: [0xdd; 16],
    partition: 0,
};

const LOG_FILE: &str = ".log";
const JOURNAL: &str = "journal-0";

/// A shard, its disk, and the answers so far.
struct Rig {
    fs: ProbeFs,
    shard: Arc<Shard>,
    recovered: ShardRecovered,
    now: Now,
    answers: Answers,
}

/// The answers, each with the name that the test gave to its append.
#[derive(Clone, Debug, Default)]
struct Answers(Arc<Mutex<Vec<Answer>>>);

#[derive(Debug)]
struct Answer {
    name: u32,
    result: Result<Appended, LogError>,
}

impl Answers {
    /// A completion that notes its answer.
    fn note(&self, name: u32) -> impl FnOnce(Result<Appended, LogError>) + Send + 'static + use<> {
        let answers = self.clone();
        move |result| lock(&answers.0).push(Answer { name, result })
    }

    /// The answers since the last call, in order: the offset, or what went wrong.
    fn take(&self) -> Vec<(u32, Result<i64, String>)> {
        let answers = std::mem::take(&mut *lock(&self.0));
        let plain = |result: Result<Appended, LogError>| match result {
            Ok(appended) => Ok(appended.base_offset.0),
            Err(error) => Err(error.to_string()),
        };
        answers
            .into_iter()
            .map(|answer| (answer.name, plain(answer.result)))
            .collect()
    }

    /// The names of those answered since the last call; each of them must be well.
    fn take_names(&self) -> Vec<u32> {
        let named = |(name, result): (u32, Result<i64, String>)| {
            assert!(result.is_ok(), "append {name}: {result:?}");
            name
        };
        self.take().into_iter().map(named).collect()
    }
}

fn config_of(id: LogId) -> LogConfig {
    let durability = if id == P {
        Durability::PageCache
    } else {
        Durability::Fsync
    };
    LogConfig {
        flush_bytes: 1 << 20,
        durability,
        ..LogConfig::default()
    }
}

fn at(ms: u64) -> Now {
    let wall = 1_700_000_000_000 + i64::try_from(ms).unwrap();
    Now {
        mono: Mono(ms * 1_000_000),
        wall: Wall(wall),
    }
}

/// A batch of one record with a value of `bytes` bytes.
fn batch(bytes: usize) -> ProducedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder
        .append(1_700_000_000_000, None, Some(&vec![b'v'; bytes]), &[])
        .unwrap();
    validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap()
}

fn idempotent_batch(sequence: i32) -> ProducedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.set_producer(Some(Producer {
        id: 9,
        epoch: 0,
        base_sequence: sequence,
    }));
    builder
        .append(1_700_000_000_000, None, Some(b"v"), &[])
        .unwrap();
    validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap()
}

fn open_with(
    fs: &ProbeFs,
    config: ShardConfig,
    now: Now,
) -> Result<(Arc<Shard>, ShardRecovered), LogError> {
    let configs = [A, B, C, P].map(|id| (id, config_of(id))).to_vec();
    Shard::open(
        DataDir::open(Arc::new(fs.clone()), Path::new(DIR))?,
        configs,
        config,
        now,
    )
}

impl Rig {
    /// A shard with four empty logs.
    fn new() -> Self {
        Self::with(ShardConfig::default())
    }

    fn with(config: ShardConfig) -> Self {
        let rig = Self::on(ProbeFs::new(), config, at(0));
        for id in [A, B, C, P] {
            rig.shard
                .add_log(id, config_of(id), LeaderEpoch(0), rig.now)
                .unwrap();
        }
        // The first points are written now, not in the middle of a test.
        rig.shard.tick(rig.now);
        rig.fs.forget();
        rig
    }

    /// A shard on what a disk holds.
    fn on(fs: ProbeFs, config: ShardConfig, now: Now) -> Self {
        let (shard, recovered) = open_with(&fs, config, now).unwrap();
        Self {
            fs,
            shard,
            recovered,
            now,
            answers: Answers::default(),
        }
    }

    /// A new shard on what the disk holds once its power was cut.
    fn cut_power(self) -> Self {
        let fs = self.fs.without_power();
        Self::on(fs, ShardConfig::default(), at(100_000))
    }

    /// A new shard on what the disk holds once the process was killed.
    fn kill(self) -> Self {
        let Self { fs, shard, .. } = self;
        drop(shard);
        fs.forget();
        Self::on(fs, ShardConfig::default(), at(100_000))
    }

    fn enqueue(&self, name: u32, log: LogId, ack: AckAt) {
        self.enqueue_batch(name, log, batch(10), ack);
    }

    fn enqueue_batch(&self, name: u32, log: LogId, batch: ProducedBatch, ack: AckAt) {
        let done = Done::new(self.answers.note(name));
        self.shard.enqueue(Append {
            log,
            sent: batch.into(),
            ack,
            now: self.now,
            done,
        });
    }

    /// One durable append to each of these logs, as one cycle.
    fn commit(&self, logs: &[LogId]) {
        for log in logs {
            self.enqueue(0, *log, AckAt::Durable);
        }
        self.shard.write_once();
        self.shard.sync_once();
        assert_eq!(self.answers.take_names().len(), logs.len());
    }

    fn marks(&self, id: LogId) -> [i64; 3] {
        let reader = self.shard.reader(id).unwrap();
        [reader.synced().0, reader.durable().0, reader.end().0]
    }

    /// How many records a consumer of the log gets.
    fn readable(&self, id: LogId) -> i64 {
        let reader = self.shard.reader(id).unwrap();
        let mut from = reader.start();
        loop {
            let slice = reader
                .read(from, 1 << 20, UpTo::Durable, Minimum::OneBatch)
                .unwrap();
            if slice.is_empty() {
                return from.0;
            }
            from = slice.next_offset;
        }
    }

    fn names(&self, dir: &str) -> Vec<String> {
        use crate::fs::Fs;
        self.fs.list(&Path::new(DIR).join(dir)).unwrap_or_default()
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}
