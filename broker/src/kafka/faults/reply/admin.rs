//! Answers of the administrative APIs that say that a request has failed.
//!
//! Floor 5 of broker.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_client_quotas::{
    AlterClientQuotasResponse, AlterClientQuotasResult,
};
use highwater_proto::kafka::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use highwater_proto::kafka::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use highwater_proto::kafka::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
};
use highwater_proto::kafka::messages::create_acls::{AclCreationResult, CreateAclsResponse};
use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsResponse, CreatePartitionsResult,
};
use highwater_proto::kafka::messages::create_topics::{CreateTopicResult, CreateTopicsResponse};
use highwater_proto::kafka::messages::delete_acls::{DeleteAclsFilterResult, DeleteAclsResponse};
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use highwater_proto::kafka::messages::delete_topics::{
    DeleteTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};
use highwater_proto::kafka::messages::describe_acls::DescribeAclsResponse;
use highwater_proto::kafka::messages::describe_client_quotas::DescribeClientQuotasResponse;
use highwater_proto::kafka::messages::describe_cluster::DescribeClusterResponse;
use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsResponse, DescribeConfigsResult,
};
use highwater_proto::kafka::messages::describe_log_dirs::{
    DescribeLogDirsResponse, DescribeLogDirsResult,
};
use highwater_proto::kafka::messages::describe_quorum::{
    DescribeQuorumPartition, DescribeQuorumResponse, DescribeQuorumTopic,
};
use highwater_proto::kafka::messages::describe_topic_partitions::{
    DescribeTopicPartitionsResponse, DescribeTopicPartitionsTopic,
};
use highwater_proto::kafka::messages::elect_leaders::{
    ElectLeadersPartitionResult, ElectLeadersResponse, ElectLeadersTopicResult,
};
use highwater_proto::kafka::messages::list_config_resources::ListConfigResourcesResponse;
use highwater_proto::kafka::messages::{
    alter_configs, describe_user_scram_credentials::DescribeUserScramCredentialsResponse,
    incremental_alter_configs, list_partition_reassignments,
};
use highwater_proto::kafka::{Request, Response};

use super::{WHY, each};

/// A response in which these fields are set.
macro_rules! response {
    ($response:ident { $($fields:tt)* }) => {
        Response::from($response { $($fields)*, ..$response::default() })
    };
}

/// The answer to an administrative request that has failed.
pub(super) fn failed(request: &Request, version: i16, code: i16) -> Response {
    let why = || Some(Str::from_static(WHY));
    match request {
        Request::DescribeAcls(_) => response!(DescribeAclsResponse {
            error_code: code,
            error_message: why()
        }),
        Request::DescribeClientQuotas(_) => response!(DescribeClientQuotasResponse {
            error_code: code,
            error_message: why(),
            entries: None
        }),
        Request::ListConfigResources(_) => {
            response!(ListConfigResourcesResponse { error_code: code })
        }
        Request::ListPartitionReassignments(_) => {
            list_partition_reassignments::ListPartitionReassignmentsResponse {
                error_code: code,
                error_message: why(),
                ..list_partition_reassignments::ListPartitionReassignmentsResponse::default()
            }
            .into()
        }
        Request::DescribeUserScramCredentials(_) => {
            response!(DescribeUserScramCredentialsResponse {
                error_code: code,
                error_message: why()
            })
        }
        Request::AlterUserScramCredentials(request) => altered_users(request, code).into(),
        Request::DescribeLogDirs(_) => response!(DescribeLogDirsResponse {
            error_code: code,
            results: vec![DescribeLogDirsResult {
                error_code: code,
                ..DescribeLogDirsResult::default()
            }]
        }),
        Request::CreateAcls(request) => response!(CreateAclsResponse {
            results: each(&request.creations, |_| AclCreationResult {
                error_code: code,
                error_message: why(),
            })
        }),
        Request::DeleteAcls(request) => response!(DeleteAclsResponse {
            filter_results: each(&request.filters, |_| DeleteAclsFilterResult {
                error_code: code,
                error_message: why(),
                ..DeleteAclsFilterResult::default()
            })
        }),
        Request::AlterClientQuotas(request) => response!(AlterClientQuotasResponse {
            entries: each(&request.entries, |entry| AlterClientQuotasResult {
                error_code: code,
                error_message: why(),
                entity: entry.entity.clone(),
            })
        }),
        Request::DescribeConfigs(_)
        | Request::AlterConfigs(_)
        | Request::IncrementalAlterConfigs(_) => configs(request, code),
        _ => topics(request, version, code),
    }
}

fn configs(request: &Request, code: i16) -> Response {
    let why = || Some(Str::from_static(WHY));
    match request {
        Request::AlterConfigs(request) => alter_configs::AlterConfigsResponse {
            responses: each(&request.resources, |it| alter_configs::AlterConfigsResult {
                error_code: code,
                error_message: why(),
                resource_type: it.resource_type,
                resource_name: it.resource_name.clone(),
            }),
            ..alter_configs::AlterConfigsResponse::default()
        }
        .into(),
        Request::IncrementalAlterConfigs(request) => {
            let result = |it: &incremental_alter_configs::AlterConfigsResource| {
                incremental_alter_configs::AlterConfigsResult {
                    error_code: code,
                    error_message: why(),
                    resource_type: it.resource_type,
                    resource_name: it.resource_name.clone(),
                }
            };
            incremental_alter_configs::IncrementalAlterConfigsResponse {
                results: each(&request.resources, result),
                ..incremental_alter_configs::IncrementalAlterConfigsResponse::default()
            }
            .into()
        }
        Request::DescribeConfigs(request) => response!(DescribeConfigsResponse {
            results: each(&request.resources, |it| DescribeConfigsResult {
                error_code: code,
                error_message: why(),
                resource_type: it.resource_type,
                resource_name: it.resource_name.clone(),
                ..DescribeConfigsResult::default()
            })
        }),
        _ => response!(DescribeClusterResponse {
            error_code: code,
            error_message: why()
        }),
    }
}

fn topics(request: &Request, version: i16, code: i16) -> Response {
    let why = || Some(Str::from_static(WHY));
    match request {
        Request::CreateTopics(request) => response!(CreateTopicsResponse {
            topics: each(&request.topics, |topic| CreateTopicResult {
                name: topic.name.clone(),
                error_code: code,
                error_message: why(),
                ..CreateTopicResult::default()
            })
        }),
        Request::DeleteTopics(request) => delete_topics(request, code).into(),
        Request::CreatePartitions(request) => response!(CreatePartitionsResponse {
            results: each(&request.topics, |topic| CreatePartitionsResult {
                name: topic.name.clone(),
                error_code: code,
                error_message: why(),
            })
        }),
        Request::DeleteRecords(request) => response!(DeleteRecordsResponse {
            topics: each(&request.topics, |topic| DeleteRecordsTopicResult {
                name: topic.name.clone(),
                partitions: each(&topic.partitions, |asked| DeleteRecordsPartitionResult {
                    index: asked.index,
                    low_watermark: -1,
                    error_code: code,
                }),
            })
        }),
        Request::DescribeTopicPartitions(request) => {
            response!(DescribeTopicPartitionsResponse {
                topics: each(&request.topics, |topic| DescribeTopicPartitionsTopic {
                    error_code: code,
                    name: Some(topic.name.clone()),
                    ..DescribeTopicPartitionsTopic::default()
                })
            })
        }
        _ => replicas(request, version, code),
    }
}

fn delete_topics(request: &DeleteTopicsRequest, code: i16) -> DeleteTopicsResponse {
    let why = || Some(Str::from_static(WHY));
    let named = request.topic_names.iter().map(|name| DeleteTopicResult {
        name: Some(name.clone()),
        error_code: code,
        error_message: why(),
        ..DeleteTopicResult::default()
    });
    let by_id = request.topics.iter().map(|topic| DeleteTopicResult {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        error_code: code,
        error_message: why(),
    });
    DeleteTopicsResponse {
        topics: named.chain(by_id).collect(),
        ..DeleteTopicsResponse::default()
    }
}

fn replicas(request: &Request, version: i16, code: i16) -> Response {
    let why = || Some(Str::from_static(WHY));
    match request {
        Request::ElectLeaders(request) => {
            let topics = request.topic_partitions.as_deref().unwrap_or_default();
            let partition = |index: &i32| ElectLeadersPartitionResult {
                partition_id: *index,
                error_code: code,
                error_message: why(),
            };
            response!(ElectLeadersResponse {
                // Version 0 has no room for it.
                error_code: if version == 0 { 0 } else { code },
                replica_election_results: each(topics, |topic| ElectLeadersTopicResult {
                    topic: topic.topic.clone(),
                    partitions: each(&topic.partitions, partition),
                })
            })
        }
        Request::AlterPartitionReassignments(request) => {
            response!(AlterPartitionReassignmentsResponse {
                error_code: code,
                error_message: why(),
                responses: each(&request.topics, |topic| ReassignableTopicResponse {
                    name: topic.name.clone(),
                    partitions: each(&topic.partitions, |asked| ReassignablePartitionResponse {
                        index: asked.index,
                        error_code: code,
                        error_message: why(),
                    }),
                })
            })
        }
        Request::AlterReplicaLogDirs(request) => replica_log_dirs(request, code).into(),
        Request::DescribeQuorum(request) => response!(DescribeQuorumResponse {
            error_code: code,
            error_message: why(),
            topics: each(&request.topics, |topic| DescribeQuorumTopic {
                topic_name: topic.topic_name.clone(),
                partitions: each(&topic.partitions, |asked| DescribeQuorumPartition {
                    index: asked.index,
                    error_code: code,
                    error_message: why(),
                    ..DescribeQuorumPartition::default()
                }),
            })
        }),
        request => configs(request, code),
    }
}

fn replica_log_dirs(
    request: &AlterReplicaLogDirsRequest,
    code: i16,
) -> AlterReplicaLogDirsResponse {
    let topics = request.dirs.iter().flat_map(|dir| &dir.topics);
    let results = topics.map(|topic| AlterReplicaLogDirTopicResult {
        topic_name: topic.name.clone(),
        partitions: each(&topic.partitions, |index| {
            AlterReplicaLogDirPartitionResult {
                index: *index,
                error_code: code,
            }
        }),
    });
    AlterReplicaLogDirsResponse {
        results: results.collect(),
        ..AlterReplicaLogDirsResponse::default()
    }
}

/// One answer for each user that a request changes.
fn altered_users(
    request: &AlterUserScramCredentialsRequest,
    error_code: i16,
) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.iter().map(|deletion| &deletion.name);
    let set = request.upsertions.iter().map(|upsertion| &upsertion.name);
    let mut users: Vec<&Str> = Vec::new();
    for user in deleted.chain(set) {
        if !users.contains(&user) {
            users.push(user);
        }
    }
    AlterUserScramCredentialsResponse {
        throttle_time_ms: 0,
        results: each(&users, |user| AlterUserScramCredentialsResult {
            user: (*user).clone(),
            error_code,
            error_message: Some(Str::from_static(WHY)),
        }),
    }
}
