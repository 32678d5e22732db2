//! Every API has an answer that says that it failed, which every one of its versions can carry.
//!
//! Floor 5 of broker; compiled for its tests only.

#![expect(
    clippy::needless_update,
    reason = "the macros do not know whether a type has more fields"
)]

use std::net::SocketAddr;

use highwater_proto::kafka::messages::*;
use highwater_proto::kafka::{APIS, ApiKey};

use super::{Call, ErrorCode, Request, Str, failed};
use crate::Broker;
use crate::kafka::session::{Peer, Security, Session};
use crate::sockets::Address;

const CODE: ErrorCode = ErrorCode::NotController;

/// A struct in which these fields are set.
macro_rules! of {
    ($($type:ident)::+ { $($field:ident : $value:expr),* $(,)? }) => {
        $($type)::+ { $($field: $value,)* ..$($type)::+::default() }
    };
}

/// A request in which this field is set.
macro_rules! one {
    ($($type:ident)::+, $field:ident = $value:expr) => {
        Request::from($($type)::+ { $field: $value, ..$($type)::+::default() })
    };
}

fn a() -> Str {
    Str::from_static("a")
}

/// One request of each API, which names one of everything that it can name.
fn requests() -> Vec<Request> {
    let all = [plain(), about_data(), about_topics(), about_the_cluster()];
    all.concat()
}

/// Those that name nothing.
fn plain() -> Vec<Request> {
    macro_rules! default {
        ($($type:path),* $(,)?) => { vec![$(Request::from(<$type>::default())),*] };
    }
    default![
        heartbeat::HeartbeatRequest,
        sync_group::SyncGroupRequest,
        join_group::JoinGroupRequest,
        list_groups::ListGroupsRequest,
        sasl_handshake::SaslHandshakeRequest,
        sasl_authenticate::SaslAuthenticateRequest,
        api_versions::ApiVersionsRequest,
        init_producer_id::InitProducerIdRequest,
        describe_acls::DescribeAclsRequest,
        describe_client_quotas::DescribeClientQuotasRequest,
        describe_cluster::DescribeClusterRequest,
        describe_user_scram_credentials::DescribeUserScramCredentialsRequest,
        describe_log_dirs::DescribeLogDirsRequest,
        list_config_resources::ListConfigResourcesRequest,
        list_partition_reassignments::ListPartitionReassignmentsRequest,
    ]
}

fn about_data() -> Vec<Request> {
    vec![
        one!(
            produce::ProduceRequest,
            topics = vec![of!(produce::ProduceTopic {
                name: a(),
                partitions: vec![produce::ProducePartition::default()]
            })]
        ),
        one!(
            fetch::FetchRequest,
            topics = vec![of!(fetch::FetchTopic {
                name: a(),
                partitions: vec![fetch::FetchPartition::default()]
            })]
        ),
        one!(
            list_offsets::ListOffsetsRequest,
            topics = vec![of!(list_offsets::ListOffsetsTopic {
                name: a(),
                partitions: vec![list_offsets::ListOffsetsPartition::default()]
            })]
        ),
        one!(
            offset_for_leader_epoch::OffsetForLeaderEpochRequest,
            topics = vec![of!(offset_for_leader_epoch::EpochTopic {
                name: a(),
                partitions: vec![offset_for_leader_epoch::EpochPartition::default()]
            })]
        ),
        one!(
            offset_commit::OffsetCommitRequest,
            topics = vec![of!(offset_commit::OffsetCommitTopic {
                name: a(),
                partitions: vec![offset_commit::OffsetCommitPartition::default()]
            })]
        ),
        one!(
            offset_delete::OffsetDeleteRequest,
            topics = vec![of!(offset_delete::OffsetDeleteTopic {
                name: a(),
                partitions: vec![offset_delete::OffsetDeletePartition::default()]
            })]
        ),
        one!(
            offset_fetch::OffsetFetchRequest,
            topics = Some(vec![of!(offset_fetch::OffsetFetchTopic {
                name: a(),
                partition_indexes: vec![0]
            })])
        ),
        one!(find_coordinator::FindCoordinatorRequest, key = a()),
        one!(leave_group::LeaveGroupRequest, group_id = a()),
        one!(describe_groups::DescribeGroupsRequest, groups = vec![a()]),
        one!(delete_groups::DeleteGroupsRequest, groups_names = vec![a()]),
    ]
}

fn about_topics() -> Vec<Request> {
    vec![
        one!(
            create_topics::CreateTopicsRequest,
            topics = vec![of!(create_topics::CreateTopic { name: a() })]
        ),
        one!(delete_topics::DeleteTopicsRequest, topic_names = vec![a()]),
        one!(
            create_partitions::CreatePartitionsRequest,
            topics = vec![of!(create_partitions::CreatePartitionsTopic { name: a() })]
        ),
        one!(
            delete_records::DeleteRecordsRequest,
            topics = vec![of!(delete_records::DeleteRecordsTopic {
                name: a(),
                partitions: vec![delete_records::DeleteRecordsPartition::default()]
            })]
        ),
        one!(
            describe_topic_partitions::DescribeTopicPartitionsRequest,
            topics = vec![of!(
                describe_topic_partitions::DescribeTopicPartitionsAsked { name: a() }
            )]
        ),
        one!(
            describe_configs::DescribeConfigsRequest,
            resources = vec![of!(describe_configs::DescribeConfigsResource {
                resource_type: 2,
                resource_name: a()
            })]
        ),
        one!(
            alter_configs::AlterConfigsRequest,
            resources = vec![of!(alter_configs::AlterConfigsResource {
                resource_type: 2,
                resource_name: a()
            })]
        ),
        one!(
            incremental_alter_configs::IncrementalAlterConfigsRequest,
            resources = vec![of!(incremental_alter_configs::AlterConfigsResource {
                resource_type: 2,
                resource_name: a()
            })]
        ),
    ]
}

fn about_the_cluster() -> Vec<Request> {
    vec![
        one!(
            create_acls::CreateAclsRequest,
            creations = vec![create_acls::AclCreation::default()]
        ),
        one!(
            delete_acls::DeleteAclsRequest,
            filters = vec![delete_acls::DeleteAclsFilter::default()]
        ),
        one!(
            alter_client_quotas::AlterClientQuotasRequest,
            entries = vec![alter_client_quotas::AlterClientQuotasEntry::default()]
        ),
        one!(
            alter_user_scram_credentials::AlterUserScramCredentialsRequest,
            deletions = vec![alter_user_scram_credentials::ScramCredentialDeletion::default()]
        ),
        one!(
            elect_leaders::ElectLeadersRequest,
            topic_partitions = Some(vec![of!(elect_leaders::ElectLeadersTopic {
                topic: a(),
                partitions: vec![0]
            })])
        ),
        one!(
            alter_partition_reassignments::AlterPartitionReassignmentsRequest,
            topics = vec![of!(alter_partition_reassignments::ReassignableTopic {
                name: a(),
                partitions: vec![alter_partition_reassignments::ReassignablePartition::default()]
            })]
        ),
        one!(
            alter_replica_log_dirs::AlterReplicaLogDirsRequest,
            dirs = vec![of!(alter_replica_log_dirs::AlterReplicaLogDir {
                topics: vec![of!(alter_replica_log_dirs::AlterReplicaLogDirTopic {
                    name: a(),
                    partitions: vec![0]
                })]
            })]
        ),
        one!(
            describe_quorum::DescribeQuorumRequest,
            topics = vec![of!(describe_quorum::DescribeQuorumAskedTopic {
                topic_name: a(),
                partitions: vec![describe_quorum::DescribeQuorumAskedPartition::default()]
            })]
        ),
    ]
}

/// In newer versions several groups or keys stand where there was one.
fn newer(request: Request) -> Request {
    match request {
        Request::OffsetFetch(request) => Request::OffsetFetch(offset_fetch::OffsetFetchRequest {
            groups: vec![offset_fetch::OffsetFetchGroup {
                group_id: a(),
                topics: request.topics,
                ..offset_fetch::OffsetFetchGroup::default()
            }],
            ..offset_fetch::OffsetFetchRequest::default()
        }),
        Request::FindCoordinator(_) => {
            Request::FindCoordinator(find_coordinator::FindCoordinatorRequest {
                coordinator_keys: vec![a()],
                ..find_coordinator::FindCoordinatorRequest::default()
            })
        }
        other => other,
    }
}

#[test]
fn every_api_says_its_code_and_no_other_in_each_version() {
    let broker = Broker::in_memory().unwrap();
    let peer = Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 5)));
    let advertised = Address {
        host: "localhost".to_owned(),
        port: 9092,
    };
    let session = Session::new(peer, advertised, Security::default());
    let mut told = Vec::new();
    for request in requests() {
        let key = request.key();
        let versions = key.info().implemented;
        for version in versions.min..=versions.max {
            let is_newer = matches!(
                (key, version),
                (ApiKey::OffsetFetch, 8..) | (ApiKey::FindCoordinator, 4..)
            );
            let asked = if is_newer {
                newer(request.clone())
            } else {
                request.clone()
            };
            let call = Call {
                service: broker.service(),
                session: &session,
                version,
            };
            let answer = failed(&call, &asked, CODE);
            assert_eq!(answer.key(), key);
            let frame = answer.encode_frame(version, 7);
            assert!(frame.is_ok(), "{key} v{version}: {frame:?}");
            let mut codes = Vec::new();
            answer.error_codes(|code| codes.push(code));
            codes.retain(|code| *code != 0);
            assert!(!codes.is_empty(), "{key} v{version} says nothing");
            assert!(
                codes.iter().all(|code| *code == CODE.code()),
                "{key}: {codes:?}"
            );
        }
        told.push(key);
    }
    told.push(ApiKey::Metadata); // Made of its true answer.
    let keys = APIS.iter().map(|api| api.key);
    let missing: Vec<_> = keys.filter(|key| !told.contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
