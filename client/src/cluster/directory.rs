//! What the cluster has said of itself: brokers, topics, leaders.
//!
//! Floor 3 of client. Pure: time comes as an argument.
//!
//! Invariants
//! - Of a topic with the same id, the leader of a partition is the one of the highest epoch that
//!   was heard of: a broker that lags behind cannot bring an old leader back.
//! - A leader that proved wrong is doubted, and given to nobody until the cluster has spoken again.
//! - A topic that nobody looked at from one full refresh to the next is forgotten.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Uuid;
use highwater_proto::kafka::messages::metadata::{MetadataResponse, MetadataTopicResponse};

use crate::error::{ClientError, unknown_partition};

/// What a topic looks like from here.
#[derive(Clone, Debug)]
pub(crate) struct TopicInfo {
    /// The leader of each partition; -1 if there is none now.
    pub(crate) leaders: Arc<[i32]>,
}

/// A partition's leader, as an answer names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) id: i32,
    /// How many leaders there were before; -1 if it is not known.
    pub(crate) epoch: i32,
}

#[derive(Debug)]
pub(super) struct Directory {
    brokers: HashMap<i32, Arc<str>>,
    topics: HashMap<String, Topic>,
    /// When everything is to be asked for again.
    pub(super) refresh_at: Mono,
}

#[derive(Debug)]
struct Topic {
    id: Uuid,
    partitions: Vec<Partition>,
    /// Somebody looked at it since the last full refresh.
    is_used: bool,
}

#[derive(Clone, Copy, Debug)]
struct Partition {
    leader: Leader,
    is_doubted: bool,
}

impl Directory {
    pub(super) fn new(refresh_at: Mono) -> Self {
        Self {
            brokers: HashMap::new(),
            topics: HashMap::new(),
            refresh_at,
        }
    }

    /// The addresses of the brokers that are known, by their ids.
    pub(super) fn brokers(&self) -> Vec<Arc<str>> {
        let mut brokers: Vec<_> = self.brokers.iter().collect();
        brokers.sort_unstable_by_key(|(id, _)| **id);
        brokers
            .into_iter()
            .map(|(_, address)| Arc::clone(address))
            .collect()
    }

    /// A topic, if nothing of it is in doubt.
    pub(super) fn topic(&mut self, name: &str) -> Option<TopicInfo> {
        let topic = self.topics.get_mut(name)?;
        topic.is_used = true;
        let is_sure = topic.partitions.iter().all(|it| !it.is_doubted);
        is_sure.then(|| topic.info())
    }

    /// Where a partition's leader can be reached: nothing if that is not known, or in doubt.
    pub(super) fn leader(&mut self, topic: &str, partition: i32) -> Option<Arc<str>> {
        let topic = self.topics.get_mut(topic)?;
        topic.is_used = true;
        let partition = topic.partitions.get(usize::try_from(partition).ok()?)?;
        let address = self.brokers.get(&partition.leader.id);
        address.filter(|_| !partition.is_doubted).cloned()
    }

    /// Why [`Self::leader`] gives nothing, just after a refresh.
    pub(super) fn why_no_leader(&self, topic: &str, partition: i32) -> ClientError {
        let index = usize::try_from(partition).ok();
        let known = self.topics.get(topic).map(|topic| &topic.partitions);
        if known
            .zip(index)
            .is_none_or(|(known, index)| index >= known.len())
        {
            return unknown_partition(topic, partition);
        }
        ClientError::Broker {
            code: ErrorCode::LeaderNotAvailable,
            message: format!("{topic}-{partition} has no leader now"),
        }
    }

    /// All that is known of a topic has proved wrong.
    pub(super) fn doubt_topic(&mut self, topic: &str) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic
                .partitions
                .iter_mut()
                .for_each(|it| it.is_doubted = true);
        }
    }

    /// The leader of a partition has proved wrong; whoever said so may know the new one.
    pub(super) fn moved(&mut self, topic: &str, partition: i32, to: Option<Leader>) {
        let partition = usize::try_from(partition).ok().and_then(|index| {
            let topic = self.topics.get_mut(topic)?;
            topic.partitions.get_mut(index)
        });
        let Some(known) = partition else {
            return;
        };
        match to {
            Some(to) if to.epoch > known.leader.epoch && self.brokers.contains_key(&to.id) => {
                *known = Partition {
                    leader: to,
                    is_doubted: false,
                };
            }
            _ => known.is_doubted = true,
        }
    }

    /// A broker can be reached there.
    pub(super) fn learn_broker(&mut self, id: i32, address: Arc<str>) {
        self.brokers.insert(id, address);
    }

    /// Takes an answer in.
    pub(super) fn update(&mut self, response: &MetadataResponse) {
        if !response.brokers.is_empty() {
            let address = |broker| (address_of(broker), broker);
            let brokers = response.brokers.iter().map(address);
            self.brokers = brokers
                .map(|(address, broker)| (broker.node_id, address))
                .collect();
        }
        for said in &response.topics {
            let Some(name) = said.name.as_deref() else {
                continue;
            };
            if said.error_code == ErrorCode::UnknownTopicOrPartition.code() {
                self.topics.remove(name);
            }
            if said.error_code != ErrorCode::None.code() {
                continue;
            }
            match self.topics.get_mut(name) {
                Some(topic) if topic.id == said.topic_id => topic.update(said),
                _ => {
                    self.topics.insert(name.to_owned(), Topic::new(said));
                }
            }
        }
    }

    /// The topics for a full refresh; those that nobody looked at since the last one are forgotten.
    pub(super) fn used_topics(&mut self) -> Vec<String> {
        self.topics
            .retain(|_, topic| std::mem::take(&mut topic.is_used));
        self.topics.keys().cloned().collect()
    }
}

impl Topic {
    fn new(said: &MetadataTopicResponse) -> Self {
        Self {
            id: said.topic_id,
            partitions: partitions(said),
            is_used: true,
        }
    }

    /// The same topic, heard of again.
    fn update(&mut self, said: &MetadataTopicResponse) {
        let mut heard = partitions(said);
        for (heard, known) in heard.iter_mut().zip(&self.partitions) {
            let is_older = (0..known.leader.epoch).contains(&heard.leader.epoch);
            if is_older {
                heard.leader = known.leader;
            }
        }
        self.partitions = heard;
    }

    fn info(&self) -> TopicInfo {
        TopicInfo {
            leaders: self.partitions.iter().map(|it| it.leader.id).collect(),
        }
    }
}

fn partitions(said: &MetadataTopicResponse) -> Vec<Partition> {
    let unknown = Partition {
        leader: Leader { id: -1, epoch: -1 },
        is_doubted: false,
    };
    let mut partitions = vec![unknown; said.partitions.len()];
    for partition in &said.partitions {
        let index = usize::try_from(partition.index).ok();
        if let Some(place) = index.and_then(|index| partitions.get_mut(index)) {
            place.leader = Leader {
                id: partition.leader_id,
                epoch: partition.leader_epoch,
            };
        }
    }
    partitions
}

/// Where a broker of an answer can be reached.
pub(super) fn address_of(
    broker: &highwater_proto::kafka::messages::metadata::MetadataBroker,
) -> Arc<str> {
    address(&broker.host, broker.port)
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn address(host: &str, port: i32) -> Arc<str> {
    match host.contains(':') {
        true => Arc::from(format!("[{host}]:{port}")),
        false => Arc::from(format!("{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use highwater_proto::kafka::messages::metadata::{MetadataBroker, MetadataPartition};

    use super::*;

    /// What a broker says of a topic with one partition.
    fn said(id: u8, leader_id: i32, leader_epoch: i32) -> MetadataResponse {
        let broker = |node_id| MetadataBroker {
            node_id,
            host: format!("b{node_id}").into(),
            port: 9092,
            rack: None,
        };
        let partition = MetadataPartition {
            leader_id,
            leader_epoch,
            ..Default::default()
        };
        let topic = MetadataTopicResponse {
            name: Some("t".into()),
            topic_id: Uuid([id; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        MetadataResponse {
            brokers: [1, 2].map(broker).into(),
            topics: vec![topic],
            ..Default::default()
        }
    }

    fn leader(directory: &mut Directory) -> Option<String> {
        directory.leader("t", 0).map(|address| address.to_string())
    }

    #[test]
    fn a_broker_that_lags_behind_does_not_bring_an_old_leader_back() {
        let mut directory = Directory::new(Mono::NEVER);
        directory.update(&said(1, 2, 5));
        directory.update(&said(1, 1, 4));
        assert_eq!(leader(&mut directory).as_deref(), Some("b2:9092"));
        directory.update(&said(1, 1, 6));
        assert_eq!(leader(&mut directory).as_deref(), Some("b1:9092"));
        // Another topic of that name counts from the beginning.
        directory.update(&said(2, 2, 0));
        assert_eq!(leader(&mut directory).as_deref(), Some("b2:9092"));
    }

    #[test]
    fn a_leader_that_proved_wrong_is_given_to_nobody_until_the_cluster_has_spoken() {
        let mut directory = Directory::new(Mono::NEVER);
        directory.update(&said(1, 1, 5));
        directory.moved("t", 0, None);
        assert_eq!(leader(&mut directory), None);
        assert!(directory.topic("t").is_none());
        directory.update(&said(1, 1, 5));
        assert_eq!(leader(&mut directory).as_deref(), Some("b1:9092"));
        // Who refuses may say who leads; what is older than what is known does not count.
        directory.moved("t", 0, Some(Leader { id: 2, epoch: 6 }));
        assert_eq!(leader(&mut directory).as_deref(), Some("b2:9092"));
        directory.moved("t", 0, Some(Leader { id: 1, epoch: 6 }));
        assert_eq!(leader(&mut directory), None);
    }

    #[test]
    fn a_topic_that_nobody_looked_at_is_forgotten_at_the_next_refresh() {
        let mut directory = Directory::new(Mono::NEVER);
        directory.update(&said(1, 1, 5));
        assert_eq!(directory.used_topics(), ["t"]);
        assert_eq!(directory.used_topics(), [""; 0]);
        assert_eq!(leader(&mut directory), None);
    }
}
