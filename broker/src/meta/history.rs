//! Topics with streams: what is decided once, and that nothing of them is removed unawares.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Whether a topic has streams is decided when it is created.
//! - A topic with streams keeps every record, whatever the defaults of the broker become, unless it
//!   has `allow.history.loss=true` itself.
//! - Its number of partitions never changes.

use crate::config::topic::{TopicConfig, TopicConfigs, TopicSettings};
use crate::config::value::list;
use crate::error::{InvalidConfig, TopicError};
use crate::meta::{MetaMachine, Topic};

impl MetaMachine {
    /// Refuses configs under which records of a topic with streams would be removed, unless they
    /// allow it; else they become the topic's own, so that no later default of the broker reaches
    /// it.
    pub(super) fn keep_history(&self, configs: &mut TopicConfigs) -> Result<(), InvalidConfig> {
        if !self.settings(configs).keeps_history {
            return Ok(());
        }
        for (name, kept) in KEPT {
            let row = TopicConfig::named(name);
            let value = row.map_or(kept, |row| self.layers(configs).value(row));
            if list(value).iter().any(|element| *element != kept) {
                let whose = match configs.value(name) {
                    Some(_) => "",
                    None => ", the broker's default,",
                };
                let why = format!(
                    "with {value}{whose} records would be removed, and a topic with \
                     append.conditional=true keeps its history: set {name}={kept}, or \
                     allow.history.loss=true beside it"
                );
                return Err(InvalidConfig::new(name, why));
            }
            configs.set(name, kept)?;
        }
        Ok(())
    }

    /// Refuses to make streams of a topic that has none, and the other way round.
    pub(super) fn keep_streams(
        &self,
        topic: &Topic,
        configs: &TopicConfigs,
    ) -> Result<(), InvalidConfig> {
        let had = topic.settings.log.key_index;
        if self.settings(configs).log.key_index == had {
            return Ok(());
        }
        let why = format!(
            "it is decided when a topic is created, and is {had} for this one; a request that \
             replaces all configs has to name it"
        );
        Err(InvalidConfig::new("append.conditional", why))
    }

    fn settings(&self, configs: &TopicConfigs) -> TopicSettings {
        let dynamic = self.state().dynamic(self.config.node_id);
        self.config.topic_settings(dynamic, configs)
    }
}

/// Refuses more partitions for a topic with streams.
pub(super) fn refuse_split(topic: &Topic) -> Result<(), TopicError> {
    if !topic.settings.log.key_index {
        return Ok(());
    }
    Err(TopicError::InvalidPartitions {
        why:
            "the topic has append.conditional=true, and with more partitions the later events of a \
            key would be in another one than its earlier events"
                .to_owned(),
    })
}

/// The configs by which records are removed, each with the value by which none is.
const KEPT: [(&str, &str); 4] = [
    ("cleanup.policy", "delete"),
    ("on.full", "refuse"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];
