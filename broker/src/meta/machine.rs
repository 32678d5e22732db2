//! The metadata machine: decides about topics, ids and configs.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - What a decision promises follows from its records alone, so that replay gives the same state.
//! - A request with valid and invalid topics does the valid ones.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_log::types::LeaderEpoch;
use highwater_proto::clock::Wall;

use crate::config::BrokerConfig;
use crate::config::dynamic::DynamicConfigs;
use crate::config::topic::{Layers, TopicConfigs};
use crate::error::{InvalidConfig, TopicError};
use crate::ids::{ClusterId, TopicId, TopicRef};
use crate::machine::{Effects, Machine};
use crate::meta::history::refuse_split;
use crate::meta::internal::{refuse_internal, settings_of};
use crate::meta::name::check;
use crate::meta::plan::{Plan, duplicate};
use crate::meta::{MetaRecord, MetaState, NewPartitions, NewTopic, NewTopicDescription, Topic};

/// Decides about topics and ids; see [`MetaState`] for what it knows.
#[derive(Clone, Debug)]
pub struct MetaMachine {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) state: MetaState,
}

impl MetaMachine {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(config: Arc<BrokerConfig>) -> Self {
        Self {
            config,
            state: MetaState::default(),
        }
    }

    /// What the metadata log says.
    #[must_use]
    pub fn state(&self) -> &MetaState {
        &self.state
    }

    /// What a topic with these overrides has, and everything below them.
    #[must_use]
    pub fn layers<'a>(&'a self, topic: &'a TopicConfigs) -> Layers<'a> {
        let dynamic = self.state.dynamic(self.config.node_id);
        self.config.layers(dynamic, topic)
    }

    /// The first decision of every start: a cluster id, if there is none yet, and a higher leader
    /// epoch after an unclean stop, since logs may have lost their tails.
    #[must_use]
    pub fn start(&self, cluster: ClusterId, stop: LastStop) -> Effects<MetaRecord, ()> {
        let mut records = Vec::new();
        if self.state.cluster.is_none() {
            let node_id = self.config.node_id;
            records.push(MetaRecord::ClusterCreated {
                cluster_id: cluster.0,
                node_id,
            });
        }
        if stop == LastStop::Unclean {
            let number = self.state.leader_epoch.0.unsigned_abs() + 1;
            records.push(MetaRecord::UncleanStart { number });
        }
        Effects { records, reply: () }
    }

    /// Creates topics; each comes with the id that it gets.
    #[must_use]
    pub fn create_topics(
        &self,
        now: Wall,
        topics: &[(NewTopic, TopicId)],
    ) -> Effects<MetaRecord, Vec<Result<NewTopicDescription, TopicError>>> {
        let mut plan = Plan::new(
            &self.state,
            topics.iter().map(|(topic, _)| topic.name.as_str()),
        );
        let reply = topics
            .iter()
            .map(|(topic, id)| self.create_topic(now, &mut plan, topic, *id));
        Effects {
            reply: reply.collect(),
            records: plan.records,
        }
    }

    fn create_topic(
        &self,
        now: Wall,
        plan: &mut Plan<'_>,
        topic: &NewTopic,
        id: TopicId,
    ) -> Result<NewTopicDescription, TopicError> {
        plan.refuse_duplicate(&topic.name)?;
        check(&topic.name)?;
        plan.refuse_taken(&topic.name)?;
        refuse_internal(&topic.name)?;
        let partition_count = self.partition_count(topic)?;
        self.check_replication_factor(topic)?;
        plan.refuse_too_many(partition_count, self.config.broker_partitions_max)?;
        let mut configs = checked_configs(&topic.configs)?;
        self.keep_history(&mut configs)?;
        plan.take(&topic.name, partition_count);
        let description = NewTopicDescription {
            id,
            partition_count,
            replication_factor: 1,
            configs: self.layers(&configs).entries(),
        };
        plan.records.push(MetaRecord::TopicCreated {
            id: id.0,
            name: topic.name.clone(),
            partitions: partition_count,
            configs: configs.to_stored(),
            created_ms: now.0,
        });
        Ok(description)
    }

    fn partition_count(&self, topic: &NewTopic) -> Result<i32, TopicError> {
        if topic.assignments.is_empty() {
            return match topic.partition_count.unwrap_or(self.config.num_partitions) {
                count if count >= 1 => Ok(count),
                count => Err(invalid_partitions(format!("{count} is not at least 1"))),
            };
        }
        if topic.partition_count.is_some() || topic.replication_factor.is_some() {
            return Err(TopicError::InvalidRequest {
                why: "a manual assignment goes without counts".to_owned(),
            });
        }
        let mut partitions: Vec<i32> = topic.assignments.iter().map(|(p, _)| *p).collect();
        partitions.sort_unstable();
        if partitions
            .iter()
            .enumerate()
            .any(|(at, partition)| i32::try_from(at) != Ok(*partition))
        {
            return Err(TopicError::InvalidReplicaAssignment {
                why: "it must name each partition from 0 on once".to_owned(),
            });
        }
        topic
            .assignments
            .iter()
            .try_for_each(|(_, brokers)| self.check_assignment(brokers))?;
        i32::try_from(partitions.len())
            .map_err(|_| invalid_partitions("there are too many".to_owned()))
    }

    fn check_assignment(&self, brokers: &[i32]) -> Result<(), TopicError> {
        if brokers == [self.config.node_id] {
            return Ok(());
        }
        Err(TopicError::InvalidReplicaAssignment {
            why: format!(
                "each partition must be on [{}], this broker",
                self.config.node_id
            ),
        })
    }

    fn check_replication_factor(&self, topic: &NewTopic) -> Result<(), TopicError> {
        let factor = topic
            .replication_factor
            .unwrap_or(self.config.default_replication_factor);
        if factor == 1 || (factor > 1 && self.config.replication_factor_clamp) {
            return Ok(());
        }
        Err(TopicError::InvalidReplicationFactor { factor })
    }

    /// Marks topics as being deleted. Their names stay taken until [`Self::forget`].
    #[must_use]
    pub fn delete_topics(
        &self,
        topics: &[TopicRef],
    ) -> Effects<MetaRecord, Vec<Result<Arc<Topic>, TopicError>>> {
        let mut found: HashMap<TopicId, usize> = HashMap::new();
        for topic in topics.iter().filter_map(|topic| self.state.topic(topic)) {
            *found.entry(topic.id).or_default() += 1;
        }
        let decide = |asked: &TopicRef| {
            let topic = self.state.topic(asked).ok_or(match asked {
                TopicRef::Name(_) => TopicError::Unknown,
                TopicRef::Id(_) => TopicError::UnknownId,
            })?;
            refuse_internal(&topic.name)?;
            if !self.config.delete_topic_enable {
                return Err(TopicError::DeletionDisabled);
            }
            if found.get(&topic.id).is_some_and(|count| *count > 1) {
                return Err(duplicate());
            }
            Ok(Arc::clone(topic))
        };
        let reply: Vec<_> = topics.iter().map(decide).collect();
        let records = reply
            .iter()
            .flatten()
            .map(|topic| MetaRecord::TopicDeleting { id: topic.id.0 });
        Effects {
            records: records.collect(),
            reply,
        }
    }

    /// Forgets topics whose files are gone.
    #[must_use]
    pub fn forget(&self, ids: &[TopicId]) -> Effects<MetaRecord, ()> {
        let deleting = |id: &&TopicId| self.state.topics.get(*id).is_some_and(|t| t.deleting);
        let record = |id: &TopicId| MetaRecord::TopicDeleted { id: id.0 };
        Effects {
            records: ids.iter().filter(deleting).map(record).collect(),
            reply: (),
        }
    }

    /// Gives topics more partitions.
    #[must_use]
    pub fn create_partitions(
        &self,
        topics: &[NewPartitions],
    ) -> Effects<MetaRecord, Vec<Result<(), TopicError>>> {
        let mut plan = Plan::new(&self.state, topics.iter().map(|topic| topic.name.as_str()));
        let reply = topics
            .iter()
            .map(|topic| self.add_partitions(&mut plan, topic));
        Effects {
            reply: reply.collect(),
            records: plan.records,
        }
    }

    fn add_partitions(&self, plan: &mut Plan<'_>, asked: &NewPartitions) -> Result<(), TopicError> {
        plan.refuse_duplicate(&asked.name)?;
        let topic = self.state.named(&asked.name).ok_or(TopicError::Unknown)?;
        refuse_internal(&topic.name)?;
        refuse_split(topic)?;
        let added = asked.total.saturating_sub(topic.partition_count);
        if added < 1 {
            let (now, total) = (topic.partition_count, asked.total);
            return Err(invalid_partitions(format!(
                "the topic has {now}, {total} are not more"
            )));
        }
        plan.refuse_too_many(added, self.config.broker_partitions_max)?;
        if let Some(assignments) = &asked.assignments {
            if i32::try_from(assignments.len()) != Ok(added) {
                let why = format!(
                    "{added} partitions are added, {} assigned",
                    assignments.len()
                );
                return Err(TopicError::InvalidReplicaAssignment { why });
            }
            assignments
                .iter()
                .try_for_each(|brokers| self.check_assignment(brokers))?;
        }
        plan.partitions_count += usize::try_from(added).unwrap_or(0);
        let (id, partitions_total) = (topic.id.0, asked.total);
        plan.records.push(MetaRecord::TopicPartitionsAdded {
            id,
            partitions_total,
        });
        Ok(())
    }

    /// Takes the next `count` producer ids; the answer is the first of them.
    #[must_use]
    pub fn take_producer_ids(&self, count: i64) -> Effects<MetaRecord, i64> {
        let first = self.state.next_producer_id;
        let next_id = first.saturating_add(count);
        Effects {
            records: vec![MetaRecord::ProducerIdsReserved { next_id }],
            reply: first,
        }
    }
}

impl Machine for MetaMachine {
    type Record = MetaRecord;

    fn check(&self, record: &MetaRecord) -> Result<(), String> {
        let checked = match record {
            MetaRecord::TopicCreated { configs, .. }
            | MetaRecord::TopicConfigsChanged { configs, .. } => {
                TopicConfigs::read(configs).map(drop)
            }
            MetaRecord::BrokerConfigsChanged { configs, .. } => {
                DynamicConfigs::read(configs).map(drop)
            }
            _ => Ok(()),
        };
        checked.map_err(|error| error.to_string())
    }

    fn apply(&mut self, record: &MetaRecord) {
        let state = &mut self.state;
        match record {
            MetaRecord::SnapshotStart => *state = MetaState::default(),
            MetaRecord::ClusterCreated {
                cluster_id,
                node_id,
            } => {
                state.cluster = Some((ClusterId(*cluster_id), *node_id));
            }
            MetaRecord::UncleanStart { number } => {
                let epoch = LeaderEpoch(i32::try_from(*number).unwrap_or(i32::MAX));
                state.leader_epoch = state.leader_epoch.max(epoch);
            }
            MetaRecord::TopicCreated {
                id,
                name,
                partitions,
                configs,
                created_ms,
            } => {
                let configs = TopicConfigs::kept(configs);
                let dynamic = state.dynamic(self.config.node_id);
                let settings = settings_of(&self.config, dynamic, name, &configs);
                state.insert(Topic {
                    id: TopicId(*id),
                    name: name.clone(),
                    partition_count: *partitions,
                    settings,
                    configs,
                    deleting: false,
                    created_ms: *created_ms,
                });
            }
            MetaRecord::TopicPartitionsAdded {
                id,
                partitions_total,
            } => {
                state.change(TopicId(*id), |topic| {
                    topic.partition_count = *partitions_total
                });
            }
            MetaRecord::TopicConfigsChanged { id, configs } => {
                let configs = TopicConfigs::kept(configs);
                state.set_topic_configs(&self.config, TopicId(*id), configs);
            }
            MetaRecord::BrokerConfigsChanged { node_id, configs } => {
                let configs = DynamicConfigs::kept(configs);
                state.set_broker_configs(&self.config, *node_id, configs);
            }
            MetaRecord::TopicDeleting { id } => {
                state.change(TopicId(*id), |topic| topic.deleting = true);
            }
            MetaRecord::TopicDeleted { id } => state.remove(TopicId(*id)),
            MetaRecord::ProducerIdsReserved { next_id } => {
                state.next_producer_id = state.next_producer_id.max(*next_id);
            }
            MetaRecord::ScramCredentialSet { .. }
            | MetaRecord::ScramCredentialDeleted { .. }
            | MetaRecord::SaltSecretDrawn { .. } => state.users.apply(record),
        }
    }

    fn snapshot(&self) -> Vec<MetaRecord> {
        let state = &self.state;
        let cluster = state
            .cluster
            .map(|(id, node_id)| MetaRecord::ClusterCreated {
                cluster_id: id.0,
                node_id,
            });
        let numbers = [
            MetaRecord::UncleanStart {
                number: state.leader_epoch.0.unsigned_abs(),
            },
            MetaRecord::ProducerIdsReserved {
                next_id: state.next_producer_id,
            },
        ];
        let brokers =
            state
                .brokers
                .iter()
                .map(|(node_id, configs)| MetaRecord::BrokerConfigsChanged {
                    node_id: *node_id,
                    configs: configs.to_stored(),
                });
        let topics = state.topics.values().flat_map(|topic| {
            let id = topic.id.0;
            let created = MetaRecord::TopicCreated {
                id,
                name: topic.name.clone(),
                partitions: topic.partition_count,
                configs: topic.configs.to_stored(),
                created_ms: topic.created_ms,
            };
            let deleting = topic.deleting.then_some(MetaRecord::TopicDeleting { id });
            [created].into_iter().chain(deleting)
        });
        [MetaRecord::SnapshotStart]
            .into_iter()
            .chain(cluster)
            .chain(numbers)
            .chain(brokers)
            .chain(state.users.snapshot())
            .chain(topics)
            .collect()
    }
}

/// How the broker stopped the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastStop {
    /// It closed its logs, or never ran here.
    Clean,
    /// It was killed, or the machine was.
    Unclean,
}

fn checked_configs(asked: &[(String, Option<String>)]) -> Result<TopicConfigs, InvalidConfig> {
    let mut configs = TopicConfigs::default();
    for (name, value) in asked {
        let Some(value) = value else {
            return Err(InvalidConfig::new(
                name,
                "a new topic's config needs a value",
            ));
        };
        configs.set(name, value)?;
    }
    Ok(configs)
}

fn invalid_partitions(why: String) -> TopicError {
    TopicError::InvalidPartitions { why }
}

#[cfg(test)]
mod law_tests;
#[cfg(test)]
mod tests;
