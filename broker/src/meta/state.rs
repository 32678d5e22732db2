//! The durable state of the metadata machine: topics, ids, epochs.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Changed by `MetaMachine::apply` alone.
//! - `names`, `keys` and `partitions_count` agree with `topics`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use highwater_log::types::{LeaderEpoch, LogId};

use crate::config::topic::{TopicConfigs, TopicSettings};
use crate::ids::{ClusterId, TopicId, TopicRef};
use crate::meta::name::collision_key;

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
