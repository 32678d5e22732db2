//! Fetch requests: one per leader, over all its partitions, and what the answer says of each.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - The order of the partitions turns with every request, so that none starves behind another
//!   that fills every answer.
//! - The leaders share `fetch.max.bytes`, so that what is fetched does not grow with their number.

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::fetch::{
    FetchPartition, FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopic,
};

use super::assigned::{Asked, Assigned};
use crate::cluster::{Cluster, Leader, Node};
use crate::config::ConsumerConfig;
use crate::error::ClientError;

/// A finished fetch.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) node: Node,
    pub(super) asked: Vec<Asked>,
    pub(super) answer: Result<FetchResponse, ClientError>,
}

/// What a fetch found out of one partition.
#[derive(Debug)]
pub(super) enum Found {
    /// Records, possibly none, and the offset behind the last one that may be read.
    Records(highwater_proto::cursor::Records, i64),
    /// The offset is outside the log.
    OutOfRange(ClientError),
    /// Somebody else leads the partition; who, if the answer says it.
    Moved(ClientError, Option<Leader>),
    /// An error.
    Failed(ClientError),
}

/// The request for these partitions, the one at `first` before the others, to one of so many
/// leaders.
pub(super) fn request(
    config: &ConsumerConfig,
    partitions: &[&Assigned],
    (first, leaders_count): (usize, usize),
) -> FetchRequest {
    let leaders_count = i32::try_from(leaders_count.max(1)).unwrap_or(i32::MAX);
    let share = config.fetch_max_bytes / leaders_count;
    let share_min = config.max_partition_fetch_bytes.min(config.fetch_max_bytes);
    let mut topics: Vec<FetchTopic> = Vec::new();
    let (head, tail) = partitions.split_at(first.min(partitions.len()));
    for assigned in tail.iter().chain(head) {
        let partition = FetchPartition {
            index: assigned.asked.partition,
            fetch_offset: assigned.fetch_offset,
            max_bytes: config.max_partition_fetch_bytes,
            ..Default::default()
        };
        match topics.last_mut() {
            Some(topic) if topic.name == *assigned.asked.topic => topic.partitions.push(partition),
            _ => topics.push(FetchTopic {
                name: Str::from(assigned.asked.topic.to_string()),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    FetchRequest {
        max_wait_ms: config.fetch_max_wait_ms,
        min_bytes: config.fetch_min_bytes,
        max_bytes: share.max(share_min),
        topics,
        ..Default::default()
    }
}

/// Sends a fetch and waits for its answer.
pub(super) async fn fetch(
    cluster: Arc<Cluster>,
    node: Node,
    asked: Vec<Asked>,
    request: FetchRequest,
    limit: Duration,
) -> Fetched {
    let answer = match node.version::<FetchRequest>(FETCH_VERSION_MAX) {
        Ok(version) => cluster.call(&node, version, request, limit).await,
        Err(error) => Err(error),
    };
    let answer = answer
        .and_then(|response| ClientError::check(response.error_code, None).map(|()| response));
    Fetched {
        node,
        asked,
        answer,
    }
}

/// What the answer says of one partition.
pub(super) fn found(partition: FetchPartitionResponse) -> Found {
    let error = match ClientError::check(partition.error_code, None) {
        Ok(()) => return Found::Records(partition.records, partition.high_watermark),
        Err(error) => error,
    };
    match error.code() {
        Some(ErrorCode::OffsetOutOfRange) => Found::OutOfRange(error),
        Some(
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch,
        ) => {
            let leader = partition.current_leader;
            let leader = Leader {
                id: leader.leader_id,
                epoch: leader.leader_epoch,
            };
            Found::Moved(error, (leader.id >= 0).then_some(leader))
        }
        _ => Found::Failed(error),
    }
}

/// The last layout with names of topics: from 13 on they go by their ids.
const FETCH_VERSION_MAX: i16 = 12;
