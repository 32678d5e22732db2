//! A producer: batches to all topics, several under way at once; an idempotent one sends again what
//! was not answered, also to the next broker.
//!
//! Invariants
//! - An idempotent producer sends nothing new to a partition before all that it sent is answered.
//! - A value is never sent in two different batches.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use highwater_broker::error::ProduceError;
use highwater_broker::service::produce::{
    Acks, ProduceCall, ProduceTopic, Produced, ProducedPartition, ZstdAllowed,
};
use highwater_broker::service::producer_ids::{InitProducerId, ProducerId};
use highwater_kit::rng::Rng;
use highwater_proto::batch_builder;

use super::TOPICS;
use super::records::batch;
use crate::broker_life::book::Oracle;
use crate::broker_life::life::{Life, Request};
use crate::broker_life::model::{Place, Value};

/// A producer between two steps.
pub(in crate::broker_life) struct Producer {
    client: u32,
    rng: Rng,
    acks: Acks,
    is_idempotent: bool,
    numbers: u32,
    identity: Option<ProducerId>,
    sequences: BTreeMap<(String, i32), i32>,
    /// What an idempotent producer has sent without an answer, in order.
    unanswered: VecDeque<Batch>,
}

/// A batch as it is sent, perhaps more than once.
#[derive(Clone)]
pub(in crate::broker_life) struct Batch {
    pub(in crate::broker_life) topic: String,
    pub(in crate::broker_life) partition: i32,
    pub(in crate::broker_life) place: Option<Place>,
    pub(in crate::broker_life) values: Vec<Value>,
    pub(in crate::broker_life) bytes: Bytes,
    pub(in crate::broker_life) timestamp: i64,
    pub(in crate::broker_life) tries: u32,
}

impl Batch {
    pub(in crate::broker_life) fn call(&self, acks: Acks) -> ProduceCall {
        ProduceCall {
            acks,
            transactional_id: None,
            zstd: ZstdAllowed::Yes,
            topics: vec![ProduceTopic {
                topic: self.topic.clone(),
                partitions: vec![(self.partition, Some(self.bytes.clone()))],
            }],
        }
    }
}

impl Producer {
    pub(in crate::broker_life) fn new(client: u32, mut rng: Rng) -> Self {
        let is_idempotent = rng.percent(60);
        let acks = match rng.below(6) {
            0 if !is_idempotent => Acks::None,
            0 | 1 => Acks::Leader,
            _ => Acks::All,
        };
        Self {
            client,
            rng,
            acks,
            is_idempotent,
            numbers: 0,
            identity: None,
            sequences: BTreeMap::new(),
            unanswered: VecDeque::new(),
        }
    }

    pub(in crate::broker_life) async fn step(&mut self, life: &Life) {
        if self.rng.percent(25) {
            let ms = self.rng.pick(&[1, 10, 150, 1_000]);
            life.ask(Request::Long("a pause"), life.clock.sleep_ms(ms))
                .await;
            return;
        }
        if self.is_idempotent && self.identity.is_none() {
            self.introduce(life).await;
            return;
        }
        if !self.unanswered.is_empty() {
            self.send_again(life).await;
            return;
        }
        let Some((topic, partition, place)) = self.target(life) else {
            life.ask(Request::Long("a pause"), life.clock.sleep_ms(10))
                .await;
            return;
        };
        self.send(life, &topic, partition, place).await;
    }

    async fn introduce(&mut self, life: &Life) {
        let call = InitProducerId {
            transactional_id: None,
            producer_id: -1,
            epoch: -1,
        };
        let asked = life.service.init_producer_id(call);
        if let Some(Ok(identity)) = life.ask(Request::Short("a producer id"), asked).await {
            if !life.model().producer_ids.insert(identity.id) {
                let text = format!("producer id {} is given out twice", identity.id);
                life.broken(Oracle::O5, text);
            }
            life.note(format!("producer {} is {}", self.client, identity.id));
            self.identity = Some(identity);
            self.sequences.clear();
        }
    }

    fn target(&mut self, life: &Life) -> Option<(String, i32, Option<Place>)> {
        // Who knows sequences writes to what stays: to another topic of the same name they mean
        // nothing.
        let names = if self.is_idempotent {
            &TOPICS[..3]
        } else {
            &TOPICS[..]
        };
        let name = self.rng.pick(names);
        let model = life.model();
        let partitions = model.topics.get(name)?.partitions.max(1);
        let id = model.sure_id(name);
        if self.is_idempotent && id.is_none() {
            return None;
        }
        let partition = i32::try_from(self.rng.below(partitions.unsigned_abs() as usize)).ok()?;
        Some((name.to_owned(), partition, id.map(|id| (id, partition))))
    }

    fn next_batch(
        &mut self,
        life: &Life,
        topic: &str,
        partition: i32,
        place: Option<Place>,
    ) -> Batch {
        let count = 1 + self.rng.below(3);
        let values: Vec<Value> = (0..count)
            .map(|_| {
                self.numbers += 1;
                Value {
                    client: self.client,
                    number: self.numbers,
                }
            })
            .collect();
        let identity = self
            .identity
            .filter(|_| self.is_idempotent)
            .map(|identity| {
                let next = self
                    .sequences
                    .entry((topic.to_owned(), partition))
                    .or_default();
                let base_sequence = *next;
                *next += i32::try_from(count).expect("it is small");
                batch_builder::Producer {
                    id: identity.id,
                    epoch: identity.epoch,
                    base_sequence,
                }
            });
        let timestamp = life.clock.wall_ms();
        let padding = self.rng.pick(&[0, 10, 100, 600]);
        let mut model = life.model();
        for value in &values {
            model.sent.insert(*value, (topic.to_owned(), partition));
        }
        Batch {
            topic: topic.to_owned(),
            partition,
            place,
            bytes: batch(&values, identity, timestamp, padding),
            values,
            timestamp,
            tries: 0,
        }
    }

    /// Some batches one after the other, without waiting for answers in between.
    async fn send(&mut self, life: &Life, topic: &str, partition: i32, place: Option<Place>) {
        // A log takes the first batch of a producer that it does not know whatever its sequence is,
        // as Kafka's does: nothing may overtake it.
        let known = self.sequences.get(&(topic.to_owned(), partition));
        let is_first = self.is_idempotent && known.is_none_or(|next| *next == 0);
        let count = if is_first {
            1
        } else {
            self.rng.pick(&[1, 1, 2, 4])
        };
        let mut tickets = Vec::new();
        for _ in 0..count {
            let batch = self.next_batch(life, topic, partition, place);
            if self.is_idempotent {
                self.unanswered.push_back(batch.clone());
            }
            let was_fsync = life.model().is_fsync(topic);
            let produced = life.service.produce(batch.call(self.acks));
            let Some(ticket) = life.ask(Request::Short("produce"), produced).await else {
                return;
            };
            if self.acks != Acks::None {
                tickets.push((batch, ticket, was_fsync));
            }
        }
        for (batch, ticket, was_fsync) in tickets {
            let answer = life.ask(Request::Short("produce"), ticket).await;
            self.answered(life, &batch, answer, was_fsync);
        }
    }

    /// The first unanswered batch once more.
    async fn send_again(&mut self, life: &Life) {
        let Some(first) = self.unanswered.front_mut() else {
            return;
        };
        first.tries += 1;
        let batch = first.clone();
        let was_fsync = life.model().is_fsync(&batch.topic);
        let asked = async { life.service.produce(batch.call(self.acks)).await.await };
        let answer = life.ask(Request::Short("produce again"), asked).await;
        self.answered(life, &batch, answer, was_fsync);
    }

    fn answered(
        &mut self,
        life: &Life,
        batch: &Batch,
        answer: Option<Vec<ProducedPartition>>,
        was_fsync: bool,
    ) {
        let result = answer
            .and_then(|mut answers| answers.pop())
            .map(|answer| answer.result);
        match result {
            Some(Ok(produced)) => {
                stored(life, batch, &produced, self.acks == Acks::All && was_fsync);
                if self.is_idempotent {
                    self.unanswered.retain(|one| one.values != batch.values);
                }
            }
            Some(Err(error)) => self.refused(life, batch, &error),
            None => {}
        }
    }

    fn refused(&mut self, life: &Life, batch: &Batch, error: &ProduceError) {
        let what = format!(
            "producer {} ({:?}), {}/{}, {:?}: {error}",
            self.client, self.identity, batch.topic, batch.partition, batch.values
        );
        life.note(what.clone());
        match error {
            ProduceError::Storage { .. } => {}
            ProduceError::UnknownTopicOrPartition if !self.is_idempotent => {}
            ProduceError::OutOfOrderSequence { .. } if self.is_idempotent => {
                let is_first = self
                    .unanswered
                    .front()
                    .is_some_and(|first| first.values == batch.values);
                if !is_first {
                    // What went before it was refused; it is sent again first.
                    return;
                }
                if !self.has_lost(life, batch) {
                    life.broken(Oracle::O5, format!("{what}, though nothing of it was lost"));
                }
                // A new identity, and what was not answered stays as it is.
                self.identity = None;
                self.unanswered.clear();
            }
            _ => life.broken(Oracle::O14, what),
        }
    }

    /// Whether acknowledged batches of this producer were lost in this partition, as they may be.
    fn has_lost(&self, life: &Life, batch: &Batch) -> bool {
        let model = life.model();
        let there = (batch.topic.clone(), batch.partition);
        let mut own = model
            .lost
            .iter()
            .filter(|value| value.client == self.client);
        own.any(|value| model.sent.get(value) == Some(&there))
    }
}

/// A batch was acknowledged.
pub(in crate::broker_life) fn stored(
    life: &Life,
    batch: &Batch,
    produced: &Produced,
    is_durable: bool,
) {
    let base = produced.base_offset.0;
    life.note(format!(
        "{}/{} {base}: {:?}{}",
        batch.topic,
        batch.partition,
        batch.values,
        if is_durable { "" } else { " (written)" }
    ));
    let (now_ms, mut model) = (life.clock.ms(), life.model());
    model.book.stats.batches_acknowledged += 1;
    model.book.stats.batches_repeated += u64::from(batch.tries > 0);
    let is_fsync = model.is_fsync(&batch.topic);
    // A topic that was made anew meanwhile: nobody can tell which one has it.
    let id = model.sure_id(&batch.topic);
    let Some(place) = batch.place.filter(|place| Some(place.0) == id) else {
        return;
    };
    for (offset, value) in (base..).zip(&batch.values) {
        model.saw(place, offset, *value, None);
        model
            .partition(place)
            .timestamps
            .insert(offset, batch.timestamp);
    }
    let end = base + i64::try_from(batch.values.len()).expect("it is small");
    let partition = model.partition(place);
    if is_durable && is_fsync {
        partition.is_durable_below(end);
    } else {
        let synced_at = (!is_fsync).then_some(now_ms + super::FLUSH_MS);
        partition.is_written_below(end, synced_at);
    }
}
