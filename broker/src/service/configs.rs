//! Configs of topics and of the broker: described, and those of topics altered.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A description holds every config with its effective value.

use highwater_log::error::LogError;

use crate::config::topic::TopicConfig;
use crate::config::value::{ConfigEntry, ConfigSource, ConfigType};
use crate::error::ConfigError;
use crate::ids::TopicRef;
pub use crate::meta::{ConfigChange, ConfigOperation};
use crate::meta::{MetaMachine, check_name};
use crate::service::{MetaKey, Service};

/// What has configs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// The broker with this id, or the cluster's default for an empty text.
    Broker(String),
    /// Something that has no configs here, by Kafka's number of its type.
    Other {
        /// Kafka's number of the type.
        kind: i8,
        /// Its name.
        name: String,
    },
}

/// Whose configs are asked for, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeConfigs {
    /// What has the configs.
    pub resource: ConfigResource,
    /// The names; `None` for all.
    pub names: Option<Vec<String>>,
}

/// The configs of one resource; in the order of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConfigs {
    /// What has the configs, as in the call.
    pub resource: ConfigResource,
    /// The configs, or why not.
    pub result: Result<Vec<ConfigEntry>, ConfigError>,
}

/// Changes of one resource's configs: all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    /// What has the configs.
    pub resource: ConfigResource,
    /// The changes.
    pub changes: Vec<ConfigChange>,
}

/// What became of one resource's changes; in the order of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredConfigs {
    /// What has the configs, as in the call.
    pub resource: ConfigResource,
    /// Nothing, or why nothing was changed.
    pub result: Result<(), ConfigError>,
}

impl Service {
    /// Describes the configs of topics and of the broker.
    #[must_use]
    pub fn describe_configs(&self, resources: Vec<DescribeConfigs>) -> Vec<DescribedConfigs> {
        let describe = |asked: DescribeConfigs| {
            let mut result = self.entries(&asked.resource);
            if let (Ok(entries), Some(names)) = (&mut result, &asked.names) {
                entries.retain(|entry| names.iter().any(|name| name == entry.name));
            }
            DescribedConfigs {
                resource: asked.resource,
                result,
            }
        };
        resources.into_iter().map(describe).collect()
    }

    fn entries(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>, ConfigError> {
        match resource {
            ConfigResource::Topic(name) => match self.named(name) {
                Some(topic) => Ok(self.config().topic_entries(&topic.configs)),
                None => Err(match check_name(name) {
                    Ok(()) => ConfigError::UnknownTopic,
                    Err(error) => ConfigError::InvalidTopic {
                        why: error.to_string(),
                    },
                }),
            },
            ConfigResource::Broker(name) => {
                self.check_broker(name)?;
                let mut entries = self.config().entries();
                entries.extend(self.facts());
                entries.sort_unstable_by_key(|entry| entry.name);
                Ok(entries)
            }
            ConfigResource::Other { kind, .. } => Err(no_configs(*kind)),
        }
    }

    fn check_broker(&self, name: &str) -> Result<(), ConfigError> {
        let node_id = self.config().node_id;
        if name.is_empty() || name.parse() == Ok(node_id) {
            return Ok(());
        }
        let why = format!("there is no broker {}, only {node_id}", name.escape_debug());
        Err(ConfigError::InvalidRequest { why })
    }

    /// What tools read as configs though it cannot be set.
    fn facts(&self) -> [ConfigEntry; 2] {
        let fact = |name, value: &str, documentation| ConfigEntry {
            name,
            value: value.to_owned(),
            source: ConfigSource::StaticBroker,
            kind: ConfigType::String,
            read_only: true,
            synonyms: Vec::new(),
            documentation,
        };
        [
            fact(
                "inter.broker.protocol.version",
                "3.9",
                "The Kafka release that tools may expect.",
            ),
            fact("log.dirs", &self.inner.data_dir, "Where the data is."),
        ]
    }

    /// Changes configs of topics; those of the broker are set at its start.
    pub async fn alter_configs(
        &self,
        resources: Vec<AlterConfigs>,
        validate_only: bool,
    ) -> Vec<AlteredConfigs> {
        let mut altered = Vec::with_capacity(resources.len());
        for (at, asked) in resources.iter().enumerate() {
            let is_named_again = resources
                .iter()
                .enumerate()
                .any(|(o, r)| o != at && r.resource == asked.resource);
            let result = if is_named_again {
                let why = "the request names the resource more than once".to_owned();
                Err(ConfigError::InvalidRequest { why })
            } else {
                self.alter(asked, validate_only).await
            };
            altered.push(AlteredConfigs {
                resource: asked.resource.clone(),
                result,
            });
        }
        altered
    }

    async fn alter(&self, asked: &AlterConfigs, validate_only: bool) -> Result<(), ConfigError> {
        let name = match &asked.resource {
            ConfigResource::Topic(name) => name.clone(),
            ConfigResource::Broker(name) => {
                self.check_broker(name)?;
                let why = "the broker's configs are set at its start".to_owned();
                return Err(ConfigError::InvalidRequest { why });
            }
            ConfigResource::Other { kind, .. } => return Err(no_configs(*kind)),
        };
        let changes = asked.changes.clone();
        if validate_only {
            return self
                .inner
                .meta
                .read(|meta| meta.alter_configs(&name, &changes).reply);
        }
        for change in changes
            .iter()
            .filter(|change| TopicConfig::is_ignored(&change.name))
        {
            let topic = name.escape_debug();
            tracing::info!(%topic, config = change.name, "a config of Kafka 3.x is ignored");
        }
        let service = self.clone();
        let written = self.to_the_end(async move {
            let topic = name.clone();
            let decide = move |meta: &MetaMachine| meta.alter_configs(&topic, &changes);
            let decided = service.inner.meta.write(MetaKey::Topics, decide).await?;
            service.apply_config(&name).await?;
            Ok(decided)
        });
        written.await.map_err(|error| ConfigError::Storage {
            why: error.to_string(),
        })?
    }

    /// Hands the policies of a topic to those of its logs that are open.
    async fn apply_config(&self, name: &str) -> Result<(), LogError> {
        let Some(id) = self.named(name).map(|topic| topic.id) else {
            return Ok(());
        };
        let service = self.clone();
        // The newest policies when it is this call's turn, whoever set them.
        let policy = move || {
            service
                .topic(&TopicRef::Id(id))
                .map(|t| t.settings.log.clone())
        };
        let logs = self
            .inner
            .shard
            .log_ids()
            .into_iter()
            .filter(|log| log.topic == id.0);
        self.inner.shard.set_config(logs.collect(), policy).await
    }
}

fn no_configs(kind: i8) -> ConfigError {
    ConfigError::InvalidRequest {
        why: format!("resources of type {kind} have no configs here"),
    }
}
