//! Changes of a topic's configs.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - All changes of one call are made, or none.

use std::collections::HashSet;

use crate::config::topic::{TopicConfig, TopicConfigs};
use crate::config::value::list;
use crate::error::{ConfigError, InvalidConfig};
use crate::machine::Effects;
use crate::meta::{ConfigChange, ConfigOperation, MetaMachine, MetaRecord};

impl MetaMachine {
    /// Changes configs of one topic.
    #[must_use]
    pub fn alter_configs(
        &self,
        name: &str,
        changes: &[ConfigChange],
    ) -> Effects<MetaRecord, Result<(), ConfigError>> {
        match self.altered(name, changes) {
            Ok(record) => Effects {
                records: record.into_iter().collect(),
                reply: Ok(()),
            },
            Err(error) => Effects::answer(Err(error)),
        }
    }

    /// The record of the changes; none if they change nothing.
    fn altered(
        &self,
        name: &str,
        changes: &[ConfigChange],
    ) -> Result<Option<MetaRecord>, ConfigError> {
        let topic = self.state().named(name).ok_or(ConfigError::UnknownTopic)?;
        let mut seen = HashSet::new();
        let mut configs = topic.configs.clone();
        for change in changes {
            if !seen.insert(&change.name) {
                let why = format!("{} is changed twice", change.name.escape_debug());
                return Err(ConfigError::InvalidRequest { why });
            }
            self.alter(&mut configs, change)?;
        }
        let changed = configs != topic.configs;
        let (id, configs) = (topic.id.0, configs.to_stored());
        Ok(changed.then_some(MetaRecord::TopicConfigsChanged { id, configs }))
    }

    fn alter(
        &self,
        configs: &mut TopicConfigs,
        change: &ConfigChange,
    ) -> Result<(), InvalidConfig> {
        match &change.operation {
            ConfigOperation::Set(value) => configs.set(&change.name, value).map(drop),
            ConfigOperation::Delete => configs.remove(&change.name),
            ConfigOperation::Append(more) => {
                let mut elements = self.elements(configs, &change.name)?;
                for element in list(more) {
                    if !elements.iter().any(|other| other == element) {
                        elements.push(element.to_owned());
                    }
                }
                configs.set(&change.name, &elements.join(",")).map(drop)
            }
            ConfigOperation::Subtract(less) => {
                let mut elements = self.elements(configs, &change.name)?;
                let less = list(less);
                elements.retain(|element| !less.contains(&element.as_str()));
                configs.set(&change.name, &elements.join(",")).map(drop)
            }
        }
    }

    /// The elements that a list config has now.
    fn elements(&self, configs: &TopicConfigs, name: &str) -> Result<Vec<String>, InvalidConfig> {
        let row = TopicConfig::named(name)
            .ok_or_else(|| InvalidConfig::new(name, "no topic config has this name"))?;
        if !row.check.is_list() {
            return Err(InvalidConfig::new(
                name,
                "only lists can be appended to or subtracted from",
            ));
        }
        let value = self.config.topic_value(configs, row);
        Ok(list(value).into_iter().map(str::to_owned).collect())
    }
}
