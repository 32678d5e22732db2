//! Topics that belong to the broker: everyone may read them, only the broker writes, makes and
//! keeps them.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Whatever is set on an internal topic or on the broker, its logs are always synced, and
//!   retention removes nothing.

use highwater_log::config::{Durability, OnFull, TimestampType};
use highwater_proto::clock::Wall;

use crate::config::BrokerConfig;
use crate::config::dynamic::Dynamic;
use crate::config::topic::{TopicConfigs, TopicSettings};
use crate::error::TopicError;
use crate::ids::TopicId;
use crate::machine::Effects;
use crate::meta::plan::Plan;
use crate::meta::{MetaMachine, MetaRecord, Topic};

/// The topic of the logs of groups.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

impl Topic {
    /// Whether the topic belongs to the broker.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.name == OFFSETS_TOPIC
    }
}

impl MetaMachine {
    /// Makes the topic of the logs of groups, unless it is there.
    #[must_use]
    pub fn create_offsets_topic(
        &self,
        now: Wall,
        id: TopicId,
    ) -> Effects<MetaRecord, Result<(), TopicError>> {
        if self.state().named(OFFSETS_TOPIC).is_some() {
            return Effects::answer(Ok(()));
        }
        let mut plan = Plan::new(self.state(), std::iter::empty());
        let reply = self.plan_offsets_topic(&mut plan, now, id);
        Effects {
            records: plan.records,
            reply,
        }
    }

    fn plan_offsets_topic(
        &self,
        plan: &mut Plan<'_>,
        now: Wall,
        id: TopicId,
    ) -> Result<(), TopicError> {
        let config = &self.config;
        let partitions = config.offsets_topic_num_partitions;
        plan.refuse_taken(OFFSETS_TOPIC)?;
        plan.refuse_too_many(partitions, config.broker_partitions_max)?;
        let segment_bytes = config.offsets_topic_segment_bytes.to_string();
        let mut configs = TopicConfigs::default();
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("durability", "fsync"),
            ("segment.bytes", &segment_bytes),
        ] {
            configs.set(name, value)?;
        }
        plan.records.push(MetaRecord::TopicCreated {
            id: id.0,
            name: OFFSETS_TOPIC.to_owned(),
            partitions,
            configs: configs.to_stored(),
            created_ms: now.0,
        });
        Ok(())
    }
}

/// What follows from the configs of a topic with this name and the broker's.
pub(super) fn settings_of(
    config: &BrokerConfig,
    dynamic: Dynamic<'_>,
    name: &str,
    configs: &TopicConfigs,
) -> TopicSettings {
    let mut settings = config.topic_settings(dynamic, configs);
    if name == OFFSETS_TOPIC {
        settings.compacted = true;
        let log = &mut settings.log;
        log.delete = false;
        log.retention_ms = None;
        log.retention_bytes = None;
        log.durability = Durability::Fsync;
        log.timestamp_type = TimestampType::CreateTime;
        log.on_full = OnFull::Refuse;
        // A group's whole state must fit, and time alone makes no new file.
        log.segment_bytes = log.segment_bytes.max(SEGMENT_BYTES_MIN);
        log.segment_ms = i64::MAX;
    }
    settings
}

/// Refuses what only the broker may do to an internal topic.
pub(super) fn refuse_internal(name: &str) -> Result<(), TopicError> {
    if name != OFFSETS_TOPIC {
        return Ok(());
    }
    Err(TopicError::InvalidName {
        why: format!("{OFFSETS_TOPIC} belongs to the broker, which makes it at its first use"),
    })
}

/// The lowest `offsets.topic.segment.bytes`.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
