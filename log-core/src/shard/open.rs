//! A start: the logs are opened, the journal is replayed into them, and what was recovered is
//! durable before anybody sees it.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - A journaled batch at its log's end is appended; one below it is there already; one beyond it
//!   is a gap, which is reported, and the log keeps what it has.
//! - Batches of logs that are not there are skipped: ids are never used again.
//! - A crash at any step leaves a directory that is recovered by the same steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, RwLock};

use bytes::{Buf, Bytes};
use highwater_proto::clock::{Mono, Now};

use super::commit::Waiting;
use super::side_by_side::side_by_side;
use super::space::Space;
use super::tick::{Upkeep, bounded};
use super::{Hooks, JournalGap, Shard, ShardConfig, ShardRecovered, Slot};
use crate::combine::{Bell, Combine};
use crate::config::LogConfig;
use crate::data_dir::DataDir;
use crate::error::LogError;
use crate::fs::OpenMode;
use crate::journal::Journal;
use crate::log::Log;
use crate::sync::Mutex;
use crate::types::{LogId, Offset};

impl Shard {
    /// Opens every log of the directory: with the configuration given for it, else with the
    /// default one, until [`Self::set_config`]. A configuration without a log on the disk makes
    /// none.
    ///
    /// # Errors
    /// The disk's; [`LogError::TooNew`]. Damage is no error: it is contained and reported.
    pub fn open(
        mut dir: DataDir,
        configs: Vec<(LogId, LogConfig)>,
        config: ShardConfig,
        now: Now,
    ) -> Result<(Arc<Self>, ShardRecovered), LogError> {
        dir.set_key_seed(config.key_seed);
        let space = Space::new(&dir, &config, now.mono)?;
        let opened = match recover(&mut dir, &configs, &config, now) {
            // What was done is done again: recovery may be cut off at every step.
            Err(error) if error.is_full() && space.release() => {
                recover(&mut dir, &configs, &config, now)
            }
            done => done,
        };
        let (journal, logs, recovered) = opened?;
        let shard = Self::assemble(dir, logs, journal, config, space);
        Ok((Arc::new(shard), recovered))
    }

    fn assemble(
        dir: DataDir,
        logs: BTreeMap<LogId, Log>,
        journal: Journal,
        config: ShardConfig,
        space: Space,
    ) -> Self {
        let parallel_syncs = dir.fs().parallel_syncs();
        let slots = logs
            .into_iter()
            .map(|(id, log)| (id, Slot::new(id, log)))
            .collect();
        let upkeep = Upkeep {
            dir,
            points: Vec::new(),
            checkpoint_at: Mono(0),
            unindexed_bytes: 0,
        };
        Self {
            config,
            names: Mutex::new(()),
            slots: RwLock::new(slots),
            queue: Combine::new(),
            waiting: Mutex::new(Waiting::default()),
            commit_bell: Bell::new(),
            committers: AtomicUsize::new(0),
            journal: Mutex::new(journal),
            upkeep: Mutex::new(upkeep),
            dirty: Mutex::new(BTreeMap::new()),
            work_bell: Bell::new(),
            planned: AtomicU64::new(Mono::NEVER.0),
            unpointed_bytes: AtomicU64::new(0),
            space,
            dropped_segments: AtomicU64::new(0),
            dropped_bytes: AtomicU64::new(0),
            poisoned: Mutex::new(None),
            is_closed: AtomicBool::new(false),
            parallel_syncs,
            hooks: Hooks::default(),
        }
    }
}

/// Opens the logs and the journal, and makes durable what is there.
fn recover(
    dir: &mut DataDir,
    configs: &[(LogId, LogConfig)],
    config: &ShardConfig,
    now: Now,
) -> Result<(Journal, BTreeMap<LogId, Log>, ShardRecovered), LogError> {
    let mut recovered = ShardRecovered {
        is_clean: dir.is_clean(),
        is_new: dir.is_new(),
        ..ShardRecovered::default()
    };
    dir.mark_in_use()?;
    let mode = if dir.is_clean() {
        OpenMode::Append
    } else {
        OpenMode::Recover
    };
    let fs = Arc::clone(dir.fs());
    let mut journal = Journal::open(fs, dir.root(), config.journal_bytes, mode, now)?;
    if !dir.is_clean() {
        dir.sync_names()?;
    }
    let mut logs = open_logs(dir, configs, now, &mut recovered)?;
    // Also if a log is not as it was closed: the journal may still hold what it lacks.
    if !recovered.is_clean {
        replay(&journal, &mut logs, &mut recovered, now)?;
        let points: Vec<_> = logs
            .iter()
            .map(|(id, log)| (*id, log.recovery_point()))
            .collect();
        dir.write_points(&bounded(&points))?;
        journal.reset()?;
    }
    Ok((journal, logs, recovered))
}

fn open_logs(
    dir: &DataDir,
    configs: &[(LogId, LogConfig)],
    now: Now,
    recovered: &mut ShardRecovered,
) -> Result<BTreeMap<LogId, Log>, LogError> {
    let configs: BTreeMap<_, _> = configs.iter().map(|(id, config)| (*id, config)).collect();
    let default = LogConfig::default();
    let open = |id: &LogId| dir.open_log(*id, configs.get(id).copied().unwrap_or(&default), now);
    let ids = dir.logs()?;
    // A start after a crash is a few syncs a log.
    let opened = side_by_side(&ids, dir.fs().parallel_syncs(), open)?;
    let mut logs = BTreeMap::new();
    for (id, (log, found)) in ids.into_iter().zip(opened) {
        recovered.is_clean &= dir
            .stopped_at(id)
            .is_none_or(|end| end == log.marks().end());
        recovered.logs.push((id, found));
        logs.insert(id, log);
    }
    Ok(logs)
}

/// Appends what only the journal holds, and makes it durable in the logs' own files.
fn replay(
    journal: &Journal,
    logs: &mut BTreeMap<LogId, Log>,
    recovered: &mut ShardRecovered,
    now: Now,
) -> Result<(), LogError> {
    let mut touched = BTreeSet::new();
    let mut gaps: BTreeMap<LogId, JournalGap> = BTreeMap::new();
    let mut count = 0;
    let replayed = journal.replay(&mut |id, batch| {
        let (Some(log), Some(base)) = (logs.get_mut(&id), base_offset(&batch)) else {
            return Ok(());
        };
        let end = log.marks().end();
        if base == end {
            log.append_recovered(batch, now)?;
            touched.insert(id);
            count += 1;
        } else if base > end {
            gaps.entry(id).or_insert(JournalGap {
                log: id,
                end,
                journaled: base,
            });
        }
        Ok(())
    })?;
    for id in touched {
        let log = &logs[&id];
        let target = log.sync_target();
        target.sync()?;
        log.marks().advance_durable(target.end());
    }
    for gap in gaps.values() {
        let JournalGap {
            log,
            end,
            journaled,
        } = gap;
        tracing::error!(%log, %end, %journaled, "the journal does not continue the log: records are lost");
    }
    recovered.gaps = gaps.into_values().collect();
    recovered.replayed_batches = count;
    recovered.journal_damaged = replayed.damaged;
    Ok(())
}

fn base_offset(batch: &Bytes) -> Option<Offset> {
    batch.clone().try_get_i64().ok().map(Offset)
}
