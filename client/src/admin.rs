//! Topics, their settings and their offsets.
//!
//! Floor 4 of client.
//!
//! Every call asks the broker; nothing is cached here.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_proto::cursor::Str;
use highwater_proto::kafka::ApiRequest;
use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicConfig, CreateTopicsRequest,
};
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::delete_topics::DeleteTopicsRequest;
use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsEntry, DescribeConfigsRequest, DescribeConfigsResource,
};
use highwater_proto::kafka::messages::incremental_alter_configs::{
    AlterConfigsEntry, AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};

use crate::cluster::{Cluster, Node, REQUEST_TIMEOUT};
use crate::error::ClientError;

/// Administration of a broker or a cluster; made by [`crate::Client::admin`].
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// The name: 1 to 249 of `[A-Za-z0-9._-]`.
    pub name: String,
    /// The number of partitions; the broker's `num.partitions` if absent.
    pub partitions: Option<i32>,
    /// Settings by Kafka's names, such as `retention.ms`, and Highwater's `durability`.
    pub configs: BTreeMap<String, String>,
}

/// A topic of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The name.
    pub name: String,
    /// The topic's id as 22 letters; all zeros if the broker has none.
    pub id: String,
    /// Whether the broker keeps its own state there.
    pub is_internal: bool,
    /// The number of partitions.
    pub partitions: i32,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The name.
    pub name: String,
    /// The value; absent if it is secret.
    pub value: Option<String>,
    /// Whether nobody has set it.
    pub is_default: bool,
}

/// A change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set to a value.
    Set(String, String),
    /// Back to the default.
    Delete(String),
}

/// Where to look in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The oldest record.
    Earliest,
    /// Behind the newest record that a consumer may read.
    Latest,
    /// The first record that is not older, in milliseconds since 1970.
    Timestamp(i64),
}

impl Admin {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// `Broker` with `TOPIC_ALREADY_EXISTS`, `INVALID_TOPIC_EXCEPTION`, `INVALID_CONFIG`...
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<(), ClientError> {
        let config = |(name, value): (&String, &String)| CreateTopicConfig {
            name: text(name),
            value: Some(text(value)),
        };
        let topic = CreateTopic {
            name: text(&topic.name),
            num_partitions: topic.partitions.unwrap_or(-1),
            replication_factor: -1,
            configs: topic.configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let response = self.ask(7, request).await?;
        let result = response.topics.first().ok_or_else(no_result)?;
        ClientError::check(result.error_code, result.error_message.as_deref())
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is none.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest {
            topic_names: vec![text(name)],
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        // By name: the layout up to version 5.
        let response = self.ask(5, request).await?;
        let result = response.topics.first().ok_or_else(no_result)?;
        self.cluster.forget_topic(name);
        ClientError::check(result.error_code, result.error_message.as_deref())
    }

    /// Raises the number of partitions to `total`.
    ///
    /// # Errors
    /// `Broker` with `INVALID_PARTITIONS` if the topic has as many already.
    pub async fn create_partitions(&self, name: &str, total: i32) -> Result<(), ClientError> {
        let topic = CreatePartitionsTopic {
            name: text(name),
            count: total,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        let response = self.ask(3, request).await?;
        let result = response.results.first().ok_or_else(no_result)?;
        self.cluster.forget_topic(name);
        ClientError::check(result.error_code, result.error_message.as_deref())
    }

    /// Every topic, by name.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, ClientError> {
        let mut topics = self.describe(None).await?;
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic. Never creates it.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is none.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription, ClientError> {
        self.describe(Some(&[name]))
            .await?
            .pop()
            .ok_or_else(no_result)
    }

    async fn describe(&self, names: Option<&[&str]>) -> Result<Vec<TopicDescription>, ClientError> {
        let response = self.cluster.metadata(names, false).await?;
        let mut topics = Vec::with_capacity(response.topics.len());
        for topic in response.topics {
            ClientError::check(topic.error_code, None)?;
            topics.push(TopicDescription {
                name: topic.name.map(String::from).unwrap_or_default(),
                id: topic.topic_id.to_string(),
                is_internal: topic.is_internal,
                partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            });
        }
        Ok(topics)
    }

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

    /// An offset of one partition; `None` if no record is that young.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn offset(
        &self,
        topic: &str,
        partition: i32,
        spec: OffsetSpec,
    ) -> Result<Option<i64>, ClientError> {
        let asked = ListOffsetsPartition {
            index: partition,
            timestamp: match spec {
                OffsetSpec::Latest => -1,
                OffsetSpec::Earliest => -2,
                OffsetSpec::Timestamp(timestamp) => timestamp,
            },
            ..Default::default()
        };
        let topics = vec![ListOffsetsTopic {
            name: text(topic),
            partitions: vec![asked],
        }];
        let request = ListOffsetsRequest {
            topics,
            ..Default::default()
        };
        self.ask_leader((topic, partition), 7, request, |response| {
            let found = response
                .topics
                .first()
                .and_then(|topic| topic.partitions.first());
            let found = found.ok_or_else(no_result)?;
            ClientError::check(found.error_code, None)?;
            Ok((found.offset >= 0).then_some(found.offset))
        })
        .await
    }

    /// Lets the records below an offset go; -1 is everything that a consumer may read. Gives the
    /// new start of the partition.
    ///
    /// # Errors
    /// `Broker` with `OFFSET_OUT_OF_RANGE`.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        before: i64,
    ) -> Result<i64, ClientError> {
        let partitions = vec![DeleteRecordsPartition {
            index: partition,
            offset: before,
        }];
        let topics = vec![DeleteRecordsTopic {
            name: text(topic),
            partitions,
        }];
        let request = DeleteRecordsRequest {
            topics,
            timeout_ms: TIMEOUT_MS,
        };
        self.ask_leader((topic, partition), 2, request, |response| {
            let result = response
                .topics
                .first()
                .and_then(|topic| topic.partitions.first());
            let result = result.ok_or_else(no_result)?;
            ClientError::check(result.error_code, None)?;
            Ok(result.low_watermark)
        })
        .await
    }

    /// Asks any broker; once more if the session turned out to be dead.
    async fn ask<R: ApiRequest + Clone>(
        &self,
        version_max: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let node = self.cluster.any().await?;
        match self.ask_node(&node, version_max, request.clone()).await {
            Err(ClientError::NotSent(_)) => {
                let node = self.cluster.any().await?;
                self.ask_node(&node, version_max, request).await
            }
            done => done,
        }
    }

    /// Asks the leader of a partition; with fresh metadata if what was known turned out wrong.
    async fn ask_leader<R: ApiRequest + Clone, T>(
        &self,
        (topic, partition): (&str, i32),
        version_max: i16,
        request: R,
        result: impl Fn(R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let node = self.cluster.leader(topic, partition).await?;
        let answer = self
            .ask_node(&node, version_max, request.clone())
            .await
            .and_then(&result);
        match answer {
            Err(error) if error.is_retriable() => {
                self.cluster.forget_topic(topic);
                let node = self.cluster.leader(topic, partition).await?;
                self.ask_node(&node, version_max, request)
                    .await
                    .and_then(result)
            }
            done => done,
        }
    }

    async fn ask_node<R: ApiRequest>(
        &self,
        node: &Node,
        version_max: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let version = node.version::<R>(version_max)?;
        self.cluster
            .call(node, version, request, REQUEST_TIMEOUT)
            .await
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
    ConfigEntry {
        name: entry.name.into(),
        value: entry.value.map(String::from),
        is_default: entry.config_source == SOURCE_DEFAULT,
    }
}

fn text(text: &str) -> Str {
    Str::from(text.to_owned())
}

fn no_result() -> ClientError {
    ClientError::Unknown("the answer has no result for what was asked".to_owned())
}

/// Kafka's number for settings of a topic.
const RESOURCE_TOPIC: i8 = 2;

/// Kafka's number for "nobody has set it".
const SOURCE_DEFAULT: i8 = 5;

/// What the wire asks for; a broker without replicas has nothing to wait for.
const TIMEOUT_MS: i32 = 30_000;
