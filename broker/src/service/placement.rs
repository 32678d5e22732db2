//! Where partitions are: on this broker, in its one directory.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Whoever asks to move a partition to where it is has what it asked for; any other place does
//!   not exist.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::PlacementError;
use crate::service::Service;

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Where it is.
    pub path: String,
    /// What is in it, or why it cannot be used.
    pub result: Result<LogDirContent, PlacementError>,
}

/// What is in a directory, and how much more would fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirContent {
    /// The topics by name.
    pub topics: Vec<LogDirTopic>,
    /// The size of its disk in bytes, where the disk tells.
    pub total_bytes: Option<u64>,
    /// What may still be written to it, in bytes, where the disk tells.
    pub free_bytes: Option<u64>,
}

/// The partitions of one topic in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirTopic {
    /// The topic's name.
    pub name: String,
    /// Each partition with the bytes of its segments.
    pub partitions: Vec<(i32, u64)>,
}

impl Service {
    /// Describes the data directory with all partitions, or with those that are asked for and
    /// exist.
    pub async fn log_dir(&self, asked: Option<Vec<(String, Vec<i32>)>>) -> LogDir {
        let path = self.inner.data_dir.clone();
        let result = match self.poisoned() {
            Some(why) => Err(PlacementError::Storage { why }),
            None => self.log_dir_content(asked).await,
        };
        LogDir { path, result }
    }

    async fn log_dir_content(
        &self,
        asked: Option<Vec<(String, Vec<i32>)>>,
    ) -> Result<LogDirContent, PlacementError> {
        let space = self.inner.shard.disk_space().await;
        let space = space.map_err(|error| PlacementError::Storage {
            why: error.to_string(),
        })?;
        Ok(LogDirContent {
            topics: self.log_dir_topics(&asked.map_or_else(|| self.all_partitions(), once_each)),
            total_bytes: space.total_bytes,
            free_bytes: space.free_bytes,
        })
    }

    fn all_partitions(&self) -> BTreeMap<String, BTreeSet<i32>> {
        self.inner.meta.read(|meta| {
            let topics = meta.state().topics();
            let all =
                topics.map(|topic| (topic.name.clone(), (0..topic.partition_count).collect()));
            all.collect()
        })
    }

    /// Each topic of which there is a partition.
    fn log_dir_topics(&self, asked: &BTreeMap<String, BTreeSet<i32>>) -> Vec<LogDirTopic> {
        let topic = |(name, partitions): (&String, &BTreeSet<i32>)| {
            let topic = self.named(name)?;
            let sizes = partitions.iter().filter_map(|number| {
                let partition = self.partition(&topic, *number)?;
                Some((*number, partition.size_bytes()))
            });
            let partitions: Vec<_> = sizes.collect();
            (!partitions.is_empty()).then(|| LogDirTopic {
                name: name.clone(),
                partitions,
            })
        };
        asked.iter().filter_map(topic).collect()
    }

    /// Asks a partition to move to a directory.
    pub fn move_to_log_dir(
        &self,
        dir: &str,
        topic: &str,
        partition: i32,
    ) -> Result<(), PlacementError> {
        if dir != self.inner.data_dir {
            return Err(PlacementError::UnknownLogDir {
                asked: dir.to_owned(),
                only: self.inner.data_dir.clone(),
            });
        }
        self.expect_partition(topic, partition)
    }

    /// Asks for a leader of a partition; says why none is elected.
    #[must_use]
    pub fn elect_leader(&self, topic: &str, partition: i32) -> PlacementError {
        match self.expect_partition(topic, partition) {
            Ok(()) => PlacementError::ElectionNotNeeded,
            Err(error) => error,
        }
    }

    /// Asks a partition to move to these brokers; `None` calls a move off.
    pub fn reassign(
        &self,
        topic: &str,
        partition: i32,
        replicas: Option<&[i32]>,
    ) -> Result<(), PlacementError> {
        self.expect_partition(topic, partition)?;
        let node_id = self.config().node_id;
        match replicas {
            None => Err(PlacementError::NoReassignment),
            Some(replicas) if replicas == [node_id] => Ok(()),
            Some(replicas) => Err(PlacementError::OtherReplicas {
                node_id,
                // A sentence of some numbers is enough.
                replicas: replicas.iter().copied().take(REPLICAS_SHOWN_MAX).collect(),
            }),
        }
    }

    fn expect_partition(&self, topic: &str, partition: i32) -> Result<(), PlacementError> {
        let log = self.named(topic).and_then(|topic| topic.log(partition));
        log.map(drop).ok_or(PlacementError::UnknownTopicOrPartition)
    }
}

fn once_each(asked: Vec<(String, Vec<i32>)>) -> BTreeMap<String, BTreeSet<i32>> {
    let mut all: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for (topic, partitions) in asked {
        all.entry(topic).or_default().extend(partitions);
    }
    all
}

const REPLICAS_SHOWN_MAX: usize = 8;
