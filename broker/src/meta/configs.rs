//! Changes of the configs of a topic or of a broker.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - All changes of one call are made, or none.

use std::collections::HashSet;

use crate::config::dynamic::{Dynamic, DynamicConfigs};
use crate::config::overrides::{Overrides, Table};
use crate::config::topic::{TopicConfig, TopicConfigs};
use crate::config::value::list;
use crate::error::{ConfigError, InvalidConfig};
use crate::machine::Effects;
use crate::meta::name::check;
use crate::meta::{AlterFrom, ConfigChange, ConfigOperation, MetaMachine, MetaRecord};

impl MetaMachine {
    /// Changes configs of one topic.
    #[must_use]
    pub fn alter_configs(
        &self,
        name: &str,
        from: AlterFrom,
        changes: &[ConfigChange],
    ) -> Effects<MetaRecord, Result<(), ConfigError>> {
        let Some(topic) = self.state().named(name) else {
            return Effects::answer(Err(unknown(name)));
        };
        let effective = |configs: &TopicConfigs, name: &str| {
            let row = TopicConfig::named(name)?;
            Some(self.layers(configs).value(row).to_owned())
        };
        let record = |configs: &TopicConfigs| MetaRecord::TopicConfigsChanged {
            id: topic.id.0,
            configs: configs.to_stored(),
        };
        let altered = altered(&topic.configs, from, changes, effective);
        let altered = altered.and_then(|mut configs| {
            self.keep_streams(topic, &configs)?;
            self.keep_history(&mut configs)?;
            Ok(configs)
        });
        effects(&topic.configs, altered, record)
    }

    /// Changes what is set on a broker while it runs; `None` is every broker. Whatever is wrong is
    /// a request that is not valid, as in Kafka.
    #[must_use]
    pub fn alter_broker_configs(
        &self,
        node_id: Option<i32>,
        from: AlterFrom,
        changes: &[ConfigChange],
    ) -> Effects<MetaRecord, Result<(), ConfigError>> {
        let nothing = DynamicConfigs::new();
        let now = self.state.brokers.get(&node_id).unwrap_or(&nothing);
        let effective = |configs: &DynamicConfigs, name: &str| {
            let row = TopicConfig::by_synonym(name)?;
            let no_topic = TopicConfigs::new();
            let mut dynamic = self.state.dynamic(self.config.node_id);
            match node_id {
                Some(_) => dynamic.broker = configs,
                None => {
                    dynamic = Dynamic {
                        every: configs,
                        ..Dynamic::default()
                    }
                }
            }
            let layers = self.config.layers(dynamic, &no_topic);
            Some(layers.value(row).to_owned())
        };
        let configs = altered(now, from, changes, effective).map_err(|error| match error {
            ConfigError::Invalid(error) => ConfigError::InvalidRequest {
                why: error.to_string(),
            },
            error => error,
        });
        effects(now, configs, |configs| MetaRecord::BrokerConfigsChanged {
            node_id,
            configs: configs.to_stored(),
        })
    }
}

/// The record of what was altered; none if nothing was.
fn effects<T: PartialEq>(
    now: &Overrides<T>,
    altered: Result<Overrides<T>, ConfigError>,
    record: impl FnOnce(&Overrides<T>) -> MetaRecord,
) -> Effects<MetaRecord, Result<(), ConfigError>> {
    match altered {
        Ok(configs) if configs == *now => Effects::answer(Ok(())),
        Ok(configs) => Effects {
            records: vec![record(&configs)],
            reply: Ok(()),
        },
        Err(error) => Effects::answer(Err(error)),
    }
}

/// What is set after the changes. `effective` is the whole value of a config over these.
fn altered<T: Table + Clone>(
    now: &Overrides<T>,
    from: AlterFrom,
    changes: &[ConfigChange],
    effective: impl Fn(&Overrides<T>, &str) -> Option<String>,
) -> Result<Overrides<T>, ConfigError> {
    let mut seen = HashSet::new();
    let mut configs = match from {
        AlterFrom::Current => now.clone(),
        AlterFrom::Defaults => Overrides::new(),
    };
    for ConfigChange { name, operation } in changes {
        if !seen.insert(name) {
            let why = format!("{} is changed twice", name.escape_debug());
            return Err(ConfigError::InvalidRequest { why });
        }
        let elements = |configs: &Overrides<T>| {
            refuse_no_list::<T>(name)?;
            let value = effective(configs, name).unwrap_or_default();
            Ok::<_, InvalidConfig>(list(&value).into_iter().map(str::to_owned).collect())
        };
        match operation {
            ConfigOperation::Set(value) => configs.set(name, value).map(drop)?,
            ConfigOperation::Delete => configs.remove(name)?,
            ConfigOperation::Append(more) => {
                let mut elements: Vec<String> = elements(&configs)?;
                for element in list(more) {
                    if !elements.iter().any(|other| other == element) {
                        elements.push(element.to_owned());
                    }
                }
                configs.set(name, &elements.join(",")).map(drop)?;
            }
            ConfigOperation::Subtract(less) => {
                let mut elements: Vec<String> = elements(&configs)?;
                let less = list(less);
                elements.retain(|element| !less.contains(&element.as_str()));
                configs.set(name, &elements.join(",")).map(drop)?;
            }
        }
    }
    Ok(configs)
}

fn refuse_no_list<T: Table>(name: &str) -> Result<(), InvalidConfig> {
    match T::find(name) {
        Some((_, check)) if check.is_list() => Ok(()),
        Some(_) => Err(InvalidConfig::new(
            name,
            "only lists can be appended to or subtracted from",
        )),
        None => Err(InvalidConfig::new(name, T::UNKNOWN)),
    }
}

/// What is said of a topic that is not there.
pub(crate) fn unknown(name: &str) -> ConfigError {
    match check(name) {
        Ok(()) => ConfigError::UnknownTopic,
        Err(error) => ConfigError::InvalidTopic {
            why: error.to_string(),
        },
    }
}
