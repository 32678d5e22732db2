//! Configs of topics and of the broker: described and altered.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A description holds every config with its effective value.

use std::collections::BTreeMap;

use highwater_log::error::LogError;
use highwater_log::types::LogId;

use crate::config::dynamic::Dynamic;
use crate::config::topic::TopicConfig;
use crate::config::value::{ConfigEntry, ConfigSource, ConfigSynonym, ConfigType};
use crate::error::{ConfigError, InvalidConfig};
use crate::ids::{TopicId, TopicRef};
pub use crate::meta::{AlterFrom, ConfigChange, ConfigOperation};
use crate::meta::{MetaMachine, unknown_topic};
use crate::service::{MetaKey, Service};

/// What has configs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// The broker with this id, or the cluster's default for an empty text.
    Broker(String),
    /// The levels of the loggers of the broker with this id.
    BrokerLogger(String),
    /// A subscription to the metrics of clients.
    ClientMetrics(String),
    /// A consumer group.
    Group(String),
    /// Something that has no configs, by Kafka's number of its type.
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
    /// Where the changes begin.
    pub from: AlterFrom,
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
            ConfigResource::Topic(name) => {
                let topic = self.named(name).ok_or_else(|| unknown_topic(name))?;
                let meta = &self.inner.meta;
                Ok(meta.read(|meta| meta.layers(&topic.configs).entries()))
            }
            ConfigResource::Broker(name) if name.is_empty() => Ok(self.set_on_every_broker()),
            ConfigResource::Broker(name) => {
                self.check_broker(name)?;
                let config = self.config();
                let meta = &self.inner.meta;
                let mut entries = meta.read(|meta| {
                    config.entries_while_running(meta.state().dynamic(config.node_id))
                });
                entries.extend(self.facts());
                entries.sort_unstable_by_key(|entry| entry.name);
                Ok(entries)
            }
            ConfigResource::BrokerLogger(name) => self.check_broker(name).map(|()| Vec::new()),
            ConfigResource::ClientMetrics(name) | ConfigResource::Group(name) => {
                if name.is_empty() {
                    return Err(invalid("the resource needs a name"));
                }
                Ok(Vec::new())
            }
            ConfigResource::Other { kind, .. } => Err(no_configs(*kind)),
        }
    }

    /// What is set for every broker while they run, and only that.
    fn set_on_every_broker(&self) -> Vec<ConfigEntry> {
        let config = self.config();
        let mut entries = self.inner.meta.read(|meta| {
            let every = meta.state().dynamic(config.node_id).every;
            config.entries_while_running(Dynamic {
                every,
                ..Dynamic::default()
            })
        });
        entries.retain(|entry| entry.source == ConfigSource::DynamicDefault);
        for entry in &mut entries {
            entry
                .synonyms
                .retain(|synonym| synonym.source == ConfigSource::DynamicDefault);
        }
        entries.sort_unstable_by_key(|entry| entry.name);
        entries
    }

    /// One line for each config of the broker that was set while it ran: it goes before what was
    /// set at the start.
    pub(crate) fn log_dynamic_configs(&self) {
        let config = self.config();
        let dynamic = |meta: &MetaMachine| {
            let all = meta.state().dynamic(config.node_id);
            config.entries_while_running(all)
        };
        for entry in self.inner.meta.read(dynamic) {
            if matches!(
                entry.source,
                ConfigSource::DynamicBroker | ConfigSource::DynamicDefault
            ) {
                tracing::info!(value = entry.value, "{}, set while running", entry.name);
            }
        }
    }

    /// Everything that can be described: every topic, the broker, and its loggers.
    #[must_use]
    pub fn config_resources(&self) -> Vec<ConfigResource> {
        let node_id = self.config().node_id.to_string();
        let mut topics: Vec<String> = self.inner.meta.read(|meta| {
            let topics = meta.state().topics();
            topics.map(|topic| topic.name.clone()).collect()
        });
        topics.sort_unstable();
        let broker = [
            ConfigResource::Broker(node_id.clone()),
            ConfigResource::BrokerLogger(node_id),
        ];
        let topics = topics.into_iter().map(ConfigResource::Topic);
        topics.chain(broker).collect()
    }

    fn check_broker(&self, name: &str) -> Result<(), ConfigError> {
        let node_id = self.config().node_id;
        if name.parse() == Ok(node_id) {
            return Ok(());
        }
        Err(invalid(format!(
            "there is no broker {}, only {node_id}",
            name.escape_debug()
        )))
    }

    /// What tools read as configs though it cannot be set.
    fn facts(&self) -> [ConfigEntry; 5] {
        let fact = |name, value: String, kind, documentation| ConfigEntry {
            name,
            synonyms: vec![ConfigSynonym {
                name,
                value: value.clone(),
                source: ConfigSource::StaticBroker,
            }],
            value,
            source: ConfigSource::StaticBroker,
            kind,
            read_only: true,
            documentation,
        };
        let (listeners, advertised) = self.listeners();
        [
            fact(
                "advertised.listeners",
                advertised,
                ConfigType::List,
                "Where clients are told to connect.",
            ),
            fact(
                "broker.id",
                self.config().node_id.to_string(),
                ConfigType::Int,
                "The id that clients see, by its old name.",
            ),
            fact(
                "inter.broker.protocol.version",
                "3.9".to_owned(),
                ConfigType::String,
                "The Kafka release that tools may expect.",
            ),
            fact(
                "listeners",
                listeners,
                ConfigType::List,
                "Where clients connect.",
            ),
            fact(
                "log.dirs",
                self.inner.data_dir.clone(),
                ConfigType::List,
                "Where the data is.",
            ),
        ]
    }

    /// Changes configs of topics, and those of the broker that are not set at its start: the
    /// defaults of topics, and what Kafka's tools set though it has no effect here.
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
                Err(invalid("the request names the resource more than once"))
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
            ConfigResource::Topic(name) if name.is_empty() => {
                return Err(invalid(
                    "topics have no configs in common; set the broker's",
                ));
            }
            ConfigResource::Topic(name) => name.clone(),
            ConfigResource::Broker(name) => {
                if !name.is_empty() {
                    self.check_broker(name)?;
                }
                return self
                    .alter_broker(!name.is_empty(), asked, validate_only)
                    .await;
            }
            ConfigResource::BrokerLogger(name) => {
                self.check_broker(name)?;
                return refuse_first(asked, "what is logged is set at the start");
            }
            ConfigResource::ClientMetrics(_) => {
                return refuse_first(asked, "the metrics of clients are not collected here");
            }
            ConfigResource::Group(_) => return refuse_first(asked, "groups have no configs here"),
            ConfigResource::Other { kind, .. } => return Err(no_configs(*kind)),
        };
        let (from, changes) = (asked.from, asked.changes.clone());
        if validate_only {
            return self
                .inner
                .meta
                .read(|meta| meta.alter_configs(&name, from, &changes).reply);
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
            let decide = move |meta: &MetaMachine| meta.alter_configs(&topic, from, &changes);
            let decided = service.inner.meta.write(MetaKey::Topics, decide).await?;
            if let Some(topic) = service.named(&name) {
                service.apply_configs(|log| log.topic == topic.id.0).await?;
            }
            Ok(decided)
        });
        answer(written.await)
    }

    async fn alter_broker(
        &self,
        this_one: bool,
        asked: &AlterConfigs,
        validate_only: bool,
    ) -> Result<(), ConfigError> {
        let node_id = this_one.then_some(self.config().node_id);
        let (from, changes) = (asked.from, asked.changes.clone());
        let decide = move |meta: &MetaMachine| meta.alter_broker_configs(node_id, from, &changes);
        if validate_only {
            return self.inner.meta.read(|meta| decide(meta).reply);
        }
        let service = self.clone();
        let written = self.to_the_end(async move {
            let decided = service.inner.meta.write(MetaKey::Topics, decide).await?;
            // They are the defaults of every topic.
            service.apply_configs(|_| true).await?;
            Ok(decided)
        });
        answer(written.await)
    }

    /// Hands the policies of topics to those of their logs that are open.
    async fn apply_configs(&self, changed: impl Fn(&LogId) -> bool) -> Result<(), LogError> {
        let mut topics: BTreeMap<[u8; 16], Vec<LogId>> = BTreeMap::new();
        for log in self.inner.shard.log_ids().into_iter().filter(changed) {
            topics.entry(log.topic).or_default().push(log);
        }
        for (id, logs) in topics {
            let service = self.clone();
            // The newest policies when it is this call's turn, whoever set them.
            let policy = move || {
                let topic = service.topic(&TopicRef::Id(TopicId(id)))?;
                Some(topic.settings.log.clone())
            };
            self.inner.shard.set_config(logs, policy).await?;
        }
        Ok(())
    }
}

fn answer(written: Result<Result<(), ConfigError>, LogError>) -> Result<(), ConfigError> {
    written.map_err(|error| ConfigError::Storage {
        why: error.to_string(),
    })?
}

/// The answer for a resource that can have no config: the first one is refused.
fn refuse_first(asked: &AlterConfigs, why: &str) -> Result<(), ConfigError> {
    let first = asked.changes.first();
    first.map_or(Ok(()), |first| {
        Err(InvalidConfig::new(&first.name, why).into())
    })
}

fn no_configs(kind: i8) -> ConfigError {
    invalid(format!("resources of type {kind} have no configs"))
}

fn invalid(why: impl Into<String>) -> ConfigError {
    ConfigError::InvalidRequest { why: why.into() }
}
