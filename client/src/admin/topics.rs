//! Topics: made, found, grown, deleted.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Nothing here creates a topic by asking for it.

use std::collections::BTreeMap;

use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicConfig, CreateTopicsRequest,
};
use highwater_proto::kafka::messages::delete_topics::DeleteTopicsRequest;
use highwater_proto::kafka::messages::describe_log_dirs::{
    DescribeLogDirsAskedTopic, DescribeLogDirsRequest,
};

use super::{Admin, TIMEOUT_MS, no_result, text};
use crate::error::ClientError;

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

impl Admin {
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

    /// The bytes on the disk of each partition of a topic, by partition; of several copies, those
    /// of the largest.
    ///
    /// # Errors
    /// `Unsupported` if the broker does not tell; `Broker` if a directory cannot be read.
    pub async fn partition_sizes(&self, name: &str) -> Result<BTreeMap<i32, i64>, ClientError> {
        let partitions = self.describe_topic(name).await?.partitions;
        let mut sizes = BTreeMap::new();
        for node in self.cluster.nodes().await? {
            let asked = DescribeLogDirsAskedTopic {
                topic: text(name),
                partitions: (0..partitions).collect(),
            };
            let request = DescribeLogDirsRequest {
                topics: Some(vec![asked]),
            };
            let response = self.ask_node(&node, LOG_DIRS_VERSION_MAX, request).await?;
            ClientError::check(response.error_code, None)?;
            for dir in &response.results {
                ClientError::check(dir.error_code, None)?;
                let topics = dir.topics.iter().filter(|topic| topic.name == *name);
                for partition in topics.flat_map(|topic| &topic.partitions) {
                    let size = sizes.entry(partition.index).or_insert(0);
                    *size = partition.partition_size.max(*size);
                }
            }
        }
        Ok(sizes)
    }
}

/// The newest layout of DescribeLogDirs that this client has been proven with.
const LOG_DIRS_VERSION_MAX: i16 = 4;
