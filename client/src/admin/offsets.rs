//! Offsets of partitions: where they begin and end, what is at a time, and letting records go.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Every leader is asked once for all its partitions; those that have moved are asked for again,
//!   a few times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};

use super::{Admin, TIMEOUT_MS, no_result, text};
use crate::backoff::Backoff;
use crate::cluster::Node;
use crate::error::ClientError;
use crate::error::unknown_partition;

/// Where to look in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The oldest record.
    Earliest,
    /// Behind the newest record that a consumer may read.
    Latest,
    /// The first record that is not older, in milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetSpec {
    const fn wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// What was found in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset; absent if no record is that young.
    pub offset: Option<i64>,
}

/// One partition, and where to look in it.
type Asked<'a> = (&'a str, i32, OffsetSpec);

impl Admin {
    /// An offset of one partition; `None` if no record is that young.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn offset(
        &self,
        topic: &str,
        partition: i32,
        spec: OffsetSpec,
    ) -> Result<Option<i64>, ClientError> {
        let mut found = self.offsets(&[(topic, partition, spec)]).await?;
        Ok(found.pop().ok_or_else(no_result)?.offset)
    }

    /// Offsets of many partitions, in the order of the question. A topic that does not exist is not
    /// created by it.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if one of them does not exist.
    pub async fn offsets(
        &self,
        asked: &[(&str, i32, OffsetSpec)],
    ) -> Result<Vec<ListedOffset>, ClientError> {
        let mut found: Vec<Option<ListedOffset>> = vec![None; asked.len()];
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut tries_left = TRIES_MAX;
        loop {
            let open: Vec<usize> = (0..asked.len()).filter(|at| is_open(&found, *at)).collect();
            if open.is_empty() {
                return Ok(found.into_iter().flatten().collect());
            }
            let refused = match self.offsets_once(asked, &open, &mut found).await {
                Ok(None) => continue,
                Ok(Some(refused)) | Err(refused) => refused,
            };
            tries_left -= 1;
            if tries_left == 0 || !refused.is_retriable() {
                return Err(refused);
            }
            for (topic, ..) in open.iter().filter_map(|at| asked.get(*at)) {
                self.cluster.forget_topic(topic);
            }
            let clock = self.cluster.clock();
            let at = clock.now().mono.plus(backoff.next_pause());
            clock.sleep_until(at).await;
        }
    }

    /// Asks the leaders of the open partitions once; gives what one of them refused. Whatever is
    /// open afterwards was refused.
    async fn offsets_once(
        &self,
        asked: &[Asked<'_>],
        open: &[usize],
        found: &mut [Option<ListedOffset>],
    ) -> Result<Option<ClientError>, ClientError> {
        // A broker refuses a request that names a partition twice, so each kind goes by itself.
        let mut leaders: HashMap<(Arc<str>, i64), (Node, Vec<usize>)> = HashMap::new();
        for at in open.iter().copied() {
            let Some((topic, partition, spec)) = asked.get(at) else {
                continue;
            };
            let node = self.cluster.existing_leader(topic, *partition).await?;
            let key = (Arc::clone(&node.address), spec.wire());
            let entry = leaders.entry(key).or_insert((node, Vec::new()));
            entry.1.push(at);
        }
        let mut refusal = None;
        for (node, places) in leaders.into_values() {
            let request = request(asked, &places);
            let response = self.ask_node(&node, LIST_VERSION_MAX, request).await?;
            refusal = take(asked, &places, &response, found).or(refusal);
        }
        Ok(refusal)
    }

    /// Lets the records below an offset go; -1 is everything that a consumer may read. Gives the
    /// new start of the partition.
    ///
    /// # Errors
    /// `Broker` with `OFFSET_OUT_OF_RANGE`.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        before: i64,
    ) -> Result<i64, ClientError> {
        let partitions = vec![DeleteRecordsPartition {
            index: partition,
            offset: before,
        }];
        let topics = vec![DeleteRecordsTopic {
            name: text(topic),
            partitions,
        }];
        let request = DeleteRecordsRequest {
            topics,
            timeout_ms: TIMEOUT_MS,
        };
        let ask = async || {
            let node = self.cluster.existing_leader(topic, partition).await?;
            let response = self.ask_node(&node, 2, request.clone()).await?;
            let topic = response.topics.first();
            let result = topic.and_then(|topic| topic.partitions.first());
            let result = result.ok_or_else(no_result)?;
            ClientError::check(result.error_code, None)?;
            Ok::<_, ClientError>(result.low_watermark)
        };
        match ask().await {
            Err(error) if error.is_retriable() => {
                self.cluster.forget_topic(topic);
                ask().await
            }
            done => done,
        }
    }
}

fn is_open(found: &[Option<ListedOffset>], at: usize) -> bool {
    found.get(at).is_some_and(Option::is_none)
}

/// The question for these places, grouped by topic.
fn request(asked: &[Asked<'_>], places: &[usize]) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (topic, partition, spec) in places.iter().filter_map(|at| asked.get(*at)) {
        let partition = ListOffsetsPartition {
            index: *partition,
            timestamp: spec.wire(),
            ..Default::default()
        };
        match topics.last_mut().filter(|last| last.name == **topic) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(ListOffsetsTopic {
                name: text(topic),
                partitions: vec![partition],
            }),
        }
    }
    ListOffsetsRequest {
        topics,
        ..Default::default()
    }
}

/// Puts what one leader answered into its places; gives what it refused.
fn take(
    asked: &[Asked<'_>],
    places: &[usize],
    response: &ListOffsetsResponse,
    found: &mut [Option<ListedOffset>],
) -> Option<ClientError> {
    let answers: HashMap<_, _> = response
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(move |it| (topic.name.as_str(), it))
        })
        .map(|(topic, partition)| ((topic, partition.index), partition))
        .collect();
    let mut refusal = None;
    for at in places.iter().copied() {
        let (Some((topic, partition, _)), Some(place)) = (asked.get(at), found.get_mut(at)) else {
            continue;
        };
        let Some(answer) = answers.get(&(*topic, *partition)) else {
            refusal = Some(unknown_partition(topic, *partition));
            continue;
        };
        match ClientError::check(answer.error_code, None) {
            Ok(()) => {
                *place = Some(ListedOffset {
                    topic: (*topic).to_owned(),
                    partition: *partition,
                    offset: (answer.offset >= 0).then_some(answer.offset),
                });
            }
            Err(error) => refusal = Some(error),
        }
    }
    refusal
}

/// The newest layout of ListOffsets that this client has been proven with.
const LIST_VERSION_MAX: i16 = 7;

/// How often partitions that moved are asked for.
const TRIES_MAX: u32 = 3;
