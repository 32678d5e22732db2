//! Topics: metadata, creation, deletion, more partitions.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A change is answered after its record is durable in the metadata log and applied.
//! - The metadata log itself is never listed.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use highwater_log::error::LogError;
use highwater_log::types::LeaderEpoch;

use crate::config::topic::TopicConfig;
use crate::error::TopicError;
use crate::ids::{TopicId, TopicRef};
use crate::meta::{MetaMachine, OFFSETS_TOPIC, Topic, check_name};
pub use crate::meta::{NewPartitions, NewTopic, NewTopicDescription};
use crate::service::{MetaKey, Service};

/// Which topics to describe.
#[derive(Clone, Debug)]
pub struct MetadataCall {
    /// The topics.
    pub topics: MetadataTopics,
    /// Whether a missing topic may be created, if `auto.create.topics.enable` allows it, too.
    pub allow_auto_create: bool,
}

/// Which topics to describe.
#[derive(Clone, Debug)]
pub enum MetadataTopics {
    /// Every topic.
    All,
    /// These; unknown ones are answered with an error.
    These(Vec<TopicRef>),
}

/// One topic, as a client needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// How the call named the topic.
    pub asked: TopicRef,
    /// The topic, or why there is none.
    pub result: Result<TopicDescription, TopicError>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: TopicId,
    /// Whether it belongs to the broker.
    pub internal: bool,
    /// How many partitions it has.
    pub partition_count: i32,
    /// The leader epoch of all its partitions.
    pub leader_epoch: i32,
}

/// Topics to create.
#[derive(Clone, Debug)]
pub struct CreateTopicsCall {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Do everything but create.
    pub validate_only: bool,
}

/// What became of one topic of a [`CreateTopicsCall`]; in the order of the call. A name that the
/// call has twice is answered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// The name, as in the call.
    pub name: String,
    /// The topic, or why it was not created.
    pub result: Result<NewTopicDescription, TopicError>,
}

/// What became of one topic to delete; in the order of the call. A topic that the call names twice
/// in the same way is answered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// How the call named the topic.
    pub asked: TopicRef,
    /// Its name and id, or why it was not deleted.
    pub result: Result<(String, TopicId), TopicError>,
}

/// Topics that are to have more partitions.
#[derive(Clone, Debug)]
pub struct CreatePartitionsCall {
    /// The topics.
    pub topics: Vec<NewPartitions>,
    /// Do everything but create.
    pub validate_only: bool,
}

/// What became of one topic of a [`CreatePartitionsCall`]; in the order of the call. A name that
/// the call has twice is answered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedPartitions {
    /// The topic's name, as in the call.
    pub name: String,
    /// Nothing, or why there are no new partitions.
    pub result: Result<(), TopicError>,
}

impl Service {
    /// Describes topics; missing ones are created first, if the call and the broker allow it.
    pub async fn metadata(&self, call: MetadataCall) -> Vec<TopicMetadata> {
        let asked = match call.topics {
            MetadataTopics::All => return self.all_topics(),
            MetadataTopics::These(asked) => asked,
        };
        let mut refused = HashMap::new();
        if call.allow_auto_create && self.config().auto_create_topics_enable {
            refused = self.create_missing(&asked).await;
        }
        asked
            .into_iter()
            .map(|asked| self.describe(asked, &refused))
            .collect()
    }

    fn all_topics(&self) -> Vec<TopicMetadata> {
        self.inner.meta.read(|meta| {
            let epoch = meta.state().leader_epoch();
            let mut topics: Vec<_> = meta
                .state()
                .topics()
                .map(|topic| TopicMetadata {
                    asked: TopicRef::Name(topic.name.clone()),
                    result: Ok(description(topic, epoch)),
                })
                .collect();
            topics.sort_unstable_by(|a, b| name_of(&a.asked).cmp(name_of(&b.asked)));
            topics
        })
    }

    /// Creates the topics that are named and missing; answers those that cannot be created.
    async fn create_missing(&self, asked: &[TopicRef]) -> HashMap<String, TopicError> {
        let mut names = HashSet::new();
        let mut refused = HashMap::new();
        let offsets_topic = TopicRef::from(OFFSETS_TOPIC);
        if asked.contains(&offsets_topic)
            && self.named(OFFSETS_TOPIC).is_none()
            && let Err(error) = self.create_offsets_topic().await
        {
            refused.insert(OFFSETS_TOPIC.to_owned(), error);
        }
        let missing = asked.iter().filter_map(|topic| match topic {
            TopicRef::Name(name)
                if name != OFFSETS_TOPIC && names.insert(name) && self.named(name).is_none() =>
            {
                Some(NewTopic {
                    name: name.clone(),
                    ..NewTopic::default()
                })
            }
            _ => None,
        });
        let topics: Vec<NewTopic> = missing.collect();
        if topics.is_empty() {
            return refused;
        }
        let created = self
            .create_topics(CreateTopicsCall {
                topics,
                validate_only: false,
            })
            .await;
        refused.extend(created.into_iter().filter_map(|topic| match topic.result {
            // Another client may have created it meanwhile.
            Ok(_) | Err(TopicError::Exists { deleting: false }) => None,
            Err(TopicError::Exists { deleting: true }) => Some((topic.name, TopicError::Unknown)),
            Err(error) => Some((topic.name, error)),
        }));
        refused
    }

    fn describe(&self, asked: TopicRef, refused: &HashMap<String, TopicError>) -> TopicMetadata {
        let found = self.inner.meta.read(|meta| {
            let state = meta.state();
            state
                .topic(&asked)
                .map(|topic| description(topic, state.leader_epoch()))
        });
        let result = found.ok_or_else(|| match &asked {
            TopicRef::Id(_) => TopicError::UnknownId,
            TopicRef::Name(name) => match refused.get(name) {
                Some(error) => error.clone(),
                None => check_name(name).err().unwrap_or(TopicError::Unknown),
            },
        });
        TopicMetadata { asked, result }
    }

    /// Creates topics.
    pub async fn create_topics(&self, call: CreateTopicsCall) -> Vec<CreatedTopic> {
        let names: Vec<String> = call.topics.iter().map(|topic| topic.name.clone()).collect();
        let results = self
            .create(call)
            .await
            .unwrap_or_else(|error| vec![Err(error); names.len()]);
        let answer = |(name, result)| CreatedTopic { name, result };
        once_each(names, results).map(answer).collect()
    }

    async fn create(
        &self,
        call: CreateTopicsCall,
    ) -> Result<Vec<Result<NewTopicDescription, TopicError>>, TopicError> {
        let now = self.clock().now().wall;
        if call.validate_only {
            let topics: Vec<_> = call.topics.into_iter().map(|t| (t, TopicId::NIL)).collect();
            return Ok(self
                .inner
                .meta
                .read(|meta| meta.create_topics(now, &topics).reply));
        }
        let with_id = |topic| self.inner.ids.topic().map(|id| (topic, id));
        let topics: Result<Vec<_>, _> = call.topics.into_iter().map(with_id).collect();
        let topics = topics.map_err(|error| TopicError::Storage {
            why: error.to_string(),
        })?;
        let asked: Vec<NewTopic> = topics.iter().map(|(topic, _)| topic.clone()).collect();
        let decide = move |meta: &MetaMachine| meta.create_topics(now, &topics);
        let created = self.inner.meta.write(MetaKey::Topics, decide).await;
        let created = created.map_err(|error| storage(&error))?;
        for (topic, _) in asked
            .iter()
            .zip(&created)
            .filter(|(_, result)| result.is_ok())
        {
            self.log_intended_differences(topic);
        }
        Ok(created)
    }

    /// Says what was accepted and is done differently than it was asked for.
    fn log_intended_differences(&self, topic: &NewTopic) {
        let name = topic.name.escape_debug();
        let default = self.config().default_replication_factor;
        let factor = topic.replication_factor.unwrap_or(default);
        if factor > 1 {
            tracing::info!(topic = %name, factor, "one copy is kept: this broker does not replicate");
        }
        for (config, value) in &topic.configs {
            if TopicConfig::is_ignored(config) {
                tracing::info!(topic = %name, config, "a config of Kafka 3.x is ignored");
            }
            if config == "compression.type" && value.as_deref().is_some_and(|v| v != "producer") {
                tracing::info!(topic = %name, "batches are stored as their producer compressed them");
            }
        }
    }

    /// Deletes topics and their files.
    pub async fn delete_topics(&self, topics: Vec<TopicRef>) -> Vec<DeletedTopic> {
        let (service, asked) = (self.clone(), topics.clone());
        let deleted = self.to_the_end(async move {
            let decide = move |meta: &MetaMachine| meta.delete_topics(&topics);
            let results = service.inner.meta.write(MetaKey::Topics, decide).await?;
            let deleted: Vec<Arc<Topic>> = results.iter().flatten().cloned().collect();
            // Whoever waits for records of these topics looks again and finds them gone.
            let logs = deleted.iter().flat_map(|topic| topic.logs());
            service.inner.shard.waiters().moved(logs);
            service.finish_deleting(deleted).await;
            Ok(results)
        });
        let results = deleted
            .await
            .unwrap_or_else(|error| vec![Err(storage(&error)); asked.len()]);
        let answer = |(asked, result): (_, Result<Arc<Topic>, _>)| DeletedTopic {
            asked,
            result: result.map(|topic| (topic.name.clone(), topic.id)),
        };
        once_each(asked, results).map(answer).collect()
    }

    /// Gives topics more partitions.
    pub async fn create_partitions(&self, call: CreatePartitionsCall) -> Vec<CreatedPartitions> {
        let names: Vec<String> = call.topics.iter().map(|topic| topic.name.clone()).collect();
        let CreatePartitionsCall {
            topics,
            validate_only,
        } = call;
        let results = if validate_only {
            Ok(self
                .inner
                .meta
                .read(|meta| meta.create_partitions(&topics).reply))
        } else {
            let decide = move |meta: &MetaMachine| meta.create_partitions(&topics);
            self.inner.meta.write(MetaKey::Topics, decide).await
        };
        let results = results.unwrap_or_else(|error| vec![Err(storage(&error)); names.len()]);
        let answer = |(name, result)| CreatedPartitions { name, result };
        once_each(names, results).map(answer).collect()
    }
}

/// What was asked with its results, without what was asked before: that was refused, too.
fn once_each<A: Clone + Eq + Hash, R>(
    asked: Vec<A>,
    results: Vec<R>,
) -> impl Iterator<Item = (A, R)> {
    let mut seen = HashSet::new();
    let all = asked.into_iter().zip(results);
    all.filter(move |(asked, _)| seen.insert(asked.clone()))
}

pub(super) fn description(topic: &Topic, epoch: LeaderEpoch) -> TopicDescription {
    TopicDescription {
        name: topic.name.clone(),
        id: topic.id,
        internal: topic.is_internal(),
        partition_count: topic.partition_count,
        leader_epoch: epoch.0,
    }
}

fn name_of(topic: &TopicRef) -> &str {
    match topic {
        TopicRef::Name(name) => name,
        TopicRef::Id(_) => "",
    }
}

fn storage(error: &LogError) -> TopicError {
    TopicError::Storage {
        why: error.to_string(),
    }
}
