//! Appends to streams.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - The checks come in this order: the request, sizes, what is expected. A repeat of events that
//!   name their place is looked for only once something is not as expected; of others, before.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use highwater_log::error::LogError;
use highwater_log::keys::{Check, Conflict, ConflictOf, Expect, KeySeed, Keyed, RecordKey};
use highwater_log::log::{Appended, Sent};
use highwater_log::reader::LogReader;
use highwater_log::shard::AckAt;
use highwater_log::types::LogId;
use highwater_proto::batch::{HEADER_BYTES, ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::{BatchBuilder, HeaderRef};
use highwater_proto::compress::Codec;
use highwater_proto::murmur2::partition_of;

use super::recent::{self, Seen, UnderWay};
use super::repeat::{ID_HEADER, StoredEvents};
use super::{
    AppendCall, AppendError, AppendedEvents, Claim, Claimed, NewEvent, Repeat, find_repeat,
};
use crate::error::ProduceError;
use crate::meta::Topic;
use crate::service::Service;
use crate::shard::PendingAppend;

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
        self.begin_append_events(call).await?.await
    }

    /// [`Self::append_events`] in two steps: when this returns, the append has its place in the
    /// order of its partition; what it returns completes when the answer is there. Dropping that
    /// undoes nothing.
    ///
    /// # Errors
    /// Those that are known before the append has a place.
    pub async fn begin_append_events(
        &self,
        call: AppendCall,
    ) -> Result<impl Future<Output = Result<AppendedEvents, AppendError>> + use<'_>, AppendError>
    {
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
        let begun = match self.look_back(&reader, &call, (log, partition)).await? {
            Before::Stored(repeated) => Err(repeated),
            Before::Nothing(under_way) => {
                let keyed = keyed(&call, seed);
                reader
                    .prepare(&keyed)
                    .map_err(|error| ProduceError::storage(&error))?;
                Ok(self.send((log, &reader), batch, keyed, under_way).await)
            }
        };
        Ok(async move {
            let answer = match begun {
                Err(repeated) => Ok(repeated),
                Ok(pending) => match pending.await {
                    Ok(appended) => Ok(events_at(partition, appended)),
                    Err(LogError::Conflict(conflict)) => {
                        self.repeated_or_conflict(&reader, partition, &call, conflict)
                    }
                    Err(error) => Err(ProduceError::from(error).into()),
                },
            };
            self.count(&reader, &answer);
            answer
        })
    }

    fn count(&self, reader: &LogReader, answer: &Result<AppendedEvents, AppendError>) {
        match answer {
            Ok(appended) => {
                self.inner.metrics.produced_batches.increment();
                if !appended.is_duplicate {
                    reader.count_events(appended.revisions.len() as u64);
                }
            }
            Err(error) => {
                self.inner.metrics.refused_batches.increment();
                if let AppendError::Conflict { .. } | AppendError::IdMismatch { .. } = error {
                    reader.count_conflict();
                }
            }
        }
    }

    /// The events as one batch that the topic may store.
    fn batch(&self, events: &[NewEvent], topic: &Topic) -> Result<ProducedBatch, AppendError> {
        let invalid = |why: String| AppendError::Invalid { why };
        let mut builder = BatchBuilder::with_capacity(Codec::None, bytes_of(events));
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

    /// What is known of events that name no place. It waits for those that are under way, so that
    /// it tells of durable ones, and they have their place in the order if those fail.
    async fn look_back(
        &self,
        reader: &LogReader,
        call: &AppendCall,
        (log, partition): (LogId, i32),
    ) -> Result<Before, AppendError> {
        let names_place = claim(call).is_some();
        let seed = reader.key_seed().filter(|_| !names_place);
        let Some(events) = seed.and_then(|seed| recent::hashes(call, log, seed)) else {
            return Ok(Before::Nothing(None));
        };
        loop {
            let seen = self.inner.recent.look(&events, self.clock().now().mono);
            let claim = match seen {
                Seen::Never(under_way) => return Ok(Before::Nothing(Some(under_way))),
                Seen::UnderWay(mut outcome) => {
                    // Nothing is ever sent: it ends.
                    drop(outcome.changed().await);
                    continue;
                }
                Seen::Before(claim) => claim,
            };
            match self.find_repeat(reader, call, claim)? {
                Repeat::Yes(stored) => {
                    return Ok(Before::Stored(self.repeated(partition, stored)));
                }
                Repeat::InPart { revision } => {
                    reader.count_conflict();
                    return Err(mismatch(call, claim, revision));
                }
                // It was deleted meanwhile.
                Repeat::No => self.inner.recent.forget(events[claim.index]),
            }
        }
    }

    /// Puts a batch into its log's queue.
    async fn send(
        &self,
        (log, reader): (LogId, &LogReader),
        batch: ProducedBatch,
        keyed: Keyed,
        under_way: Option<UnderWay>,
    ) -> PendingAppend {
        let metrics = &self.inner.metrics;
        let bytes = batch.bytes().len() as u64;
        metrics.produced_records.add(keyed.records.len() as u64);
        metrics.produced_bytes.add(bytes);
        reader.count_produced(bytes);
        let keyed = Some(keyed);
        let clock = Arc::clone(self.clock());
        // Also if nobody waits for the answer any more: who has lost it sends them again.
        let seen = move |result: &Result<Appended, LogError>| {
            if let (Some(under_way), Ok(appended)) = (under_way, result) {
                under_way.stored(&appended.revisions, clock.now().mono);
            }
        };
        let mut enqueuer = self.inner.shard.enqueuer();
        // What was enqueued is written when the enqueuer is dropped.
        enqueuer
            .enqueue_seen(log, Sent { batch, keyed }, AckAt::Durable, seen)
            .await
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
            Some(claim) => self.find_repeat(reader, call, claim)?,
            None => Repeat::No,
        };
        match (repeat, claim) {
            (Repeat::Yes(stored), _) => Ok(self.repeated(partition, stored)),
            (Repeat::InPart { revision }, Some(claim)) => Err(mismatch(call, claim, revision)),
            (Repeat::No | Repeat::InPart { .. }, _) => {
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

    fn find_repeat(
        &self,
        reader: &LogReader,
        call: &AppendCall,
        claim: Claim,
    ) -> Result<Repeat, AppendError> {
        let events: Vec<Claimed> = call.events.iter().map(claimed).collect();
        let unpacked_max = self.config().max_decompressed_message_bytes;
        let repeat = find_repeat(reader, &events, claim, unpacked_max);
        Ok(repeat.map_err(|error| ProduceError::storage(&error))?)
    }

    fn repeated(&self, partition: i32, stored: StoredEvents) -> AppendedEvents {
        let StoredEvents {
            base_offset,
            revisions,
        } = stored;
        let count = i64::try_from(revisions.len()).unwrap_or(i64::MAX);
        self.inner.metrics.duplicate_batches.increment();
        AppendedEvents {
            partition,
            base_offset,
            last_offset: base_offset.plus(count - 1),
            revisions,
            is_duplicate: true,
            log_append_time_ms: None,
        }
    }
}

/// What a batch of events takes at most, about: so that it need not be moved while it is built.
fn bytes_of(events: &[NewEvent]) -> usize {
    let of_event = |event: &NewEvent| {
        let value = event.value.as_ref().map_or(0, Bytes::len);
        let headers = event
            .headers
            .iter()
            .map(|(name, value)| LENGTHS_BYTES + name.len() + value.as_ref().map_or(0, Bytes::len));
        LENGTHS_BYTES * 2 + event.key.len() + value + headers.sum::<usize>()
    };
    HEADER_BYTES + events.iter().map(of_event).sum::<usize>()
}

/// What is known of events before they are sent.
enum Before {
    /// Nothing, or nothing that would count.
    Nothing(Option<UnderWay>),
    /// They are durable already.
    Stored(AppendedEvents),
}

fn mismatch(call: &AppendCall, claim: Claim, revision: u64) -> AppendError {
    let key = call.events[claim.index].key.clone();
    AppendError::IdMismatch { key, revision }
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
    let is_elsewhere =
        |key: &Bytes| *key != first.key && partition_of(key, partitions) != partition;
    match keys.find(|key| is_elsewhere(key)) {
        Some(other) => invalid(format!(
            "{} and {} are in different partitions: one append is one batch of one partition",
            first.key.escape_ascii(),
            other.escape_ascii()
        )),
        None => Ok(partition),
    }
}

fn keyed(call: &AppendCall, seed: KeySeed) -> Keyed {
    let records = call.events.iter().map(|event| RecordKey {
        key: seed.hash(&event.key),
        is_tombstone: event.value.is_none(),
        expect: Expect::Any,
    });
    let mut records: Vec<RecordKey> = records.collect();
    // The usual case: nothing comes between what is expected and the first event of its stream.
    if let ([check], [event, ..], [record, ..]) = (&*call.checks, &*call.events, &mut *records)
        && check.key == event.key
    {
        record.expect = check.expect;
        let checks = Vec::new();
        return Keyed { checks, records };
    }
    let checks = call.checks.iter().map(|check| Check {
        key: seed.hash(&check.key),
        expect: check.expect,
    });
    Keyed {
        checks: checks.collect(),
        records,
    }
}

/// The place that the events claim by what they expect, if that names one.
fn claim(call: &AppendCall) -> Option<Claim> {
    // The usual case needs no map: what is expected is expected of the first event's stream.
    let first = call.events.first()?;
    let others = LazyCell::new(|| {
        let mut first_of: HashMap<&Bytes, usize> = HashMap::new();
        for (index, event) in call.events.iter().enumerate() {
            first_of.entry(&event.key).or_insert(index);
        }
        first_of
    });
    call.checks.iter().find_map(|check| {
        let revision = match check.expect {
            Expect::Revision(revision) => revision.checked_add(1)?,
            // Its revisions go on where they were; which they are the ids cannot tell.
            Expect::NoStream { allow_recreate } if !allow_recreate => 0,
            _ => return None,
        };
        let index = match check.key == first.key {
            true => 0,
            false => *others.get(&check.key)?,
        };
        Some(Claim { index, revision })
    })
}

fn claimed(event: &NewEvent) -> Claimed {
    Claimed {
        key: event.key.clone(),
        id: event.header(ID_HEADER).cloned(),
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

/// The lengths of a header, or half of those of a record, as varints of sizes that are not rare.
const LENGTHS_BYTES: usize = 8;
