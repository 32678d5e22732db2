//! OffsetFetch (key 9), v1 to v9.
//!
//! Floor 5 of broker.
//!
//! - v8 and newer ask for several groups and get one answer each. A group that is named twice is
//!   answered once, then refused with error 42: a short request must not ask for an answer without
//!   end.
//! - Null topics (v2 and newer) ask for all that the group has committed.
//! - A partition without an offset is no error: offset -1, epoch -1, empty metadata.
//! - Without transactions every offset is stable: `require_stable` changes nothing.

use std::collections::HashSet;

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::offset_fetch::{
    OffsetFetchGroup, OffsetFetchGroupResult, OffsetFetchPartitionResult, OffsetFetchRequest,
    OffsetFetchResponse, OffsetFetchTopic, OffsetFetchTopicResult,
};

use super::Call;
use crate::service::groups::FetchedOffset;

pub(in crate::kafka) fn handle(call: Call<'_>, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version < GROUPS_SINCE {
        return OffsetFetchResponse {
            topics: fetch(call, &request.group_id, request.topics),
            ..OffsetFetchResponse::default()
        };
    }
    let mut named = HashSet::new();
    let group = |group: OffsetFetchGroup| {
        let is_first = named.insert(group.group_id.clone());
        let (topics, error_code) = match is_first {
            true => (fetch(call, &group.group_id, group.topics), 0),
            false => (Vec::new(), ErrorCode::InvalidRequest.code()),
        };
        OffsetFetchGroupResult {
            group_id: group.group_id,
            topics,
            error_code,
        }
    };
    OffsetFetchResponse {
        groups: request.groups.into_iter().map(group).collect(),
        ..OffsetFetchResponse::default()
    }
}

fn fetch(
    call: Call<'_>,
    group: &str,
    topics: Option<Vec<OffsetFetchTopic>>,
) -> Vec<OffsetFetchTopicResult> {
    let Some(topics) = topics else {
        return by_topic(call.service.fetch_offsets(group, None));
    };
    let asked = topics.iter().flat_map(|topic| {
        let indexes = topic.partition_indexes.iter();
        indexes.map(|&index| (String::from(topic.name.clone()), index))
    });
    let asked: Vec<(String, i32)> = asked.collect();
    let mut fetched = call.service.fetch_offsets(group, Some(&asked)).into_iter();
    let result = |topic: OffsetFetchTopic| {
        let count = topic.partition_indexes.len();
        OffsetFetchTopicResult {
            name: topic.name,
            partitions: fetched.by_ref().take(count).map(partition).collect(),
        }
    };
    topics.into_iter().map(result).collect()
}

/// Offsets that are in the order of their topics.
fn by_topic(fetched: Vec<FetchedOffset>) -> Vec<OffsetFetchTopicResult> {
    let mut topics: Vec<OffsetFetchTopicResult> = Vec::new();
    for mut offset in fetched {
        let name = std::mem::take(&mut offset.topic);
        match topics.last_mut().filter(|topic| topic.name == *name) {
            Some(topic) => topic.partitions.push(partition(offset)),
            None => topics.push(OffsetFetchTopicResult {
                name: Str::from(name),
                partitions: vec![partition(offset)],
            }),
        }
    }
    topics
}

fn partition(offset: FetchedOffset) -> OffsetFetchPartitionResult {
    OffsetFetchPartitionResult {
        index: offset.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        metadata: Some(Str::from(offset.metadata)),
        ..OffsetFetchPartitionResult::default()
    }
}

/// The first version with a list of groups.
const GROUPS_SINCE: i16 = 8;
