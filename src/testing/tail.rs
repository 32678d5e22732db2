//! Everything that is in a topic, read past sessions and faults.
//!
//! Invariants
//! - Nothing is changed: the topic is not created, no offset is committed, no clock is waited for.
//! - It holds all records of the topic that a consumer may read.

use std::sync::Arc;

use bytes::Bytes;
use highwater_broker::error::FetchError;
use highwater_broker::ids::{TopicId, TopicRef};
use highwater_broker::service::Service;
use highwater_broker::service::fetch::{FetchCall, FetchPartition, Isolation};
use highwater_broker::service::topics::{MetadataCall, MetadataTopics};
use highwater_client::{ConsumerRecord, Header};
use highwater_log::types::Offset;
use highwater_proto::batch::Batches;
use highwater_proto::record::{Record, RecordIter};

/// The records of one topic, in the order in which they were read.
#[derive(Debug)]
pub(super) struct Tail {
    topic: Arc<str>,
    id: Option<TopicId>,
    pub(super) records: Vec<ConsumerRecord>,
    /// The next offset of each partition.
    next: Vec<Offset>,
    /// What could not be read.
    pub(super) troubles: Vec<String>,
}

impl Tail {
    pub(super) fn new(topic: &str) -> Self {
        Self {
            topic: topic.into(),
            id: None,
            records: Vec::new(),
            next: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Whether the topic was there.
    pub(super) fn is_there(&self) -> bool {
        !self.next.is_empty()
    }

    /// Reads what has come since the last time, and answers that.
    pub(super) async fn read(&mut self, service: &Service) -> &[ConsumerRecord] {
        let id = service.topic_id(&self.topic);
        if self.id != id {
            // Another topic of that name, with other records.
            *self = Self {
                id,
                ..Self::new(&self.topic)
            };
        }
        let seen_count = self.records.len();
        let partitions = partition_count(service, &self.topic).await;
        self.next.resize(partitions, Offset(0));
        self.troubles.clear();
        for partition in 0..partitions {
            while self.read_some(service, partition).await {}
        }
        &self.records[seen_count..]
    }

    /// Reads on in a partition; says whether there may be more.
    async fn read_some(&mut self, service: &Service, partition: usize) -> bool {
        let asked = FetchPartition {
            topic: TopicRef::Name(self.topic.to_string()),
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            fetch_offset: self.next[partition],
            max_bytes: READ_BYTES_MAX,
        };
        let call = FetchCall {
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: READ_BYTES_MAX,
            isolation: Isolation::ReadCommitted,
            partitions: vec![asked],
        };
        let fetched = service
            .fetch(call)
            .await
            .pop()
            .map(|fetched| fetched.result);
        let outcome = match fetched {
            Some(Ok(fetched)) => self.take(partition, &fetched.records),
            Some(Err(FetchError::OffsetOutOfRange { start, .. })) => {
                self.next[partition] = start;
                Ok(true)
            }
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(false),
        };
        outcome.unwrap_or_else(|why| {
            self.troubles.push(format!("partition {partition}: {why}"));
            false
        })
    }

    fn take(&mut self, partition: usize, records: &[Bytes]) -> Result<bool, String> {
        let bytes = Bytes::from(records.concat());
        for batch in Batches::new(&bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            self.next[partition] = Offset(batch.header.last_offset().saturating_add(1));
            if batch.header.is_control() {
                continue;
            }
            let bytes = bytes.slice_ref(batch.bytes);
            let records = RecordIter::new(bytes, usize::MAX).map_err(|error| error.to_string())?;
            for record in records {
                let record = record.map_err(|error| error.to_string())?;
                let record = self.consumed(partition, record);
                self.records.push(record);
            }
        }
        Ok(!bytes.is_empty())
    }

    fn consumed(&self, partition: usize, record: Record) -> ConsumerRecord {
        let headers = record.headers.iter().map(|header| Header {
            key: header.name().into(),
            value: header.value.clone(),
        });
        ConsumerRecord {
            topic: Arc::clone(&self.topic),
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
            offset: record.offset,
            timestamp: record.timestamp,
            headers: headers.collect(),
            key: record.key,
            value: record.value,
        }
    }
}

async fn partition_count(service: &Service, topic: &str) -> usize {
    let call = MetadataCall {
        topics: MetadataTopics::These(vec![topic.into()]),
        allow_auto_create: false,
    };
    let described = service.metadata(call).await.pop();
    let count = described.and_then(|topic| Some(topic.result.ok()?.partition_count));
    count.map_or(0, |count| usize::try_from(count).unwrap_or(0))
}

/// What one read takes of a partition.
const READ_BYTES_MAX: i32 = 8 << 20;
