//! The durable state of the metadata machine: topics, ids, epochs, configs of brokers.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Changed by `MetaMachine::apply` alone.
//! - `names`, `keys` and `partitions_count` agree with `topics`; each topic's settings follow from
//!   its configs and the broker's.
//! - `brokers` has no entry without a config.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use highwater_log::types::{LeaderEpoch, LogId};

use crate::config::BrokerConfig;
use crate::config::dynamic::{Dynamic, DynamicConfigs};
use crate::config::topic::{TopicConfigs, TopicSettings};
use crate::ids::{ClusterId, TopicId, TopicRef};
use crate::meta::internal::settings_of;
use crate::meta::name::collision_key;
use crate::meta::users::Users;

/// One topic as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions it has, at least 1.
    pub partition_count: i32,
    /// What is set on it.
    pub configs: TopicConfigs,
    /// What follows from its configs and the broker's.
    pub settings: TopicSettings,
    /// It is gone for everyone; only its files may still be there.
    pub deleting: bool,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: i64,
}

impl Topic {
    /// The log of a partition, if the topic has it.
    #[must_use]
    pub fn log(&self, partition: i32) -> Option<LogId> {
        if partition >= self.partition_count {
            return None;
        }
        u32::try_from(partition).ok().map(|partition| LogId {
            topic: self.id.0,
            partition,
        })
    }

    /// The logs of all partitions.
    pub fn logs(&self) -> impl Iterator<Item = LogId> {
        (0..self.partition_count).filter_map(|partition| self.log(partition))
    }
}

/// Everything that the metadata log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaState {
    pub(super) cluster: Option<(ClusterId, i32)>,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) next_producer_id: i64,
    /// What is set on brokers while they run; `None` is every broker.
    pub(super) brokers: BTreeMap<Option<i32>, DynamicConfigs>,
    pub(super) users: Users,
    pub(super) topics: BTreeMap<TopicId, Arc<Topic>>,
    pub(super) names: HashMap<String, TopicId>,
    /// By collision key.
    pub(super) keys: HashMap<String, TopicId>,
    pub(super) partitions_count: usize,
}

impl MetaState {
    /// The id of the cluster, once there is one.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster.map(|(id, _)| id)
    }

    /// How many unclean starts there were: the leader epoch of every log.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// What is set on this broker, and on every one, while they run.
    #[must_use]
    pub fn dynamic(&self, node_id: i32) -> Dynamic<'_> {
        Dynamic::of(&self.brokers, node_id)
    }

    /// Everybody who has a password.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// A topic that is not being deleted.
    #[must_use]
    pub fn topic(&self, topic: &TopicRef) -> Option<&Arc<Topic>> {
        match topic {
            TopicRef::Name(name) => self.named(name),
            TopicRef::Id(id) => self.topics.get(id).filter(|topic| !topic.deleting),
        }
    }

    /// A topic that is not being deleted, by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics
            .get(self.names.get(name)?)
            .filter(|topic| !topic.deleting)
    }

    /// Every topic that is not being deleted.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values().filter(|topic| !topic.deleting)
    }

    /// Every topic whose files may still be there though it is gone.
    pub fn deleting(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values().filter(|topic| topic.deleting)
    }

    /// Whether this topic is known, being deleted or not.
    #[must_use]
    pub fn knows(&self, id: TopicId) -> bool {
        self.topics.contains_key(&id)
    }

    pub(super) fn insert(&mut self, topic: Topic) {
        self.names.insert(topic.name.clone(), topic.id);
        self.keys.insert(collision_key(&topic.name), topic.id);
        self.partitions_count += count(topic.partition_count);
        self.topics.insert(topic.id, Arc::new(topic));
    }

    pub(super) fn change(&mut self, id: TopicId, change: impl FnOnce(&mut Topic)) {
        if let Some(topic) = self.topics.get_mut(&id) {
            let topic = Arc::make_mut(topic);
            self.partitions_count -= count(topic.partition_count);
            change(topic);
            self.partitions_count += count(topic.partition_count);
        }
    }

    pub(super) fn set_topic_configs(
        &mut self,
        config: &BrokerConfig,
        id: TopicId,
        configs: TopicConfigs,
    ) {
        let dynamic = Dynamic::of(&self.brokers, config.node_id);
        if let Some(topic) = self.topics.get_mut(&id) {
            let topic = Arc::make_mut(topic);
            topic.settings = settings_of(config, dynamic, &topic.name, &configs);
            topic.configs = configs;
        }
    }

    pub(super) fn set_broker_configs(
        &mut self,
        config: &BrokerConfig,
        node_id: Option<i32>,
        configs: DynamicConfigs,
    ) {
        if configs.is_empty() {
            self.brokers.remove(&node_id);
        } else {
            self.brokers.insert(node_id, configs);
        }
        let dynamic = Dynamic::of(&self.brokers, config.node_id);
        for topic in self.topics.values_mut() {
            let settings = settings_of(config, dynamic, &topic.name, &topic.configs);
            if settings != topic.settings {
                Arc::make_mut(topic).settings = settings;
            }
        }
    }

    pub(super) fn remove(&mut self, id: TopicId) {
        if let Some(topic) = self.topics.remove(&id) {
            self.names.remove(&topic.name);
            self.keys.remove(&collision_key(&topic.name));
            self.partitions_count -= count(topic.partition_count);
        }
    }
}

fn count(partition_count: i32) -> usize {
    usize::try_from(partition_count).unwrap_or(0)
}
