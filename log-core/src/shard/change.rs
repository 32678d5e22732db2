//! Logs come, go and change while the shard runs.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - A log's directory is removed only by [`Shard::remove_log`]; nobody's data is moved, not
//!   deleted.
//! - A log that becomes an `fsync` log is synced first: its journaled batches continue what its
//!   file holds durably.
//! - Records are deleted only below what the log's own file holds durably.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use highwater_proto::clock::Now;

use super::{Shard, Slot};
use crate::config::{Durability, LogConfig};
use crate::error::LogError;
use crate::log::{Log, LogReader, Retired};
use crate::sync::{Mutex, lock};
use crate::types::{LeaderEpoch, LogId, Offset};

impl Shard {
    /// Makes a new log. One that is open already keeps what it holds and takes the configuration.
    /// The id of a log that was removed is never used again: the journal may still know it.
    pub fn add_log(
        &self,
        id: LogId,
        config: LogConfig,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<LogReader, LogError> {
        let names = lock(&self.names);
        self.expect_open()?;
        if let Some(slot) = self.slot(id) {
            drop(names);
            self.telling(&slot, || self.configure(&slot, config))?;
            return Ok(slot.reader.clone());
        }
        let created = self.with_reserve(|| {
            let upkeep = lock(&self.upkeep);
            upkeep.dir.create_log(id, config.clone(), epoch, now)
        });
        let log = self.poisoning(created)?;
        let slot = Slot::new(id, log);
        let reader = slot.reader.clone();
        self.slots
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, slot);
        Ok(reader)
    }

    /// Removes a log and its files; they are gone when this returns `Ok`. After an error the log is
    /// closed, and what is left of its files goes when this is called again. Appends that wait for
    /// its sync are still answered.
    pub fn remove_log(&self, id: LogId) -> Result<(), LogError> {
        let _names = lock(&self.names);
        self.expect_open()?;
        for slot in self.take_slots(|other| *other != id) {
            drop(lock(&slot.log).take());
        }
        lock(&self.dirty).remove(&id);
        let removed = lock(&self.upkeep).dir.remove_log(id);
        self.poisoning(removed)
    }

    /// Closes every log that is not `known` and moves what nobody claims to `lost+found`; answers
    /// where it went, as paths below the data directory.
    pub fn move_aside(&self, known: &BTreeSet<LogId>) -> Result<Vec<PathBuf>, LogError> {
        let _names = lock(&self.names);
        self.expect_open()?;
        for slot in self.take_slots(|id| known.contains(id)) {
            drop(lock(&slot.log).take());
        }
        let moved = self.with_reserve(|| lock(&self.upkeep).dir.set_aside(known));
        self.poisoning(moved)
    }

    /// Changes the policies of a log.
    pub fn set_config(&self, id: LogId, config: LogConfig) -> Result<(), LogError> {
        self.expect_open()?;
        let slot = self.slot(id).ok_or(LogError::Closed)?;
        self.telling(&slot, || self.configure(&slot, config))
    }

    /// Lets appends to this log go on below `min.free.bytes`: for the small logs that a full disk
    /// must not stop, because deletes and offset commits stand in them.
    pub fn mark_vital(&self, id: LogId) {
        if let Some(slot) = self.slot(id) {
            slot.is_vital.store(true, Ordering::Relaxed);
        }
    }

    /// Starts a leader epoch in every log, durably; one that has it already stays as it is. Nothing
    /// may be appended meanwhile.
    ///
    /// # Errors
    /// The disk's. Any of them makes the shard read-only: the logs have the epoch already, and no
    /// disk may know of it.
    pub fn raise_epochs(&self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.expect_open()?;
        let begun = self.each_log(|log| Ok(log.raise_epoch(epoch)))?;
        if begun.iter().all(|(_, is_begun)| !is_begun) {
            return Ok(());
        }
        self.with_reserve(|| self.write_points(&mut lock(&self.upkeep)))
            .map_err(|why| self.poison(&why))
    }

    /// Removes the segments that their logs' policies no longer keep, and answers what went.
    /// The first failure is the answer; the other logs are served all the same.
    pub fn apply_retention(&self, now: Now) -> Result<Vec<(LogId, Retired)>, LogError> {
        self.expect_open()?;
        self.each_log(|log| log.apply_retention(now))
    }

    /// Moves a log's start up to `before`, durably; answers the start.
    pub fn delete_records(&self, id: LogId, before: Offset, now: Now) -> Result<Offset, LogError> {
        self.expect_open()?;
        let slot = self.slot(id).ok_or(LogError::Closed)?;
        // The log needs this, too, and would do it under its lock.
        slot.sync_up_to(before).map_err(|why| self.poison(&why))?;
        let deleted = self.with_reserve(|| {
            let mut log = lock(&slot.log);
            log.as_mut()
                .ok_or(LogError::Closed)?
                .delete_records(before, now)
        });
        self.poisoning(deleted)
    }

    fn configure(&self, slot: &Slot, config: LogConfig) -> Result<(), LogError> {
        let mut held = lock(&slot.log);
        let log = held.as_mut().ok_or(LogError::Closed)?;
        let becomes_fsync = config.durability == Durability::Fsync
            && log.config().durability == Durability::PageCache;
        if becomes_fsync {
            if let Err(why) = log.sync_target().sync() {
                drop(held);
                return Err(self.poison(&why));
            }
            lock(&self.dirty).remove(&slot.id);
        }
        log.set_config(config)
    }

    /// Makes a change, and tells the log's readers if that has moved their mark.
    pub(super) fn telling<T>(&self, slot: &Slot, change: impl FnOnce() -> T) -> T {
        let durable = slot.reader.durable();
        let changed = change();
        if slot.reader.durable() > durable {
            self.announce(&[slot.id]);
        }
        changed
    }

    fn each_log<T>(
        &self,
        mut change: impl FnMut(&mut Log) -> Result<T, LogError>,
    ) -> Result<Vec<(LogId, T)>, LogError> {
        let mut changed = Vec::new();
        let mut failed = None;
        for slot in self.all_slots() {
            let result = self.telling(&slot, || {
                self.with_reserve(|| lock(&slot.log).as_mut().map(&mut change).transpose())
            });
            match self.poisoning(result) {
                Ok(None) => {}
                Ok(Some(value)) => changed.push((slot.id, value)),
                Err(error) => {
                    tracing::warn!(log = %slot.id, %error, "a log could not be changed");
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(changed), Err)
    }

    /// Spreads the poison of one log to the shard. A failed sync is final, one of names, too: the
    /// next one of the directory may answer success while the name is on no disk.
    pub(super) fn poisoning<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        match result {
            Err(why @ (LogError::Poisoned { .. } | LogError::Io { op: "sync", .. })) => {
                Err(self.poison(&why))
            }
            other => other,
        }
    }
}

impl Slot {
    pub(super) fn new(id: LogId, log: Log) -> Arc<Self> {
        let reader = log.reader();
        let is_vital = AtomicBool::new(false);
        Arc::new(Self {
            id,
            reader,
            log: Mutex::new(Some(log)),
            is_vital,
        })
    }
}
