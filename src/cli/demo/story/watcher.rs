//! Somebody who reads the topic along, and sends some of its records a second time.
//!
//! Floor 6 of cli.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use highwater_client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, EventId, Producer, ProducerConfig, Record,
    StartAt,
};
use tokio::sync::watch;

use super::payments::change_of;
use super::plan::Plan;
use crate::cli::failure::Failure;

/// Reads along.
pub(super) struct Watcher {
    plan: Plan,
    topic: &'static str,
    consumer: Consumer,
    producer: Producer,
    events: watch::Sender<usize>,
    seen: Seen,
}

/// What is in the topic.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) records: u64,
    pub(super) events: HashSet<EventId>,
    /// How many records were sent again.
    pub(super) sent_again: u64,
}

impl Watcher {
    /// Begins with the first record. Tells how many events are there.
    pub(super) async fn new(
        client: &Client,
        plan: Plan,
        topic: &'static str,
        events: watch::Sender<usize>,
    ) -> Result<Self, Failure> {
        let mut consumer = client.consumer(ConsumerConfig::default());
        consumer.assign_topic(topic, StartAt::Earliest).await?;
        Ok(Self {
            plan,
            topic,
            consumer,
            producer: client.producer(ProducerConfig::default())?,
            events,
            seen: Seen::default(),
        })
    }

    /// Reads until `stop`, and then what is left up to the end.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<Seen, Failure> {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                records = self.consumer.poll(POLL_MAX) => self.take(records?).await?,
            }
        }
        let ends = self.consumer.end_offsets(self.topic).await?;
        loop {
            let at = |(partition, end): (i32, &i64)| {
                let position = self.consumer.position(self.topic, partition);
                position.is_some_and(|it| it >= *end)
            };
            if (0..).zip(&ends).all(at) {
                return Ok(self.seen);
            }
            let records = self.consumer.poll(POLL_MAX).await?;
            self.take(records).await?;
        }
    }

    async fn take(&mut self, records: Vec<ConsumerRecord>) -> Result<(), Failure> {
        for record in records {
            self.seen.records += 1;
            if !self.seen.events.insert(record.event_id()?) {
                continue;
            }
            let (order, version) = change_of(&record).map_err(Failure::failed)?;
            if self.plan.is_sent_again(order, version) {
                self.producer.send(again(&record)).await?.await?;
                self.seen.sent_again += 1;
            }
        }
        self.events.send_replace(self.seen.events.len());
        Ok(())
    }
}

/// The record, as its producer would send it again.
fn again(record: &ConsumerRecord) -> Record {
    let mut again = Record::to(&*record.topic).partition(record.partition);
    again.key.clone_from(&record.key);
    again.value.clone_from(&record.value);
    again.headers.clone_from(&record.headers);
    again
}

const POLL_MAX: Duration = Duration::from_millis(100);
