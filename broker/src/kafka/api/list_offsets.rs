//! ListOffsets (key 2), v0 to v9.
//!
//! Floor 5 of broker.
//!
//! - -1 latest, -2 earliest, -3 largest timestamp (v7), -4 earliest local (v8), -5 latest tiered
//!   (v9); other negative timestamps, and these in older versions: error 35.
//! - A time gives the first record that is not older, with its own timestamp; -1 if there is none.
//! - A partition that is named twice is error 42.
//! - v0 answers with a list, descending: the end and the start of the log, if two are asked for.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition as WirePartition, ListOffsetsPartitionResponse, ListOffsetsRequest,
    ListOffsetsResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};

use super::Call;
use super::fetch::isolation;
use crate::kafka::errors::WireError;
use crate::service::fetch::Isolation;
use crate::service::offsets::{ListOffsetsPartition, ListedOffset, ListedPartition, OffsetAt};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    let asked = request.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.filter_map(|asked| lookup(call.version, &topic.name, asked))
    });
    let listed = call.service.list_offsets(isolation, asked.collect()).await;
    let mut listed = listed.into_iter();
    let mut topics = Vec::with_capacity(request.topics.len());
    for ListOffsetsTopic { name, partitions } in request.topics {
        let mut answers = Vec::with_capacity(partitions.len());
        for asked in &partitions {
            let at = offset_at(call.version, asked.timestamp);
            let found = at.and_then(|_| listed.next());
            answers.push(answer(call, isolation, &name, asked, found).await);
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

/// What is to be looked up, if this version can ask for it.
fn lookup(version: i16, topic: &Str, asked: &WirePartition) -> Option<ListOffsetsPartition> {
    Some(ListOffsetsPartition {
        topic: topic.as_str().to_owned(),
        partition: asked.index,
        current_leader_epoch: asked.current_leader_epoch,
        at: offset_at(version, asked.timestamp)?,
    })
}

async fn answer(
    call: Call<'_>,
    isolation: Isolation,
    topic: &Str,
    asked: &WirePartition,
    found: Option<ListedPartition>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse {
        index: asked.index,
        ..ListOffsetsPartitionResponse::default()
    };
    match found.map(|found| found.result) {
        None => ListOffsetsPartitionResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..response
        },
        Some(Err(error)) => ListOffsetsPartitionResponse {
            error_code: error.error_code().code(),
            ..response
        },
        Some(Ok(found)) if call.version == OLD_STYLE => ListOffsetsPartitionResponse {
            old_style_offsets: old_style(call, isolation, topic, asked, found).await,
            ..response
        },
        Some(Ok(found)) => ListOffsetsPartitionResponse {
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
        let start = ListOffsetsPartition {
            topic: topic.as_str().to_owned(),
            partition: asked.index,
            current_leader_epoch: NONE,
            at: OffsetAt::Earliest,
        };
        let start = call.service.list_offsets(isolation, vec![start]).await;
        let starts = start.into_iter().filter_map(|start| start.result.ok());
        offsets.extend(starts.map(|start| start.offset.0));
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
