//! Which handler answers which request.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Every API of the table has a handler: a new one does not compile until it has.

use highwater_proto::exchange::BoxFuture;
use highwater_proto::kafka::{Request, Response};
use thiserror::Error;

use super::api::{
    Call, api_versions, create_partitions, create_topics, delete_records, delete_topics,
    describe_cluster, describe_configs, fetch, find_coordinator, incremental_alter_configs,
    init_producer_id, list_offsets, metadata, offset_for_leader_epoch, produce,
};

/// A request that has no answer to tell its client why. It ends a connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// A produce with acks 0 failed: no answer can say so.
    #[error("a produce with acks 0 failed: {why}")]
    Unanswered { why: String },
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
        Ok(Some(match request {
            Request::Produce(request) => return produce::begin(call, request).await.answer().await,
            Request::Fetch(request) => fetch::handle(call, request).await.into(),
            Request::ListOffsets(request) => list_offsets::handle(call, request).await.into(),
            Request::Metadata(request) => metadata::handle(call, request).await.into(),
            Request::FindCoordinator(request) => find_coordinator::handle(call, request).into(),
            Request::ApiVersions(request) => api_versions::handle(call, &request).into(),
            Request::CreateTopics(request) => create_topics::handle(call, request).await.into(),
            Request::DeleteTopics(request) => delete_topics::handle(call, request).await.into(),
            Request::DeleteRecords(request) => delete_records::handle(call, request).await.into(),
            Request::InitProducerId(request) => {
                init_producer_id::handle(call, request).await.into()
            }
            Request::OffsetForLeaderEpoch(request) => {
                offset_for_leader_epoch::handle(call, request).into()
            }
            Request::DescribeConfigs(request) => describe_configs::handle(call, request).into(),
            Request::CreatePartitions(request) => {
                create_partitions::handle(call, request).await.into()
            }
            Request::IncrementalAlterConfigs(request) => {
                incremental_alter_configs::handle(call, request)
                    .await
                    .into()
            }
            Request::DescribeCluster(request) => describe_cluster::handle(call, &request).into(),
        }))
    })
}
