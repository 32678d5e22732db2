//! Opening the shard: recovery, then what commits.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Every log of the directory is open, known to the metadata or not: only one of them can tell.

use std::path::PathBuf;
use std::sync::Arc;

use highwater_log::config::LogConfig;
use highwater_log::data_dir::DataDir;
use highwater_log::fs::Fs;
use highwater_log::keys::KeySeed;
use highwater_log::shard::{Shard as Core, ShardConfig, ShardRecovered};
use highwater_proto::clock::Clock;
use tokio::sync::{Notify, Semaphore, watch};

use crate::config::BrokerConfig;
use crate::error::BrokerError;
use crate::metrics::Metrics;
use crate::shard::committer::Committer;
use crate::shard::metered_fs::MeteredFs;
use crate::shard::{Shard, Waiters};
use crate::workers::Workers;

/// Where the logs are, and what drives them.
#[derive(Debug)]
pub struct ShardOptions<'a> {
    /// The disk.
    pub fs: Arc<dyn Fs>,
    /// The data directory.
    pub dir: PathBuf,
    /// The limits.
    pub config: &'a BrokerConfig,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tasks and slow work run.
    pub workers: Workers,
    /// Where commits and syncs are counted.
    pub metrics: Arc<Metrics>,
    /// Random bytes that the keys of new logs are hashed with.
    pub key_seed: KeySeed,
}

/// A shard that has recovered, and what recovery found.
#[derive(Debug)]
pub struct OpenedShard {
    /// The shard.
    pub shard: Arc<Shard>,
    /// What recovery found.
    pub recovered: ShardRecovered,
}

impl Shard {
    /// Locks the directory, recovers every log in it, and starts what commits. Blocks.
    pub fn open(options: ShardOptions<'_>) -> Result<OpenedShard, BrokerError> {
        let ShardOptions {
            fs,
            dir,
            config,
            clock,
            workers,
            metrics,
            key_seed,
        } = options;
        let fs = MeteredFs::over(fs, &clock, &metrics);
        let opened = DataDir::open(Arc::clone(&fs), &dir)?;
        // Which topics there are stands in one of these logs; until it is read, all are alike.
        let logs = opened
            .logs()?
            .into_iter()
            .map(|id| (id, LogConfig::default()))
            .collect();
        let (core, recovered) = {
            let limits = ShardConfig {
                key_seed,
                ..shard_config(config)
            };
            Core::open(opened, logs, limits, clock.now())?
        };
        let waiters = Arc::new(Waiters::new(config.fetch_parked_max));
        let moved = Arc::clone(&waiters);
        core.on_advance(move |logs| moved.moved(logs.iter().copied()));
        watch_commits(&core, &clock, &metrics);
        let work = Arc::new(Notify::new());
        let wanted = Arc::clone(&work);
        core.on_work(move || wanted.notify_one());
        let committer = Committer::start(&core, &workers)?;
        let room_bytes = u32::try_from(config.queued_max_bytes).unwrap_or(u32::MAX);
        let shard = Self {
            core,
            fs,
            dir,
            clock,
            workers,
            metrics,
            room: Arc::new(Semaphore::new(room_bytes as usize)),
            room_bytes,
            turn: Arc::default(),
            waiters,
            work,
            is_over: watch::Sender::new(false),
            committer,
        };
        Ok(OpenedShard {
            shard: Arc::new(shard),
            recovered,
        })
    }
}

fn watch_commits(core: &Core, clock: &Arc<dyn Clock>, metrics: &Arc<Metrics>) {
    if !metrics.is_on {
        return;
    }
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    core.on_cycle(move |cycle| {
        let took = clock.now().mono.since(cycle.since);
        metrics.commits.times.observe_time(took);
        metrics.commits.batches.observe(cycle.appends as u64);
        metrics.commits.logs.observe(cycle.logs as u64);
    });
}

fn shard_config(config: &BrokerConfig) -> ShardConfig {
    ShardConfig {
        journal_bytes: config.log_journal_bytes,
        journal_batch_bytes_max: config.log_journal_batch_max_bytes,
        checkpoint_ms: config.log_checkpoint_interval_ms,
        min_free_bytes: u64::try_from(config.min_free_bytes).ok(),
        reserve_bytes: config.log_dirs_reserve_bytes,
        dir_bytes_max: u64::try_from(config.log_dirs_max_bytes).ok(),
        ..ShardConfig::default()
    }
}
