//! Consumer groups: members that share the partitions of topics, and how far each group got.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - What changes a group durably is answered after its records are durable, and takes effect
//!   whole or not at all, also when the caller is gone.
//! - No offset is durable before what it points into.

mod append;
mod lag;
mod log;
mod pointers;
mod recover;
mod rewrite;
mod runtime;
mod upkeep;
mod writes;

use std::collections::HashSet;

use crate::error::GroupError;
use crate::group::{Ask, Reply};
pub use crate::group::{
    Commit, FetchedOffset, GroupDescription, GroupListing, GroupState, Join, Joined, JoinedMember,
    Leaving, Member, MemberDescription, OffsetToCommit, Sync, Synced,
};
use crate::service::Service;

pub use lag::{GroupLag, Lags, PartitionLag};
pub(super) use recover::RecoveredGroups;
pub(super) use runtime::Groups;

impl Service {
    /// A member joins a group, or joins it again; answered when the generation is complete.
    pub async fn join_group(&self, group: String, join: Join) -> Result<Joined, GroupError> {
        match self.ask(&group, Ask::Join(join)).await? {
            Reply::Join(result) => result,
            other => Err(mismatch(&other)),
        }
    }

    /// A member asks for its assignment, the leader brings those of all; answered once the
    /// assignments are durable.
    pub async fn sync_group(&self, group: String, sync: Sync) -> Result<Synced, GroupError> {
        match self.ask(&group, Ask::Sync(sync)).await? {
            Reply::Sync(result) => result,
            other => Err(mismatch(&other)),
        }
    }

    /// A member is alive.
    pub async fn heartbeat(&self, group: &str, member: Member) -> Result<(), GroupError> {
        match self.ask(group, Ask::Heartbeat(member)).await? {
            Reply::Heartbeat(result) => result,
            other => Err(mismatch(&other)),
        }
    }

    /// Members leave; one outcome for each, in order.
    pub async fn leave_group(
        &self,
        group: String,
        leaving: Vec<Leaving>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.ask(&group, Ask::Leave(leaving)).await? {
            Reply::Leave(result) => result,
            other => Err(mismatch(&other)),
        }
    }

    /// Commits offsets; one outcome for each, in order. Those of unknown partitions and those
    /// with too long a metadata are refused one by one, the rest is committed.
    pub async fn commit_offsets(
        &self,
        group: String,
        commit: Commit,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let (outcomes, asked) = self.ask_commit(&group, commit);
        match asked.wait().await? {
            Reply::Commit(result) => result.map(|()| outcomes),
            other => Err(mismatch(&other)),
        }
    }

    /// Committed offsets of a group: of these partitions, in their order, or of all. A partition
    /// without one has the offset -1.
    #[must_use]
    pub fn fetch_offsets(&self, group: &str, of: Option<&[(String, i32)]>) -> Vec<FetchedOffset> {
        self.inner.groups.read(|machine| machine.offsets(group, of))
    }

    /// A group as tools see it; its state is `Dead` if there is no such group.
    #[must_use]
    pub fn describe_group(&self, group: &str) -> GroupDescription {
        self.inner.groups.read(|machine| machine.describe(group))
    }

    /// Every group, by name.
    #[must_use]
    pub fn list_groups(&self) -> Vec<GroupListing> {
        self.inner.groups.read(|machine| machine.list())
    }

    /// Deletes groups with their offsets; one outcome for each, in order. Groups that have
    /// members stay.
    pub async fn delete_groups(&self, groups: Vec<String>) -> Vec<Result<(), GroupError>> {
        let replies = self.ask_each(groups, |_| Ask::Delete).await;
        let outcome = |(_, reply): (String, Result<Reply, GroupError>)| match reply? {
            Reply::Delete(result) => result,
            other => Err(mismatch(&other)),
        };
        replies.into_iter().map(outcome).collect()
    }

    /// Deletes committed offsets; one outcome for each, in order.
    pub async fn delete_offsets(
        &self,
        group: String,
        of: Vec<(String, i32)>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if let Some(why) = self.poisoned() {
            // A commit that failed may stand in the log all the same, and be there after the next
            // start: that there is nothing to delete now says nothing.
            return Err(GroupError::Unavailable { why });
        }
        let known: HashSet<(String, i32)> = of
            .iter()
            .filter(|(topic, partition)| self.has_partition(topic, *partition))
            .cloned()
            .collect();
        let asked = of.iter().filter(|one| known.contains(*one)).cloned();
        let mut outcomes = match self
            .ask(&group, Ask::DeleteOffsets(asked.collect()))
            .await?
        {
            Reply::DeleteOffsets(result) => result?.into_iter(),
            other => return Err(mismatch(&other)),
        };
        let outcome = |one: (String, i32)| match known.contains(&one) {
            true => outcomes.next().unwrap_or(Ok(())),
            false => Err(GroupError::UnknownTopicOrPartition),
        };
        Ok(of.into_iter().map(outcome).collect())
    }

    /// Whether groups are served: not when their log cannot be written any more, nor when the
    /// broker is being shut down.
    #[must_use]
    pub fn coordinator_available(&self) -> bool {
        self.poisoned().is_none() && !self.closing().has_begun()
    }

    fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.named(topic)
            .is_some_and(|topic| topic.log(partition).is_some())
    }
}

/// A defect of the machine, which must not hide behind a success.
fn mismatch(reply: &Reply) -> GroupError {
    tracing::error!(?reply, "a group's question got the answer to another one");
    GroupError::Unavailable {
        why: "the answer does not belong to the question".to_owned(),
    }
}
