//! Highwater's log: one partition, appended to by callers who wait.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use highwater_broker::clock::SystemClock;
use highwater_log::config::{Durability, LogConfig};
use highwater_log::fs::os::OsFs;
use highwater_log::{
    AckAt, DataDir, LeaderEpoch, LogId, Minimum, Offset, Shard, ShardConfig, UpTo,
};
use highwater_proto::batch::{BatchHeader, ProduceLimits, check_crc, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::clock::{Clock, Mono};
use highwater_proto::compress::Codec;
use highwater_proto::record::RecordIter;

use super::Store;
use crate::Failure;
use crate::figures::Class;

struct OneLog {
    shard: Arc<Shard>,
    /// As in the broker; gone when they have ended.
    threads: Mutex<Vec<JoinHandle<()>>>,
    clock: SystemClock,
}

/// With a thread that commits, as in the broker.
pub(super) fn open_committing(folder: &Path, class: Class) -> Result<Box<dyn Store>, Failure> {
    let log = open_log(folder, class)?;
    let shard = Arc::clone(&log.shard);
    log.run("committer", move || shard.commit_loop())?;
    Ok(Box::new(log))
}

/// Whoever waits commits.
pub(super) fn open(folder: &Path, class: Class) -> Result<Box<dyn Store>, Failure> {
    Ok(Box::new(open_log(folder, class)?))
}

fn open_log(folder: &Path, class: Class) -> Result<OneLog, Failure> {
    let durability = match class {
        Class::Lazy => return Err("Highwater has no class 0".into()),
        Class::Cached => Durability::PageCache,
        Class::Synced => Durability::Fsync,
    };
    let clock = SystemClock::new();
    let dir = DataDir::open(Arc::new(OsFs::new()), folder)?;
    let (shard, _) = Shard::open(dir, Vec::new(), ShardConfig::default(), clock.now())?;
    let ticked = Arc::clone(&shard);
    let log = OneLog {
        shard,
        threads: Mutex::default(),
        clock,
    };
    log.run("upkeep", move || {
        loop {
            let now = clock.now().mono;
            let next = ticked.tick(clock.now());
            if next == Mono::NEVER {
                return;
            }
            ticked.wait_for_work(next.since(now));
        }
    })?;
    let config = LogConfig {
        durability,
        ..LogConfig::default()
    };
    let now = log.clock.now();
    log.shard.add_log(LOG, config, LeaderEpoch(0), now)?;
    Ok(log)
}

impl OneLog {
    fn run(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(work)?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(thread);
        Ok(())
    }
}

impl Store for OneLog {
    fn append(&self, values: &[Vec<u8>]) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut builder = BatchBuilder::new(Codec::None);
        for value in values {
            builder.append(now.wall.0, None, Some(value), &[])?;
        }
        let batch = validate_produced(&builder.build()?, &ProduceLimits::default())?;
        self.shard.append_wait(LOG, batch, AckAt::Durable, now)?;
        Ok(())
    }

    fn read_back(self: Box<Self>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let reader = self.shard.reader(LOG).ok_or("the log is open")?;
        let mut next = Offset(0);
        loop {
            let slice = reader.read(next, READ_BYTES, UpTo::Durable, Minimum::OneBatch)?;
            if slice.bytes == 0 {
                return Ok(());
            }
            next = slice.next_offset;
            for part in slice.parts {
                values_of(part, each)?;
            }
        }
    }
}

/// The values of whole batches.
fn values_of(mut batches: Bytes, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
    while !batches.is_empty() {
        let batch = batches.split_to(BatchHeader::parse(&batches)?.total_bytes());
        check_crc(&batch)?;
        for record in RecordIter::new(batch, READ_BYTES)? {
            each(record?.value.as_deref().unwrap_or_default());
        }
    }
    Ok(())
}

impl Drop for OneLog {
    fn drop(&mut self) {
        if let Err(error) = self.shard.close(self.clock.now()) {
            eprintln!("the shard does not close: {error}");
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("a thread of the shard has panicked");
            }
        }
    }
}

const LOG: LogId = LogId {
    topic: [7; 16],
    partition: 0,
};
const READ_BYTES: usize = 1 << 20;
