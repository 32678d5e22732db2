//! Offsets point into logs: what is not durable there is synced before an offset beyond it is made
//! durable, so that after a power cut no group is ahead of its log. Consumers read such records on
//! `page-cache` topics; elsewhere only a client that commits what it has not read gets there.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Who comes while a sync runs is served by the next one, together with all who came meanwhile.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use highwater_log::config::Durability;
use highwater_log::reader::LogReader;
use highwater_log::types::{LogId, Offset};
use highwater_proto::group_log::GroupRecord;

use crate::service::Service;

/// What waits for the next sync.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    /// Up to where which logs have to be synced.
    wanted: Mutex<BTreeMap<LogId, Offset>>,
    turn: tokio::sync::Mutex<()>,
}

impl Pointers {
    fn wanted(&self) -> MutexGuard<'_, BTreeMap<LogId, Offset>> {
        // It is changed by whole entries.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, targets: &BTreeMap<LogId, Offset>) {
        let mut wanted = self.wanted();
        for (log, end) in targets {
            let at = wanted.entry(*log).or_insert(*end);
            *at = (*at).max(*end);
        }
    }
}

impl Service {
    /// Syncs the logs that the offsets of these records point into, up to those offsets.
    pub(super) async fn sync_targets_of(&self, records: &[GroupRecord]) -> Result<(), String> {
        let mut targets = self.unsynced(records);
        if targets.is_empty() {
            return Ok(());
        }
        let pointers = &self.inner.groups.pointers;
        pointers.add(&targets);
        let _turn = pointers.turn.lock().await;
        // The sync before may have been the one that this call needs.
        targets.retain(|log, end| !self.is_durable(*log, Durability::PageCache, *end));
        if targets.is_empty() {
            return Ok(());
        }
        let all = std::mem::take(&mut *pointers.wanted());
        let synced = self.inner.shard.sync_up_to(all.into_iter().collect());
        synced.await.map_err(|error| error.to_string())
    }

    fn unsynced(&self, records: &[GroupRecord]) -> BTreeMap<LogId, Offset> {
        let mut targets = BTreeMap::new();
        for record in records {
            if let GroupRecord::Offset {
                topic,
                partition,
                value: Some(value),
                ..
            } = record
                && let Some(topic) = self.named(topic)
                && let Some(log) = topic.log(*partition)
                && !self.is_durable(log, topic.settings.log.durability, Offset(value.offset))
            {
                let end = targets.entry(log).or_insert(Offset(value.offset));
                *end = (*end).max(Offset(value.offset));
            }
        }
        targets
    }

    /// Whether a power cut takes nothing below `end`, as far as the log goes; one without files
    /// has nothing.
    fn is_durable(&self, log: LogId, durability: Durability, end: Offset) -> bool {
        let is_durable = |reader: LogReader| {
            let durable = match durability {
                Durability::Fsync => reader.durable(),
                Durability::PageCache => reader.synced(),
            };
            durable >= end.min(reader.end())
        };
        self.inner.shard.reader(log).is_none_or(is_durable)
    }
}
