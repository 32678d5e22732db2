//! Recovery of the groups: every record of `__consumer_offsets`, before anybody is served.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A record that cannot be read stops the start. One of a kind that this version does not know
//!   is kept, for a version that does.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::clock::Now;
use highwater_proto::group_log::{GroupLogError, GroupRecord};
use highwater_proto::record::Record;

use crate::config::BrokerConfig;
use crate::coordinator::replay_records;
use crate::error::BrokerError;
use crate::group::{GroupConfig, GroupMachine};
use crate::meta::Topic;
use crate::shard::Shard;

/// Keys and values of records that this version does not know.
#[derive(Debug, Default)]
pub(in crate::service) struct UnknownRecords {
    /// By partition.
    by_partition: BTreeMap<i32, BTreeMap<Bytes, Bytes>>,
}

impl UnknownRecords {
    pub(super) fn of(&self, partition: i32) -> impl ExactSizeIterator<Item = (&Bytes, &Bytes)> {
        const NONE: &BTreeMap<Bytes, Bytes> = &BTreeMap::new();
        self.by_partition.get(&partition).unwrap_or(NONE).iter()
    }

    fn count(&self) -> usize {
        self.by_partition.values().map(BTreeMap::len).sum()
    }

    /// Copies, so that the batches go that they came in.
    fn apply(&mut self, partition: i32, key: &Bytes, value: Option<&Bytes>) {
        let records = self.by_partition.entry(partition).or_default();
        match value {
            Some(value) => {
                records.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
            }
            None => records.remove(key),
        };
    }
}

/// The groups as their logs tell of them.
#[derive(Debug)]
pub(in crate::service) struct RecoveredGroups {
    pub(super) machine: GroupMachine,
    pub(super) unknown: UnknownRecords,
}

impl RecoveredGroups {
    /// Replays the logs of the topic, as far as there are any. Blocks.
    pub(in crate::service) fn read(
        config: &BrokerConfig,
        topic: Option<&Topic>,
        shard: &Shard,
        now: Now,
    ) -> Result<Self, BrokerError> {
        let mut recovered = Self {
            machine: GroupMachine::new(Arc::new(group_config(config))),
            unknown: UnknownRecords::default(),
        };
        let logs = topic.into_iter().flat_map(Topic::logs);
        for (partition, log) in (0..).zip(logs) {
            let Some(reader) = shard.reader(log) else {
                continue;
            };
            shard.mark_vital(log);
            let replayed = replay_records(&reader, |record| recovered.apply(partition, &record));
            replayed.map_err(|error| BrokerError::Groups {
                partition,
                offset: error.offset,
                why: error.why,
            })?;
        }
        let unknown_count = recovered.unknown.count();
        if unknown_count > 0 {
            tracing::warn!(
                unknown_count,
                "records of groups are of kinds that this version does not know; they are kept"
            );
        }
        recovered.machine.recovered(now);
        Ok(recovered)
    }

    fn apply(&mut self, partition: i32, record: &Record) -> Result<(), String> {
        let key = record.key.as_ref().ok_or("it has no key")?;
        match GroupRecord::decode(key, record.value.as_deref()) {
            Ok(record) => self.machine.apply(&record),
            Err(GroupLogError::UnknownType(_)) => {
                self.unknown.apply(partition, key, record.value.as_ref());
            }
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }
}

fn group_config(config: &BrokerConfig) -> GroupConfig {
    let positive = |number: i32| number.unsigned_abs();
    GroupConfig {
        session_timeout_ms_min: config.group_min_session_timeout_ms,
        session_timeout_ms_max: config.group_max_session_timeout_ms,
        initial_rebalance_delay_ms: positive(config.group_initial_rebalance_delay_ms).into(),
        members_max: positive(config.group_max_size) as usize,
        groups_max: config.groups_max,
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * 60_000,
    }
}
