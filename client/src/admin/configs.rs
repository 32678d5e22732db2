//! Settings of topics and brokers.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - A change names what it changes: every other setting stays.

use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsEntry, DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use highwater_proto::kafka::messages::incremental_alter_configs::{
    AlterConfigsEntry, AlterConfigsResource, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
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
    /// Whether it cannot be changed while the broker runs.
    pub is_read_only: bool,
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
    /// A value more in a setting that is a list.
    Append(String, String),
    /// A value less in a setting that is a list.
    Subtract(String, String),
}

impl Admin {
    /// The settings of a topic, the defaults included.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for setting in admin.topic_configs("flights").await? {
    ///     println!("{} = {:?} ({})", setting.name, setting.value, setting.source.name());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is no such topic.
    pub async fn topic_configs(&self, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        self.ask(
            DESCRIBE_VERSION_MAX,
            describe(RESOURCE_TOPIC, name),
            described,
        )
        .await
    }

    /// Changes settings of a topic; those that are not named stay.
    ///
    /// ```no_run
    /// use highwater_client::ConfigChange;
    ///
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let week = 7 * 24 * 3_600_000;
    /// let changes = [
    ///     ConfigChange::Set("retention.ms".to_owned(), week.to_string()),
    ///     ConfigChange::Delete("segment.bytes".to_owned()),
    /// ];
    /// admin.alter_topic("flights", &changes).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `INVALID_CONFIG`; then nothing was changed.
    pub async fn alter_topic(
        &self,
        name: &str,
        changes: &[ConfigChange],
    ) -> Result<(), ClientError> {
        self.ask(1, alter(RESOURCE_TOPIC, name, changes), altered)
            .await
    }

    /// The settings of a broker, the defaults included.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let cluster = admin.describe_cluster().await?;
    /// for broker in cluster.brokers {
    ///     println!("{}: {} settings", broker.id, admin.broker_configs(broker.id).await?.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the cluster has no such broker.
    pub async fn broker_configs(&self, id: i32) -> Result<Vec<ConfigEntry>, ClientError> {
        let request = describe(RESOURCE_BROKER, &id.to_string());
        self.ask_broker(id, DESCRIBE_VERSION_MAX, request, described)
            .await
    }

    /// Changes settings of a broker while it runs; those that are not named stay.
    ///
    /// ```no_run
    /// use highwater_client::ConfigChange;
    ///
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let change = ConfigChange::Set("log.cleaner.threads".to_owned(), "2".to_owned());
    /// admin.alter_broker(1, &[change]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `INVALID_REQUEST` or `INVALID_CONFIG` if a setting cannot be changed while it
    /// runs; then nothing was changed. `Invalid` if the cluster has no such broker.
    pub async fn alter_broker(&self, id: i32, changes: &[ConfigChange]) -> Result<(), ClientError> {
        let request = alter(RESOURCE_BROKER, &id.to_string(), changes);
        self.ask_broker(id, 1, request, altered).await
    }
}

fn describe(resource_type: i8, name: &str) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: text(name),
            configuration_keys: None,
        }],
        ..Default::default()
    }
}

fn described(response: DescribeConfigsResponse) -> Result<Vec<ConfigEntry>, ClientError> {
    let result = response.results.into_iter().next().ok_or_else(no_result)?;
    ClientError::check(result.error_code, result.error_message.as_deref())?;
    Ok(result.configs.into_iter().map(config_entry).collect())
}

fn alter(
    resource_type: i8,
    name: &str,
    changes: &[ConfigChange],
) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name: text(name),
            configs: changes.iter().map(alter_entry).collect(),
        }],
        validate_only: false,
    }
}

fn altered(response: IncrementalAlterConfigsResponse) -> Result<(), ClientError> {
    let result = response.results.first().ok_or_else(no_result)?;
    ClientError::check(result.error_code, result.error_message.as_deref())
}

fn alter_entry(change: &ConfigChange) -> AlterConfigsEntry {
    let (name, operation, value) = match change {
        ConfigChange::Set(name, value) => (name, 0, Some(value)),
        ConfigChange::Delete(name) => (name, 1, None),
        ConfigChange::Append(name, value) => (name, 2, Some(value)),
        ConfigChange::Subtract(name, value) => (name, 3, Some(value)),
    };
    AlterConfigsEntry {
        name: text(name),
        operation,
        value: value.map(|value| text(value)),
    }
}

fn config_entry(entry: DescribeConfigsEntry) -> ConfigEntry {
    let source = ConfigSource::of(entry.config_source);
    ConfigEntry {
        name: entry.name.into(),
        value: entry.value.map(String::from),
        is_default: source == ConfigSource::Default,
        source,
        is_read_only: entry.read_only,
    }
}

/// Kafka's number for settings of a topic.
const RESOURCE_TOPIC: i8 = 2;

/// Kafka's number for settings of a broker.
const RESOURCE_BROKER: i8 = 4;

const DESCRIBE_VERSION_MAX: i16 = 4;
