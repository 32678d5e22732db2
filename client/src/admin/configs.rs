//! Settings of topics and brokers.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - A change names what it changes: every other setting stays.

use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsEntry, DescribeConfigsRequest, DescribeConfigsResource,
};
use highwater_proto::kafka::messages::incremental_alter_configs::{
    AlterConfigsEntry, AlterConfigsResource, IncrementalAlterConfigsRequest,
};

use super::{Admin, no_result, text};
use crate::error::ClientError;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The name.
    pub name: String,
    /// The value; absent if it is secret.
    pub value: Option<String>,
    /// Whether nobody has set it.
    pub is_default: bool,
    /// Who has set it.
    pub source: ConfigSource,
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// It was set on the topic.
    Topic,
    /// It was set on a broker, or on all, at run time.
    DynamicBroker,
    /// It stands in the broker's file, flags or environment.
    StaticBroker,
    /// Nobody has set it.
    Default,
    /// Something else.
    Other,
}

impl ConfigSource {
    const fn of(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 | 3 => Self::DynamicBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            _ => Self::Other,
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::DynamicBroker => "broker, at run time",
            Self::StaticBroker => "broker",
            Self::Default => "default",
            Self::Other => "other",
        }
    }
}

/// A change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set to a value.
    Set(String, String),
    /// Back to the default.
    Delete(String),
}

impl Admin {
    /// The settings of a topic, the defaults included.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is no such topic.
    pub async fn topic_configs(&self, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let resource = DescribeConfigsResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: text(name),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            ..Default::default()
        };
        let response = self.ask(4, request).await?;
        let result = response.results.into_iter().next().ok_or_else(no_result)?;
        ClientError::check(result.error_code, result.error_message.as_deref())?;
        Ok(result.configs.into_iter().map(config_entry).collect())
    }

    /// Changes settings of a topic; those that are not named stay.
    ///
    /// # Errors
    /// `Broker` with `INVALID_CONFIG`; then nothing was changed.
    pub async fn alter_topic(
        &self,
        name: &str,
        changes: &[ConfigChange],
    ) -> Result<(), ClientError> {
        let resource = AlterConfigsResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: text(name),
            configs: changes.iter().map(alter_entry).collect(),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource],
            validate_only: false,
        };
        let response = self.ask(1, request).await?;
        let result = response.results.first().ok_or_else(no_result)?;
        ClientError::check(result.error_code, result.error_message.as_deref())
    }
}

fn alter_entry(change: &ConfigChange) -> AlterConfigsEntry {
    match change {
        ConfigChange::Set(name, value) => AlterConfigsEntry {
            name: text(name),
            operation: 0,
            value: Some(text(value)),
        },
        ConfigChange::Delete(name) => AlterConfigsEntry {
            name: text(name),
            operation: 1,
            value: None,
        },
    }
}

fn config_entry(entry: DescribeConfigsEntry) -> ConfigEntry {
    let source = ConfigSource::of(entry.config_source);
    ConfigEntry {
        name: entry.name.into(),
        value: entry.value.map(String::from),
        is_default: source == ConfigSource::Default,
        source,
    }
}

/// Kafka's number for settings of a topic.
const RESOURCE_TOPIC: i8 = 2;
