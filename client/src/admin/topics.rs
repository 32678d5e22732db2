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
///
/// ```
/// use highwater_client::NewTopic;
///
/// let topic = NewTopic::named("flights")
///     .partitions(3)
///     .config("retention.ms", "604800000");
/// assert_eq!(topic.partitions, Some(3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// The name: 1 to 249 of `[A-Za-z0-9._-]`.
    pub name: String,
    /// The number of partitions; the broker's `num.partitions` if absent.
    pub partitions: Option<i32>,
    /// The number of copies of each partition; the broker's `default.replication.factor` if absent.
    pub replication_factor: Option<i16>,
    /// Settings by Kafka's names, such as `retention.ms`, and Highwater's `durability`.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with everything as the broker has it by default.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Sets the number of partitions.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Sets the number of copies of each partition.
    #[must_use]
    pub fn replication_factor(mut self, count: i16) -> Self {
        self.replication_factor = Some(count);
        self
    }

    /// Sets a setting.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(name.into(), value.into());
        self
    }
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

/// A partition of a topic, and where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// The partition.
    pub partition: i32,
    /// The id of the broker that leads it; absent if there is none now.
    pub leader: Option<i32>,
    /// How many leaders there were before; absent if the broker does not tell.
    pub leader_epoch: Option<i32>,
    /// The ids of the brokers that keep it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are up to date.
    pub in_sync: Vec<i32>,
}

impl Admin {
    /// Creates a topic.
    ///
    /// ```no_run
    /// use highwater_client::NewTopic;
    ///
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let topic = NewTopic::named("flights").partitions(3).config("cleanup.policy", "delete");
    /// admin.create_topic(&topic).await?;
    /// # Ok(())
    /// # }
    /// ```
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
            replication_factor: topic.replication_factor.unwrap_or(-1),
            configs: topic.configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        self.ask(7, request, |response| {
            let result = response.topics.first().ok_or_else(no_result)?;
            ClientError::check(result.error_code, result.error_message.as_deref())
        })
        .await
    }

    /// Deletes a topic with all its records.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// admin.delete_topic("flights").await?;
    /// # Ok(())
    /// # }
    /// ```
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
        let deleted = self.ask(5, request, |response| {
            let result = response.topics.first().ok_or_else(no_result)?;
            ClientError::check(result.error_code, result.error_message.as_deref())
        });
        let deleted = deleted.await;
        self.cluster.forget_topic(name);
        deleted
    }

    /// Raises the number of partitions to `total`. Keys go to other partitions from then on.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// admin.create_partitions("flights", 12).await?;
    /// # Ok(())
    /// # }
    /// ```
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
        let created = self.ask(3, request, |response| {
            let result = response.results.first().ok_or_else(no_result)?;
            ClientError::check(result.error_code, result.error_message.as_deref())
        });
        let created = created.await;
        self.cluster.forget_topic(name);
        created
    }

    /// Every topic, by name.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for topic in admin.list_topics().await? {
    ///     println!("{} has {} partitions", topic.name, topic.partitions);
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let topic = admin.describe_topic("flights").await?;
    /// println!("{} has the id {}", topic.name, topic.id);
    /// # Ok(())
    /// # }
    /// ```
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

    /// The partitions of a topic, by number. Never creates it.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for partition in admin.describe_partitions("flights").await? {
    ///     println!("{}: led by {:?}", partition.partition, partition.leader);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is no such topic.
    pub async fn describe_partitions(
        &self,
        name: &str,
    ) -> Result<Vec<PartitionDescription>, ClientError> {
        let response = self.cluster.metadata(Some(&[name]), false).await?;
        let topic = response.topics.into_iter().next().ok_or_else(no_result)?;
        ClientError::check(topic.error_code, None)?;
        let known = |number: i32| (number >= 0).then_some(number);
        let partitions = topic.partitions.into_iter();
        let mut partitions: Vec<_> = partitions
            .map(|it| PartitionDescription {
                partition: it.index,
                leader: known(it.leader_id),
                leader_epoch: known(it.leader_epoch),
                replicas: it.replica_nodes,
                in_sync: it.isr_nodes,
            })
            .collect();
        partitions.sort_by_key(|it| it.partition);
        Ok(partitions)
    }

    /// The bytes on the disk of each partition of a topic, by partition; of several copies, those
    /// of the largest.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for (partition, bytes) in admin.partition_sizes("flights").await? {
    ///     println!("{partition}: {bytes} bytes");
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
