//! Which topics and groups a request names.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A topic is found by its name and by its id.

use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::Request;
use highwater_proto::kafka::messages::fetch::FetchRequest;

use crate::ids::{TopicId, TopicRef};
use crate::service::Service;

/// Whether one of these topics has the name.
macro_rules! any {
    ($topics:expr, $name:ident, $is_name:ident) => {
        $topics.iter().any(|topic| $is_name(&topic.$name))
    };
}

/// As `any!`, where no list stands for all topics.
macro_rules! all_or_any {
    ($topics:expr, $name:ident, $is_name:ident) => {
        ($topics.as_ref()).is_none_or(|topics| any!(topics, $name, $is_name))
    };
}

/// Whether the request names this topic, or is about all of them.
pub(super) fn has_topic(request: &Request, name: &str, service: &Service) -> bool {
    let is_name = |other: &Str| &**other == name;
    let is_id = |id: &Uuid| service.topic_id(name) == Some(TopicId(id.0));
    match request {
        Request::Produce(request) => any!(request.topics, name, is_name),
        Request::Fetch(request) => fetches(request, name, service),
        Request::ListOffsets(request) => any!(request.topics, name, is_name),
        Request::Metadata(request) => request.topics.as_ref().is_none_or(|topics| {
            let mut topics = topics.iter();
            topics.any(|topic| topic.name.as_ref().is_some_and(is_name) || is_id(&topic.topic_id))
        }),
        Request::OffsetForLeaderEpoch(request) => any!(request.topics, name, is_name),
        Request::OffsetCommit(request) => any!(request.topics, name, is_name),
        Request::OffsetDelete(request) => any!(request.topics, name, is_name),
        Request::OffsetFetch(request) => {
            let grouped = request.groups.iter().map(|group| &group.topics);
            let mut all = grouped.chain([&request.topics]);
            all.any(|topics| all_or_any!(topics, name, is_name))
        }
        Request::DeleteTopics(request) => {
            let mut topics = request.topics.iter();
            request.topic_names.iter().any(is_name)
                || topics
                    .any(|topic| topic.name.as_ref().is_some_and(is_name) || is_id(&topic.topic_id))
        }
        request => has_topic_to_administer(request, is_name),
    }
}

fn has_topic_to_administer(request: &Request, is_name: impl Fn(&Str) -> bool) -> bool {
    /// Resources of several types.
    macro_rules! any_resource {
        ($request:ident) => {{
            let mut resources = $request.resources.iter();
            resources.any(|it| it.resource_type == TOPIC && is_name(&it.resource_name))
        }};
    }
    match request {
        Request::CreateTopics(request) => any!(request.topics, name, is_name),
        Request::DeleteRecords(request) => any!(request.topics, name, is_name),
        Request::DescribeConfigs(request) => any_resource!(request),
        Request::AlterConfigs(request) => any_resource!(request),
        Request::IncrementalAlterConfigs(request) => any_resource!(request),
        Request::AlterReplicaLogDirs(request) => {
            let mut dirs = request.dirs.iter();
            dirs.any(|dir| any!(dir.topics, name, is_name))
        }
        Request::DescribeLogDirs(request) => all_or_any!(request.topics, topic, is_name),
        Request::CreatePartitions(request) => any!(request.topics, name, is_name),
        Request::ElectLeaders(request) => all_or_any!(request.topic_partitions, topic, is_name),
        Request::AlterPartitionReassignments(request) => any!(request.topics, name, is_name),
        Request::ListPartitionReassignments(request) => all_or_any!(request.topics, name, is_name),
        Request::DescribeQuorum(request) => any!(request.topics, topic_name, is_name),
        Request::DescribeTopicPartitions(request) => any!(request.topics, name, is_name),
        _ => false,
    }
}

/// A Fetch names what has changed in its session, and means what it has named before, too.
fn fetches(request: &FetchRequest, name: &str, service: &Service) -> bool {
    let id = service.topic_id(name);
    let mut topics = request.topics.iter();
    let is_named =
        topics.any(|topic| &*topic.name == name || id == Some(TopicId(topic.topic_id.0)));
    let session = || service.fetch_session(request.session_id);
    is_named
        || session().iter().any(|(topic, _)| match topic {
            TopicRef::Name(other) => other == name,
            TopicRef::Id(other) => id == Some(*other),
        })
}

/// Whether the request names this group.
pub(super) fn has_group(request: &Request, name: &str) -> bool {
    let is_name = |other: &Str| &**other == name;
    match request {
        Request::OffsetCommit(request) => is_name(&request.group_id),
        Request::OffsetFetch(request) => {
            let mut groups = request.groups.iter();
            is_name(&request.group_id) || groups.any(|group| is_name(&group.group_id))
        }
        Request::FindCoordinator(request) => {
            is_name(&request.key) || request.coordinator_keys.iter().any(is_name)
        }
        Request::JoinGroup(request) => is_name(&request.group_id),
        Request::Heartbeat(request) => is_name(&request.group_id),
        Request::LeaveGroup(request) => is_name(&request.group_id),
        Request::SyncGroup(request) => is_name(&request.group_id),
        Request::DescribeGroups(request) => request.groups.iter().any(is_name),
        Request::DeleteGroups(request) => request.groups_names.iter().any(is_name),
        Request::OffsetDelete(request) => is_name(&request.group_id),
        _ => false,
    }
}

/// The type of a resource that is a topic.
const TOPIC: i8 = 2;
