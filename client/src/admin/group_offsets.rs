//! The committed offsets of a group, as seen and changed from outside of it.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - A change from outside is refused by the coordinator while the group has members.

use std::collections::BTreeMap;

use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitTopic,
};
use highwater_proto::kafka::messages::offset_delete::{
    OffsetDeletePartition, OffsetDeleteRequest, OffsetDeleteTopic,
};
use highwater_proto::kafka::messages::offset_fetch::{
    OffsetFetchGroup, OffsetFetchGroupResult, OffsetFetchRequest, OffsetFetchTopic,
};

use super::{Admin, no_result, text};
use crate::cluster::Terms;
use crate::error::ClientError;

/// How far a group got in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to read.
    pub offset: i64,
    /// The leader epoch of the record before it, if it is known.
    pub leader_epoch: Option<i32>,
    /// What the client that committed left beside it.
    pub metadata: String,
}

/// Who commits: a member in its generation, or somebody from outside of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committer {
    pub(crate) generation: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl Committer {
    /// Somebody who is in no generation.
    pub(crate) const fn outside() -> Self {
        Self {
            generation: -1,
            member_id: String::new(),
            instance_id: None,
        }
    }
}

impl Admin {
    /// What a group has committed in these partitions, or everywhere: partitions without an offset
    /// are left out. A group that does not exist has committed nothing.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for committed in admin.group_offsets("billing", None).await? {
    ///     println!("{}-{}: {}", committed.topic, committed.partition, committed.offset);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the coordinator refuses, or cannot be reached for a minute.
    pub async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<&[(&str, i32)]>,
    ) -> Result<Vec<CommittedOffset>, ClientError> {
        let topics = partitions.map(|partitions| {
            let asked = partitions.iter().copied();
            let topic = |(name, partition_indexes): (&str, Vec<i32>)| OffsetFetchTopic {
                name: text(name),
                partition_indexes,
            };
            by_topic(asked).into_iter().map(topic).collect()
        });
        let asked = OffsetFetchGroup {
            group_id: text(group),
            topics,
            ..Default::default()
        };
        let request = OffsetFetchRequest {
            groups: vec![asked],
            // What an open transaction may still change is waited for.
            require_stable: true,
            ..Default::default()
        };
        let terms = self.cluster.terms(8..=FETCH_VERSION_MAX);
        self.cluster
            .ask_coordinator(group, terms, request, |response| {
                committed(response.groups.into_iter().next().ok_or_else(no_result)?)
            })
            .await
    }

    /// Sets offsets of a group that has no members.
    ///
    /// ```no_run
    /// use highwater_client::CommittedOffset;
    ///
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let start = CommittedOffset {
    ///     topic: "flights".to_owned(),
    ///     partition: 0,
    ///     offset: 1_000,
    ///     ..CommittedOffset::default()
    /// };
    /// admin.alter_group_offsets("billing", &[start]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_MEMBER_ID` while it has members, with `UNKNOWN_TOPIC_OR_PARTITION` if
    /// a partition does not exist; what came before the refused one may have been set.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &[CommittedOffset],
    ) -> Result<(), ClientError> {
        self.commit_as(
            &Committer::outside(),
            group,
            offsets,
            self.cluster.terms(0..=COMMIT_VERSION_MAX),
        )
        .await
    }

    /// Commits as a member, or from outside.
    pub(crate) async fn commit_as(
        &self,
        committer: &Committer,
        group: &str,
        offsets: &[CommittedOffset],
        terms: Terms,
    ) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let partition = |it: &CommittedOffset| OffsetCommitPartition {
            index: it.partition,
            committed_offset: it.offset,
            committed_leader_epoch: it.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(text(&it.metadata)),
        };
        let topic = |(name, partitions)| OffsetCommitTopic {
            name: text(name),
            partitions,
        };
        let partitions = offsets.iter().map(|it| (it.topic.as_str(), partition(it)));
        let request = OffsetCommitRequest {
            group_id: text(group),
            generation_id: committer.generation,
            member_id: text(&committer.member_id),
            group_instance_id: committer.instance_id.as_deref().map(text),
            topics: by_topic(partitions).into_iter().map(topic).collect(),
            ..Default::default()
        };
        self.cluster
            .ask_coordinator(group, terms, request, |response| check_commit(&response))
            .await
    }

    /// Deletes offsets of a group, in topics that no member of it reads.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// admin.delete_group_offsets("billing", &[("flights", 0), ("flights", 1)]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `GROUP_SUBSCRIBED_TO_TOPIC` if a member reads one of the topics, with
    /// `GROUP_ID_NOT_FOUND` if there is no such group; offsets before the refused one may be gone.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[(&str, i32)],
    ) -> Result<(), ClientError> {
        let topic = |(name, partitions)| OffsetDeleteTopic {
            name: text(name),
            partitions,
        };
        let asked = partitions.iter().copied();
        let asked = asked.map(|(topic, index)| (topic, OffsetDeletePartition { index }));
        let request = OffsetDeleteRequest {
            group_id: text(group),
            topics: by_topic(asked).into_iter().map(topic).collect(),
        };
        self.cluster
            .ask_coordinator(group, self.cluster.terms(0..=0), request, |response| {
                ClientError::check(response.error_code, None)?;
                let mut results = response.topics.iter().flat_map(|topic| &topic.partitions);
                results.try_for_each(|result| ClientError::check(result.error_code, None))
            })
            .await
    }
}

/// Collects what belongs to one topic, topics by name.
fn by_topic<'a, T>(items: impl Iterator<Item = (&'a str, T)>) -> BTreeMap<&'a str, Vec<T>> {
    let mut topics: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    for (topic, item) in items {
        topics.entry(topic).or_default().push(item);
    }
    topics
}

fn committed(group: OffsetFetchGroupResult) -> Result<Vec<CommittedOffset>, ClientError> {
    ClientError::check(group.error_code, None)?;
    let mut offsets = Vec::new();
    for topic in group.topics {
        for partition in topic.partitions {
            ClientError::check(partition.error_code, None)?;
            if partition.committed_offset < 0 {
                continue;
            }
            let epoch = partition.committed_leader_epoch;
            offsets.push(CommittedOffset {
                topic: topic.name.as_str().to_owned(),
                partition: partition.index,
                offset: partition.committed_offset,
                leader_epoch: (epoch >= 0).then_some(epoch),
                metadata: partition.metadata.map(String::from).unwrap_or_default(),
            });
        }
    }
    offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(offsets)
}

fn check_commit(response: &OffsetCommitResponse) -> Result<(), ClientError> {
    let mut results = response.topics.iter().flat_map(|topic| &topic.partitions);
    results.try_for_each(|result| ClientError::check(result.error_code, None))
}

/// The last layout with names of topics: from 10 on they go by their ids.
const FETCH_VERSION_MAX: i16 = 9;

/// As [`FETCH_VERSION_MAX`], for OffsetCommit.
pub(crate) const COMMIT_VERSION_MAX: i16 = 9;
