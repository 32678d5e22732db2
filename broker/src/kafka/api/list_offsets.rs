//! ListOffsets (key 2), v0 to v9.
//!
//! Floor 5 of broker.
//!
//! - -1 latest, -2 earliest, -3 largest timestamp (v7), -4 earliest local (v8), -5 latest tiered
//!   (v9); other negative timestamps, and these in older versions: error 35.
//! - A time gives the first record that is not older, with its own timestamp; -1 if there is none.
//! - v0 answers with a list, descending: the end and the start of the log, if two are asked for.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition as WirePartition, ListOffsetsPartitionResponse, ListOffsetsRequest,
    ListOffsetsResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};

use super::Call;
use super::fetch::isolation;
use crate::error::OffsetsError;
use crate::kafka::errors::WireError;
use crate::service::fetch::Isolation;
use crate::service::offsets::{ListOffsetsPartition, ListedOffset, OffsetAt};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    let mut topics = Vec::with_capacity(request.topics.len());
    for ListOffsetsTopic { name, partitions } in request.topics {
        let mut answers = Vec::with_capacity(partitions.len());
        for asked in &partitions {
            answers.push(answer(call, isolation, &name, asked).await);
        }
        topics.push(ListOffsetsTopicResponse {
            name,
            partitions: answers,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

async fn answer(
    call: Call<'_>,
    isolation: Isolation,
    topic: &Str,
    asked: &WirePartition,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse {
        index: asked.index,
        ..ListOffsetsPartitionResponse::default()
    };
    let Some(at) = offset_at(call.version, asked.timestamp) else {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return ListOffsetsPartitionResponse {
            error_code,
            ..response
        };
    };
    match look_up(call, isolation, topic, asked, at).await {
        Err(error) => ListOffsetsPartitionResponse {
            error_code: error.error_code().code(),
            ..response
        },
        Ok(found) if call.version == OLD_STYLE => ListOffsetsPartitionResponse {
            old_style_offsets: old_style(call, isolation, topic, asked, found).await,
            ..response
        },
        Ok(found) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp_ms,
            offset: found.offset.0,
            leader_epoch: if call.version >= EPOCH_SINCE {
                found.leader_epoch
            } else {
                NONE
            },
            ..response
        },
    }
}

async fn look_up(
    call: Call<'_>,
    isolation: Isolation,
    topic: &Str,
    asked: &WirePartition,
    at: OffsetAt,
) -> Result<ListedOffset, OffsetsError> {
    let asked = ListOffsetsPartition {
        topic: topic.as_str().to_owned(),
        partition: asked.index,
        current_leader_epoch: asked.current_leader_epoch,
        at,
    };
    let mut listed = call.service.list_offsets(isolation, vec![asked]).await;
    listed
        .pop()
        .map_or(Ok(ListedOffset::NONE), |one| one.result)
}

/// Offsets from the newest to the oldest. What cannot be found is left out.
async fn old_style(
    call: Call<'_>,
    isolation: Isolation,
    topic: &Str,
    asked: &WirePartition,
    found: ListedOffset,
) -> Vec<i64> {
    let mut offsets = vec![found.offset.0];
    if asked.timestamp == LATEST {
        let start = look_up(call, isolation, topic, asked, OffsetAt::Earliest).await;
        offsets.extend(start.ok().map(|start| start.offset.0));
        offsets.dedup();
    }
    offsets.retain(|offset| *offset >= 0);
    offsets.truncate(usize::try_from(asked.max_num_offsets).unwrap_or(0));
    offsets
}

fn offset_at(version: i16, timestamp: i64) -> Option<OffsetAt> {
    let (at, since) = match timestamp {
        LATEST => (OffsetAt::Latest, 0),
        -2 => (OffsetAt::Earliest, 0),
        -3 => (OffsetAt::MaxTimestamp, 7),
        -4 => (OffsetAt::EarliestLocal, 8),
        -5 => (OffsetAt::LatestTiered, 9),
        time if time >= 0 => (OffsetAt::Time(time), 0),
        _ => return None,
    };
    (version >= since).then_some(at)
}

/// The version whose answer is a list.
const OLD_STYLE: i16 = 0;
/// The first version whose answer tells the leader epoch.
const EPOCH_SINCE: i16 = 4;
const LATEST: i64 = -1;
/// No epoch.
const NONE: i32 = -1;
