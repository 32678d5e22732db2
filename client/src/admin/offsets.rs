//! Offsets of partitions: where they begin and end, what is at a time, and letting records go.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Every leader is asked once for all its partitions; those that have moved are asked for again.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};

use super::{Admin, Patience, TIMEOUT_MS, no_result, text};
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
    /// The first record with the latest timestamp of all.
    MaxTimestamp,
}

impl OffsetSpec {
    const fn wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            // A time before 1970 is older than every record; below 0 the wire has words of its own.
            Self::Timestamp(timestamp) if timestamp < 0 => 0,
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
    /// The timestamp of the record there, in milliseconds since 1970, if one was looked for by its
    /// timestamp.
    pub timestamp: Option<i64>,
}

/// One partition, and where to look in it.
type Asked<'a> = (&'a str, i32, OffsetSpec);

impl Admin {
    /// An offset of one partition; `None` if no record is that young.
    ///
    /// ```no_run
    /// use highwater_client::OffsetSpec;
    ///
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let end = admin.offset("flights", 0, OffsetSpec::Latest).await?;
    /// println!("the next record gets the offset {end:?}");
    /// # Ok(())
    /// # }
    /// ```
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
    /// ```no_run
    /// use highwater_client::OffsetSpec;
    ///
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let noon = OffsetSpec::Timestamp(1_700_000_000_000);
    /// let start = OffsetSpec::Earliest;
    /// let asked = [("flights", 0, noon), ("flights", 1, noon), ("delays", 0, start)];
    /// for found in admin.offsets(&asked).await? {
    ///     println!("{}-{}: {:?}", found.topic, found.partition, found.offset);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if one of them does not exist.
    pub async fn offsets(
        &self,
        asked: &[(&str, i32, OffsetSpec)],
    ) -> Result<Vec<ListedOffset>, ClientError> {
        let mut found: Vec<Option<ListedOffset>> = vec![None; asked.len()];
        let mut patience = Patience::with_news(&self.cluster);
        loop {
            let open: Vec<usize> = (0..asked.len()).filter(|at| is_open(&found, *at)).collect();
            if open.is_empty() {
                return Ok(found.into_iter().flatten().collect());
            }
            let refused = match self.offsets_once(asked, &open, &mut found).await {
                Ok(None) => continue,
                Ok(Some(refused)) | Err(refused) => refused,
            };
            for (topic, ..) in open.iter().filter_map(|at| asked.get(*at)) {
                self.cluster.forget_topic(topic);
            }
            patience.wait(refused).await?;
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
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let start = admin.delete_records("flights", 0, 1_000).await?;
    /// assert!(start >= 1_000);
    /// # Ok(())
    /// # }
    /// ```
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
        let mut patience = Patience::with_news(&self.cluster);
        loop {
            match ask().await {
                Ok(start) => return Ok(start),
                Err(error) => {
                    self.cluster.forget_topic(topic);
                    patience.wait(error).await?;
                }
            }
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
                    timestamp: (answer.timestamp >= 0).then_some(answer.timestamp),
                });
            }
            Err(error) => refusal = Some(error),
        }
    }
    refusal
}

/// The newest layout of ListOffsets that this client has been proven with.
const LIST_VERSION_MAX: i16 = 7;
