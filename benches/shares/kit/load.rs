//! Batches and logs to measure with.

use std::error::Error;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use highwater_log::config::{Durability, LogConfig};
use highwater_log::fs::os::OsFs;
use highwater_log::{DataDir, LogId, Shard, ShardConfig};
use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::clock::{Clock, Mono};
use highwater_proto::compress::Codec;

use super::disk::Folder;
use super::run::Run;
use highwater_broker::clock::SystemClock;

/// A batch of records of 1 KiB, at most so many bytes long and no record shorter than that.
pub(crate) fn batch(bytes: usize) -> Result<Bytes, Box<dyn Error>> {
    let mut builder = BatchBuilder::new(Codec::None);
    let value: Vec<u8> = (0..=255)
        .cycle()
        .take(RECORD_BYTES.min(bytes / 2))
        .collect();
    while builder.bytes() + builder.record_bytes(0, None, Some(&value), &[]) <= bytes {
        builder.append(1_700_000_000_000, None, Some(&value), &[])?;
    }
    Ok(builder.build()?)
}

/// The same, checked.
pub(crate) fn produced(bytes: usize) -> Result<ProducedBatch, Box<dyn Error>> {
    Ok(validate_produced(
        &batch(bytes)?,
        &ProduceLimits::default(),
    )?)
}

/// A shard over a folder, with its upkeep on a thread of its own as in the broker.
pub(crate) struct Disk {
    /// The shard.
    pub(crate) shard: Arc<Shard>,
    upkeep: Option<JoinHandle<()>>,
    clock: SystemClock,
    // Goes last: the shard holds files in it.
    _folder: Folder,
}

impl Disk {
    /// A new shard without logs.
    pub(crate) fn new(run: &Run, name: &str) -> Result<Self, Box<dyn Error>> {
        let folder = run.folder(name)?;
        let clock = SystemClock::new();
        let dir = DataDir::open(Arc::new(OsFs::new()), folder.path())?;
        let (shard, _) = Shard::open(dir, Vec::new(), ShardConfig::default(), clock.now())?;
        let ticked = Arc::clone(&shard);
        let upkeep = std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || {
                loop {
                    let now = clock.now().mono;
                    let next = ticked.tick(clock.now());
                    if next == Mono::NEVER {
                        return;
                    }
                    ticked.wait_for_work(next.since(now));
                }
            })?;
        Ok(Self {
            shard,
            upkeep: Some(upkeep),
            clock,
            _folder: folder,
        })
    }

    /// Adds a log.
    pub(crate) fn log(
        &self,
        partition: u32,
        durability: Durability,
    ) -> Result<LogId, Box<dyn Error>> {
        let id = LogId {
            topic: [7; 16],
            partition,
        };
        let config = LogConfig {
            durability,
            ..LogConfig::default()
        };
        self.shard
            .add_log(id, config, highwater_log::LeaderEpoch(0), self.clock.now())?;
        Ok(id)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.shard.close(self.clock.now()) {
            eprintln!("the shard does not close: {error}");
        }
        if let Some(Err(_)) = self.upkeep.take().map(JoinHandle::join) {
            eprintln!("the upkeep has panicked");
        }
    }
}

/// The value of a record in bytes.
pub(crate) const RECORD_BYTES: usize = 1024;
