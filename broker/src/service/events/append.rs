//! Appends to streams.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - The checks come in this order: the request, sizes, what is expected. A repeat is looked for
//!   only once something is not as expected.

use std::collections::HashMap;

use bytes::Bytes;
use highwater_log::error::LogError;
use highwater_log::keys::{Check, Conflict, ConflictOf, Expect, KeySeed, Keyed, RecordKey};
use highwater_log::log::{Appended, Sent};
use highwater_log::reader::LogReader;
use highwater_log::shard::AckAt;
use highwater_log::types::LogId;
use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::{BatchBuilder, HeaderRef};
use highwater_proto::compress::Codec;
use highwater_proto::murmur2::partition_of;

use super::repeat::ID_HEADER;
use super::{
    AppendCall, AppendError, AppendedEvents, Claim, Claimed, NewEvent, Repeat, find_repeat,
};
use crate::error::ProduceError;
use crate::meta::Topic;
use crate::service::Service;

impl Service {
    /// Appends events if all that is expected holds; answered when they are durable.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] if something is not as expected, and nothing is stored.
    ///
    /// ```
    /// use highwater_broker::Broker;
    /// use highwater_broker::service::events::{AppendCall, AppendError, NewEvent, StreamCheck};
    /// use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
    /// use highwater_log::keys::Expect;
    ///
    /// let broker = Broker::in_memory()?;
    /// let service = broker.service().clone();
    /// let answer = broker.block_on(async move {
    ///     let call = AppendCall {
    ///         topic: "orders".to_owned(),
    ///         partition: None,
    ///         checks: vec![StreamCheck { key: "order-1".into(), expect: Expect::Exists }],
    ///         events: vec![NewEvent {
    ///             key: "order-1".into(),
    ///             value: Some("paid".into()),
    ///             headers: Vec::new(),
    ///         }],
    ///     };
    ///     service.append_events(call).await
    /// })?;
    /// // There is no such topic yet.
    /// assert!(matches!(answer, Err(AppendError::Produce(_))));
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    pub async fn append_events(&self, call: AppendCall) -> Result<AppendedEvents, AppendError> {
        let topic = self.named(&call.topic);
        let topic = topic.ok_or(ProduceError::UnknownTopicOrPartition)?;
        if !topic.settings.log.key_index {
            return Err(AppendError::NotConditional);
        }
        let partition = partition_for(&call, topic.partition_count)?;
        let log = topic.log(partition);
        let log = log.ok_or(ProduceError::UnknownTopicOrPartition)?;
        let batch = self.batch(&call.events, &topic)?;
        let reader = self.open_log(&topic, log).await?;
        let seed = reader.key_seed().ok_or(AppendError::NotConditional)?;
        let keyed = keyed(&call, seed);
        reader
            .prepare(&keyed)
            .map_err(|error| ProduceError::storage(&error))?;
        match self.append_sent(log, batch, keyed).await {
            Ok(appended) => Ok(events_at(partition, appended)),
            Err(LogError::Conflict(conflict)) => {
                self.repeated_or_conflict(&reader, partition, &call, conflict)
            }
            Err(error) => Err(ProduceError::from(error).into()),
        }
    }

    /// The events as one batch that the topic may store.
    fn batch(&self, events: &[NewEvent], topic: &Topic) -> Result<ProducedBatch, AppendError> {
        let invalid = |why: String| AppendError::Invalid { why };
        let mut builder = BatchBuilder::new(Codec::None);
        let now_ms = self.clock().now().wall.0;
        for event in events {
            let headers: Vec<HeaderRef<'_>> = event
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect();
            builder
                .append(now_ms, Some(&event.key), event.value.as_deref(), &headers)
                .map_err(|error| invalid(error.to_string()))?;
        }
        let bytes = builder
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let segment_bytes = usize::try_from(topic.settings.log.segment_bytes).unwrap_or(usize::MAX);
        let bytes_max = topic.settings.message_bytes_max.min(segment_bytes);
        if bytes.len() > bytes_max {
            let bytes = bytes.len();
            return Err(ProduceError::MessageTooLarge { bytes, bytes_max }.into());
        }
        validate_produced(&bytes, &ProduceLimits::default())
            .map_err(|error| invalid(error.to_string()))
    }

    async fn append_sent(
        &self,
        log: LogId,
        batch: ProducedBatch,
        keyed: Keyed,
    ) -> Result<Appended, LogError> {
        let metrics = &self.inner.metrics;
        let bytes = batch.bytes().len() as u64;
        metrics.produced_records.add(keyed.records.len() as u64);
        metrics.produced_bytes.add(bytes);
        if let Some(reader) = self.inner.shard.reader(log) {
            reader.count_produced(bytes);
        }
        let keyed = Some(keyed);
        let mut enqueuer = self.inner.shard.enqueuer();
        let pending = enqueuer
            .enqueue(log, Sent { batch, keyed }, AckAt::Durable)
            .await;
        drop(enqueuer);
        let appended = pending.await;
        match &appended {
            Ok(_) => metrics.produced_batches.increment(),
            Err(_) => metrics.refused_batches.increment(),
        }
        appended
    }

    /// What an append is told of which something is not as expected.
    fn repeated_or_conflict(
        &self,
        reader: &LogReader,
        partition: i32,
        call: &AppendCall,
        conflict: Conflict,
    ) -> Result<AppendedEvents, AppendError> {
        let Conflict {
            of,
            expected,
            actual,
        } = conflict;
        let claim = claim(call);
        let repeat = match claim {
            Some(claim) => {
                let events: Vec<Claimed> = call.events.iter().map(claimed).collect();
                let unpacked_max = self.config().max_decompressed_message_bytes;
                find_repeat(reader, &events, claim, unpacked_max)
                    .map_err(|error| ProduceError::storage(&error))?
            }
            None => Repeat::No,
        };
        match repeat {
            Repeat::Yes {
                base_offset,
                revisions,
            } => {
                let count = i64::try_from(revisions.len()).unwrap_or(i64::MAX);
                self.inner.metrics.duplicate_batches.increment();
                Ok(AppendedEvents {
                    partition,
                    base_offset,
                    last_offset: base_offset.plus(count - 1),
                    revisions,
                    is_duplicate: true,
                    log_append_time_ms: None,
                })
            }
            Repeat::InPart { revision } => {
                let index = claim.map_or(0, |claim| claim.index);
                let key = call.events[index].key.clone();
                Err(AppendError::IdMismatch { key, revision })
            }
            Repeat::No => {
                let key = match of {
                    ConflictOf::Check(place) => call.checks[place].key.clone(),
                    ConflictOf::Record(place) => call.events[place].key.clone(),
                };
                Err(AppendError::Conflict {
                    key,
                    expected,
                    actual,
                })
            }
        }
    }
}

/// The one partition that all keys of the call belong to.
fn partition_for(call: &AppendCall, partitions: i32) -> Result<i32, AppendError> {
    let invalid = |why: String| Err(AppendError::Invalid { why });
    let Some(first) = call.events.first() else {
        return invalid("an append needs at least one event".to_owned());
    };
    if let Some(partition) = call.partition {
        return Ok(partition);
    }
    let partition = partition_of(&first.key, partitions);
    let of_checks = call.checks.iter().map(|check| &check.key);
    let mut keys = call.events.iter().map(|event| &event.key).chain(of_checks);
    match keys.find(|key| partition_of(key, partitions) != partition) {
        Some(other) => invalid(format!(
            "{} and {} are in different partitions: one append is one batch of one partition",
            first.key.escape_ascii(),
            other.escape_ascii()
        )),
        None => Ok(partition),
    }
}

fn keyed(call: &AppendCall, seed: KeySeed) -> Keyed {
    let checks = call.checks.iter().map(|check| Check {
        key: seed.hash(&check.key),
        expect: check.expect,
    });
    let records = call.events.iter().map(|event| RecordKey {
        key: seed.hash(&event.key),
        is_tombstone: event.value.is_none(),
        expect: Expect::Any,
    });
    Keyed {
        checks: checks.collect(),
        records: records.collect(),
    }
}

/// The place that the events claim by what they expect, if that names one.
fn claim(call: &AppendCall) -> Option<Claim> {
    let mut first_of: HashMap<&Bytes, usize> = HashMap::new();
    for (index, event) in call.events.iter().enumerate() {
        first_of.entry(&event.key).or_insert(index);
    }
    call.checks.iter().find_map(|check| {
        let revision = match check.expect {
            Expect::Revision(revision) => revision.checked_add(1)?,
            // Its revisions go on where they were; which they are the ids cannot tell.
            Expect::NoStream { allow_recreate } if !allow_recreate => 0,
            _ => return None,
        };
        let index = *first_of.get(&check.key)?;
        Some(Claim { index, revision })
    })
}

fn claimed(event: &NewEvent) -> Claimed {
    let id = event.headers.iter().find(|(name, _)| name == ID_HEADER);
    Claimed {
        key: event.key.clone(),
        id: id.and_then(|(_, value)| value.clone()),
    }
}

fn events_at(partition: i32, appended: Appended) -> AppendedEvents {
    AppendedEvents {
        partition,
        base_offset: appended.base_offset,
        last_offset: appended.last_offset,
        revisions: appended.revisions,
        is_duplicate: appended.duplicate,
        log_append_time_ms: appended.log_append_time_ms,
    }
}
