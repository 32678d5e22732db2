//! How much one request may name: topics, groups and the like, and partitions, members and the like
//! below them.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Every API of the table is counted: a new one does not compile until it is.

use highwater_proto::kafka::Request;
use highwater_proto::kafka::messages::offset_fetch::OffsetFetchRequest;

use super::dispatch::Refusal;
use crate::config::BrokerConfig;
use crate::error::GroupError;

/// Refuses a request that names too much.
pub(super) fn check(request: &Request, config: &BrokerConfig) -> Result<(), Refusal> {
    let (topics, partitions) = count(request);
    let over = |what, count, setting, max| {
        if count > max {
            Err(Refusal::FanOut {
                what,
                count,
                setting,
                max,
            })
        } else {
            Ok(())
        }
    };
    let (upper, lower) = nouns(request);
    over(
        upper,
        topics,
        "request.topics.max",
        config.request_topics_max,
    )?;
    over(
        lower,
        partitions,
        "request.partitions.max",
        config.request_partitions_max,
    )
}

/// Refuses an id of a group, a member or an instance that is longer than ids may be.
pub(super) fn check_id(what: &str, id: &str, config: &BrokerConfig) -> Result<(), GroupError> {
    let (bytes, bytes_max) = (id.len(), config.group_id_max_bytes);
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(GroupError::InvalidRequest {
        why: format!("the {what} id has {bytes} bytes, group.id.max.bytes is {bytes_max}"),
    })
}

/// Refuses what would be too much to be kept for one member of a group.
pub(super) fn check_member(bytes: usize, config: &BrokerConfig) -> Result<(), GroupError> {
    let bytes_max = config.group_member_max_bytes;
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(GroupError::InvalidRequest {
        why: format!(
            "{bytes} bytes were to be kept for a member, group.member.max.bytes is {bytes_max}"
        ),
    })
}

/// What `count` counts, for people.
const fn nouns(request: &Request) -> (&'static str, &'static str) {
    match request {
        Request::JoinGroup(_) => ("protocols", "partitions"),
        Request::SyncGroup(_) => ("groups", "assignments"),
        Request::LeaveGroup(_) => ("groups", "members"),
        Request::FindCoordinator(_) | Request::DescribeGroups(_) | Request::DeleteGroups(_) => {
            ("groups", "partitions")
        }
        Request::OffsetFetch(_) => ("groups or topics", "partitions"),
        _ => ("topics", "partitions"),
    }
}

/// Topics (or what stands for them) and partitions (or what stands for them) of a request.
fn count(request: &Request) -> (usize, usize) {
    /// Topics with partitions below them.
    macro_rules! nested {
        ($topics:expr) => {
            below($topics.map(|topic| topic.partitions.len()))
        };
    }
    match request {
        Request::Produce(request) => nested!(request.topics.iter()),
        Request::Fetch(request) => {
            let asked = request.topics.iter().map(|topic| topic.partitions.len());
            let forgotten = request.forgotten_topics.iter();
            below(asked.chain(forgotten.map(|topic| topic.partitions.len())))
        }
        Request::ListOffsets(request) => nested!(request.topics.iter()),
        Request::DeleteRecords(request) => nested!(request.topics.iter()),
        Request::OffsetForLeaderEpoch(request) => nested!(request.topics.iter()),
        Request::OffsetCommit(request) => nested!(request.topics.iter()),
        Request::OffsetDelete(request) => nested!(request.topics.iter()),
        Request::AlterPartitionReassignments(request) => nested!(request.topics.iter()),
        Request::DescribeQuorum(request) => nested!(request.topics.iter()),
        Request::OffsetFetch(request) => offset_fetch(request),
        Request::DescribeLogDirs(request) => nested!(request.topics.iter().flatten()),
        Request::AlterReplicaLogDirs(request) => {
            nested!(request.dirs.iter().flat_map(|dir| &dir.topics))
        }
        Request::ElectLeaders(request) => nested!(request.topic_partitions.iter().flatten()),
        Request::ListPartitionReassignments(request) => {
            let topics = request.topics.iter().flatten();
            below(topics.map(|topic| topic.partition_indexes.len()))
        }
        Request::Metadata(request) => (request.topics.as_ref().map_or(0, Vec::len), 0),
        Request::DescribeTopicPartitions(request) => (request.topics.len(), 0),
        Request::FindCoordinator(request) => (request.coordinator_keys.len(), 0),
        Request::DescribeGroups(request) => (request.groups.len(), 0),
        Request::DeleteGroups(request) => (request.groups_names.len(), 0),
        Request::ListGroups(request) => {
            (request.states_filter.len() + request.types_filter.len(), 0)
        }
        Request::JoinGroup(request) => (request.protocols.len(), 0),
        Request::SyncGroup(request) => (1, request.assignments.len()),
        Request::LeaveGroup(request) => (1, request.members.len()),
        // The service bounds the partitions of all topics together.
        Request::CreateTopics(request) => (request.topics.len(), 0),
        Request::DeleteTopics(request) => (request.topics.len() + request.topic_names.len(), 0),
        Request::CreatePartitions(request) => (request.topics.len(), 0),
        Request::DescribeConfigs(request) => (request.resources.len(), 0),
        Request::AlterConfigs(request) => (request.resources.len(), 0),
        Request::IncrementalAlterConfigs(request) => (request.resources.len(), 0),
        Request::CreateAcls(request) => (request.creations.len(), 0),
        Request::DeleteAcls(request) => (request.filters.len(), 0),
        Request::DescribeClientQuotas(request) => (request.components.len(), 0),
        Request::AlterClientQuotas(request) => (request.entries.len(), 0),
        Request::DescribeUserScramCredentials(request) => {
            (request.users.as_ref().map_or(0, Vec::len), 0)
        }
        Request::AlterUserScramCredentials(request) => {
            (request.deletions.len() + request.upsertions.len(), 0)
        }
        Request::ListConfigResources(request) => (request.resource_types.len(), 0),
        Request::ApiVersions(_)
        | Request::InitProducerId(_)
        | Request::DescribeCluster(_)
        | Request::Heartbeat(_)
        | Request::SaslHandshake(_)
        | Request::SaslAuthenticate(_)
        | Request::DescribeAcls(_) => (0, 0),
    }
}

/// How many there are, and how many below them.
fn below(counts: impl Iterator<Item = usize>) -> (usize, usize) {
    counts.fold((0, 0), |(above, below), count| (above + 1, below + count))
}

/// The topics of all groups, or the groups if they are more, and the partitions.
fn offset_fetch(request: &OffsetFetchRequest) -> (usize, usize) {
    let grouped = request.groups.iter().flat_map(|group| &group.topics);
    let topics = request.topics.iter().chain(grouped).flatten();
    let (topics, partitions) = below(topics.map(|topic| topic.partition_indexes.len()));
    (topics.max(request.groups.len()), partitions)
}

#[cfg(test)]
mod tests {
    use highwater_proto::kafka::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
    use highwater_proto::kafka::messages::join_group::{JoinGroupProtocol, JoinGroupRequest};
    use highwater_proto::kafka::messages::leave_group::{LeaveGroupMember, LeaveGroupRequest};
    use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
    use highwater_proto::kafka::messages::offset_fetch::{OffsetFetchGroup, OffsetFetchTopic};
    use highwater_proto::kafka::messages::sync_group::{SyncGroupAssignment, SyncGroupRequest};

    use super::*;

    #[test]
    fn a_request_may_name_as_much_as_the_settings_say_and_no_more() {
        let config = BrokerConfig {
            request_topics_max: 2,
            request_partitions_max: 3,
            ..BrokerConfig::default()
        };
        let metadata = |count| {
            let topics = Some(vec![MetadataTopic::default(); count]);
            MetadataRequest {
                topics,
                ..MetadataRequest::default()
            }
            .into()
        };
        assert_eq!(check(&metadata(2), &config), Ok(()));
        let error = check(&metadata(3), &config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a request names 3 topics, request.topics.max is 2: ask in several requests"
        );
        let fetch = |count| {
            let partitions = vec![FetchPartition::default(); count];
            let topics = vec![FetchTopic {
                partitions,
                ..FetchTopic::default()
            }];
            FetchRequest {
                topics,
                ..FetchRequest::default()
            }
            .into()
        };
        assert_eq!(check(&fetch(3), &config), Ok(()));
        assert!(check(&fetch(4), &config).is_err());
    }

    #[test]
    fn what_members_name_is_counted_and_called_by_its_name() {
        let config = BrokerConfig {
            request_topics_max: 2,
            request_partitions_max: 3,
            ..BrokerConfig::default()
        };
        let leave = |count| {
            Request::from(LeaveGroupRequest {
                members: vec![LeaveGroupMember::default(); count],
                ..LeaveGroupRequest::default()
            })
        };
        let join = |count| {
            Request::from(JoinGroupRequest {
                protocols: vec![JoinGroupProtocol::default(); count],
                ..JoinGroupRequest::default()
            })
        };
        let sync = |count| {
            Request::from(SyncGroupRequest {
                assignments: vec![SyncGroupAssignment::default(); count],
                ..SyncGroupRequest::default()
            })
        };
        for fits in [leave(3), join(2), sync(3)] {
            assert_eq!(check(&fits, &config), Ok(()), "{fits:?}");
        }
        let why = |request| check(&request, &config).unwrap_err().to_string();
        let tail = "ask in several requests";
        let members = format!("a request names 4 members, request.partitions.max is 3: {tail}");
        assert_eq!(why(leave(4)), members);
        let protocols = format!("a request names 3 protocols, request.topics.max is 2: {tail}");
        assert_eq!(why(join(3)), protocols);
        let assigned =
            format!("a request names 4 assignments, request.partitions.max is 3: {tail}");
        assert_eq!(why(sync(4)), assigned);
    }

    #[test]
    fn the_topics_and_partitions_of_all_groups_are_counted_together() {
        let config = BrokerConfig {
            request_topics_max: 2,
            request_partitions_max: 3,
            ..BrokerConfig::default()
        };
        let fetch = |groups: usize, topics: usize, partitions: usize| {
            let topic = OffsetFetchTopic {
                partition_indexes: vec![0; partitions],
                ..OffsetFetchTopic::default()
            };
            let group = OffsetFetchGroup {
                topics: Some(vec![topic; topics]),
                ..OffsetFetchGroup::default()
            };
            let request = OffsetFetchRequest {
                groups: vec![group; groups],
                ..OffsetFetchRequest::default()
            };
            check(&Request::from(request), &config)
        };
        assert_eq!(fetch(2, 1, 1), Ok(()));
        assert_eq!(fetch(1, 1, 3), Ok(()));
        for (groups, topics, partitions) in [(3, 0, 0), (3, 1, 1), (1, 3, 1), (2, 1, 2)] {
            assert!(
                fetch(groups, topics, partitions).is_err(),
                "{groups} {topics} {partitions}"
            );
        }
    }
}
