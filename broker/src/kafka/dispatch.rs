//! Which handler answers which request.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Every API of the table has a handler: a new one does not compile until it has.

use highwater_proto::exchange::BoxFuture;
use highwater_proto::kafka::{ApiKey, Request, Response};
use thiserror::Error;

use super::api::{
    Call, alter_client_quotas, alter_configs, alter_partition_reassignments,
    alter_replica_log_dirs, alter_user_scram_credentials, api_versions, create_acls,
    create_partitions, create_topics, delete_acls, delete_groups, delete_records, delete_topics,
    describe_acls, describe_client_quotas, describe_cluster, describe_configs, describe_groups,
    describe_log_dirs, describe_quorum, describe_topic_partitions, describe_user_scram_credentials,
    elect_leaders, fetch, find_coordinator, heartbeat, incremental_alter_configs, init_producer_id,
    join_group, leave_group, list_config_resources, list_groups, list_offsets,
    list_partition_reassignments, metadata, offset_commit, offset_delete, offset_fetch,
    offset_for_leader_epoch, produce, sasl_authenticate, sasl_handshake, sync_group,
};

/// A request that has no answer to tell its client why. It ends a connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// A produce with acks 0 failed: no answer can say so.
    #[error("a produce with acks 0 failed: {why}")]
    Unanswered { why: String },
    /// The client has not proved who it is.
    #[error(
        "a request of {api} came before the client has proved who it is, which this listener asks \
         for by SASL"
    )]
    Unproven { api: ApiKey },
    /// The client has not proved again who it is.
    #[error(
        "a request of {api} came after its session of SASL was over (connections.max.reauth.ms): \
         the client has to prove who it is before that, which those before Kafka 2.2 do not"
    )]
    Over { api: ApiKey },
    /// The request names more than one request may.
    #[error("a request names {count} {what}, {setting} is {max}: ask in several requests")]
    FanOut {
        what: &'static str,
        count: usize,
        setting: &'static str,
        max: usize,
    },
}

/// Executes a request and waits for its answer; `None` for a request that is not answered.
pub(super) fn answer(
    call: Call<'_>,
    request: Request,
) -> BoxFuture<'_, Result<Option<Response>, Refusal>> {
    // On the heap, so that an idle connection does not carry room for the largest handler.
    Box::pin(async move {
        // Of one type for each API, made one type for all.
        macro_rules! answered {
            ($($api:ident($request:ident) => $response:expr;)+) => {
                match request {
                    Request::Produce(request) => {
                        return produce::begin(call, request).await.answer().await;
                    }
                    $(Request::$api($request) => Response::$api($response),)+
                }
            };
        }
        Ok(Some(answered! {
            Fetch(request) => fetch::handle(call, request).await;
            ListOffsets(request) => list_offsets::handle(call, request).await;
            Metadata(request) => metadata::handle(call, request).await;
            OffsetCommit(request) => offset_commit::handle(call, request).await;
            OffsetFetch(request) => offset_fetch::handle(call, request);
            FindCoordinator(request) => find_coordinator::handle(call, request);
            JoinGroup(request) => join_group::handle(call, request).await;
            Heartbeat(request) => heartbeat::handle(call, request).await;
            LeaveGroup(request) => leave_group::handle(call, request).await;
            SyncGroup(request) => sync_group::handle(call, request).await;
            DescribeGroups(request) => describe_groups::handle(call, request);
            ListGroups(request) => list_groups::handle(call, &request);
            SaslHandshake(request) => sasl_handshake::handle(call, &request);
            ApiVersions(request) => api_versions::handle(call, &request);
            CreateTopics(request) => create_topics::handle(call, request).await;
            DeleteTopics(request) => delete_topics::handle(call, request).await;
            DeleteRecords(request) => delete_records::handle(call, request).await;
            InitProducerId(request) => init_producer_id::handle(call, request).await;
            OffsetForLeaderEpoch(request) => offset_for_leader_epoch::handle(call, request);
            DescribeAcls(request) => describe_acls::handle(&request);
            CreateAcls(request) => create_acls::handle(&request);
            DeleteAcls(request) => delete_acls::handle(&request);
            DescribeConfigs(request) => describe_configs::handle(call, request);
            AlterConfigs(request) => alter_configs::handle(call, request).await;
            AlterReplicaLogDirs(request) => alter_replica_log_dirs::handle(call, request);
            DescribeLogDirs(request) => describe_log_dirs::handle(call, request).await;
            SaslAuthenticate(request) => sasl_authenticate::handle(call, request).await;
            CreatePartitions(request) => create_partitions::handle(call, request).await;
            DeleteGroups(request) => delete_groups::handle(call, request).await;
            ElectLeaders(request) => elect_leaders::handle(call, request);
            IncrementalAlterConfigs(request) =>
                incremental_alter_configs::handle(call, request).await;
            AlterPartitionReassignments(request) =>
                alter_partition_reassignments::handle(call, request);
            ListPartitionReassignments(request) => list_partition_reassignments::handle(&request);
            OffsetDelete(request) => offset_delete::handle(call, request).await;
            DescribeClientQuotas(request) => describe_client_quotas::handle(&request);
            AlterClientQuotas(request) => alter_client_quotas::handle(request);
            DescribeUserScramCredentials(request) =>
                describe_user_scram_credentials::handle(call, request);
            AlterUserScramCredentials(request) =>
                alter_user_scram_credentials::handle(call, request).await;
            DescribeQuorum(request) => describe_quorum::handle(call, request);
            DescribeCluster(request) => describe_cluster::handle(call, &request);
            ListConfigResources(request) => list_config_resources::handle(call, &request);
            DescribeTopicPartitions(request) => describe_topic_partitions::handle(call, request);
        }))
    })
}
