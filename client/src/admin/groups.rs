//! Groups: which there are, who is in them, and deleting them.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - A list asks every broker, because each knows only the groups that it coordinates.
//! - What a member says in bytes that are no consumer protocol is left out, not an error.

use highwater_proto::consumer_protocol::{Assignment, PROTOCOL_TYPE, Subscription};
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::delete_groups::DeleteGroupsRequest;
use highwater_proto::kafka::messages::describe_groups::{
    DescribeGroupsRequest, DescribedGroup, DescribedGroupMember,
};
use highwater_proto::kafka::messages::leave_group::{LeaveGroupMember, LeaveGroupRequest};
use highwater_proto::kafka::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};

use super::{Admin, Patience, no_result, text};
use crate::cluster::Node;
use crate::error::ClientError;

/// One group of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group: String,
    /// `consumer`, `connect`...; empty for a group that only keeps offsets.
    pub protocol_type: String,
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`...; empty if the broker is
    /// older than Kafka 2.6.
    pub state: String,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: String,
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`; `Dead` if there is no such
    /// group.
    pub state: String,
    /// `consumer`, `connect`...; empty for a group that only keeps offsets.
    pub protocol_type: String,
    /// How partitions are assigned, such as `range`; known while the group is stable.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// Where it is: `/127.0.0.1`.
    pub host: String,
    /// The topics that it wants, by name; known while the group is stable.
    pub subscription: Vec<String>,
    /// The partitions that it reads, by topic and number; known while the group is stable.
    pub assignment: Vec<(String, i32)>,
}

impl GroupDescription {
    /// Whether there is such a group.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.state != "Dead"
    }
}

impl Admin {
    /// Every group of the cluster, by id.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for group in admin.list_groups().await? {
    ///     println!("{} is {}", group.group, group.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When a broker cannot be reached.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        let mut groups = Vec::new();
        for node in self.cluster.nodes().await? {
            let response = self.groups_of(&node).await?;
            groups.extend(response.groups.into_iter().map(|group| GroupListing {
                group: group.group_id.into(),
                protocol_type: group.protocol_type.into(),
                state: group.group_state.into(),
            }));
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        groups.dedup_by(|a, b| a.group == b.group);
        Ok(groups)
    }

    /// The groups that one broker coordinates, as soon as it knows.
    async fn groups_of(&self, node: &Node) -> Result<ListGroupsResponse, ClientError> {
        let mut patience = Patience::new(&self.cluster);
        loop {
            let request = ListGroupsRequest::default();
            let response = self.ask_node(node, LIST_VERSION_MAX, request).await?;
            match ClientError::check(response.error_code, None) {
                Err(error) => patience.wait(error).await?,
                Ok(()) => return Ok(response),
            }
        }
    }

    /// A group with its members; its state is `Dead` if there is no such group.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for member in admin.describe_group("billing").await?.members {
    ///     println!("{} reads {:?}", member.client_id, member.assignment);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the coordinator refuses, or cannot be reached for a minute.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest {
            groups: vec![text(group)],
            ..Default::default()
        };
        let terms = self.cluster.terms(0..=DESCRIBE_VERSION_MAX);
        self.cluster
            .ask_coordinator(group, terms, request, |response| {
                let found = response.groups.into_iter().next().ok_or_else(no_result)?;
                ClientError::check(found.error_code, None)?;
                Ok(description(found))
            })
            .await
    }

    /// Deletes a group with its committed offsets.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// admin.delete_group("billing").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `NON_EMPTY_GROUP` while it has members, with `GROUP_ID_NOT_FOUND` if there is
    /// no such group.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest {
            groups_names: vec![text(group)],
        };
        let terms = self.cluster.terms(0..=DELETE_VERSION_MAX);
        self.cluster
            .ask_coordinator(group, terms, request, |response| {
                let result = response.results.first().ok_or_else(no_result)?;
                ClientError::check(result.error_code, None)
            })
            .await
    }

    /// Takes static members out of their group, by their `group.instance.id`: the others take
    /// over what they read before their sessions end. One that still lives is told when it is
    /// heard of next.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// admin.remove_group_members("billing", &["worker-7"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_MEMBER_ID` if one of them is no member; the others are gone.
    pub async fn remove_group_members(
        &self,
        group: &str,
        instance_ids: &[&str],
    ) -> Result<(), ClientError> {
        let member = |id: &&str| LeaveGroupMember {
            member_id: Str::default(),
            group_instance_id: Some(text(id)),
            reason: Some(Str::from_static("an administrator has removed it")),
        };
        let request = LeaveGroupRequest {
            group_id: text(group),
            members: instance_ids.iter().map(member).collect(),
            ..Default::default()
        };
        let terms = self.cluster.terms(3..=LEAVE_VERSION_MAX);
        self.cluster
            .ask_coordinator(group, terms, request, |response| {
                ClientError::check(response.error_code, None)?;
                let mut results = response.members.iter();
                results.try_for_each(|member| ClientError::check(member.error_code, None))
            })
            .await
    }
}

fn description(group: DescribedGroup) -> GroupDescription {
    let is_consumer = group.protocol_type == *PROTOCOL_TYPE;
    let members = group.members.into_iter();
    let mut members: Vec<_> = members.map(|it| member(it, is_consumer)).collect();
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    GroupDescription {
        group: group.group_id.into(),
        state: group.group_state.into(),
        protocol_type: group.protocol_type.into(),
        protocol: group.protocol_data.into(),
        members,
    }
}

fn member(member: DescribedGroupMember, is_consumer: bool) -> GroupMember {
    let subscription = match is_consumer && !member.member_metadata.is_empty() {
        true => Subscription::decode(&member.member_metadata).unwrap_or_default(),
        false => Subscription::default(),
    };
    let assigned = match is_consumer {
        true => Assignment::decode(&member.member_assignment).unwrap_or_default(),
        false => Assignment::default(),
    };
    let mut assignment: Vec<(String, i32)> = assigned
        .partitions
        .into_iter()
        .flat_map(|(topic, partitions)| {
            let with_topic = move |partition| (topic.clone(), partition);
            partitions.into_iter().map(with_topic)
        })
        .collect();
    assignment.sort();
    let mut subscription = subscription.topics;
    subscription.sort();
    GroupMember {
        member_id: member.member_id.into(),
        instance_id: member.group_instance_id.map(String::from),
        client_id: member.client_id.into(),
        host: member.client_host.into(),
        subscription,
        assignment,
    }
}

/// From here on groups of another type are listed, too, which are described in another way.
const LIST_VERSION_MAX: i16 = 4;

/// The last version that answers `Dead` for a group that does not exist, not an error.
const DESCRIBE_VERSION_MAX: i16 = 5;

const DELETE_VERSION_MAX: i16 = 2;

const LEAVE_VERSION_MAX: i16 = 5;
