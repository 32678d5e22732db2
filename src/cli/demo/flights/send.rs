//! The sending half of the demo.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - A latency ends when the answer is there, whatever other partitions do meanwhile: each
//!   partition's answers are awaited by a task of their own.
//! - What is sent before its partition's first answer waits for the files to be made: that is told
//!   as the first acknowledgement, and not mixed with all later ones.

use std::sync::Arc;
use std::time::Duration;

use highwater_client::{Client, ClientError, Codec, Delivery, ProducerConfig, Record};
use highwater_proto::clock::{Clock, Mono};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

use super::latencies::Latencies;
use super::ledger::Ledger;
use crate::cli::failure::Failure;
use crate::cli::intake::Intake;

/// What is to be sent where.
pub(super) struct Sending {
    pub(super) topic: &'static str,
    pub(super) partitions: i32,
    pub(super) codec: Codec,
}

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) ledger: Ledger,
    /// Records and their bytes, by partition.
    pub(super) partitions: Vec<(u64, u64)>,
    pub(super) latencies: Latencies,
    /// The longest time to a partition's first answer.
    pub(super) first: Duration,
    /// From the first record to the last answer.
    pub(super) elapsed: Duration,
    pub(super) rejected: u64,
}

impl Sent {
    /// Keys and values, before compression.
    pub(super) fn bytes(&self) -> u64 {
        self.partitions.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Sending {
    /// Sends everything and waits for all answers.
    pub(super) async fn run(
        &self,
        client: &Client,
        mut intake: Intake,
        clock: &Arc<dyn Clock>,
    ) -> Result<Sent, Failure> {
        let producer = client.producer(ProducerConfig {
            compression_type: self.codec,
            batch_size: BATCH_BYTES,
            buffer_memory: BUFFER_BYTES,
            ..ProducerConfig::default()
        })?;
        let mut sent = Sent {
            ledger: Ledger::default(),
            partitions: Vec::new(),
            latencies: Latencies::default(),
            first: Duration::ZERO,
            elapsed: Duration::ZERO,
            rejected: 0,
        };
        let mut senders = Vec::new();
        let mut waiters = Vec::new();
        for _ in 0..self.partitions {
            let (sender, deliveries) = channel(UNANSWERED_MAX);
            senders.push(sender);
            waiters.push(tokio::spawn(await_answers(deliveries, Arc::clone(clock))));
            sent.partitions.push((0, 0));
        }
        let started = clock.now().mono;
        loop {
            let entries = intake.next().await?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let Ok((key, value)) = entry.record else {
                    sent.rejected += 1;
                    continue;
                };
                let mut record = Record::to(self.topic).value(value.clone());
                record.key = key.clone();
                let at = clock.now().mono;
                let delivery = producer.send(record).await?;
                let partition = delivery.partition();
                sent.ledger.add(partition, key.as_ref(), &value);
                let index = usize::try_from(partition).unwrap_or(usize::MAX);
                let (Some(sender), Some(sums)) =
                    (senders.get(index), sent.partitions.get_mut(index))
                else {
                    return Err(Failure::Failed(format!(
                        "there is no partition {partition}"
                    )));
                };
                sums.0 += 1;
                sums.1 += (key.map_or(0, |key| key.len()) + value.len()) as u64;
                // It fails only if the waiter has stopped, which then tells why.
                let _ = sender.send((at, delivery)).await;
            }
        }
        drop(senders);
        producer.flush().await;
        let answers = Answers::of_all(waiters).await?;
        sent.elapsed = clock.now().mono.since(started);
        sent.first = answers.first;
        sent.latencies = answers.latencies();
        Ok(sent)
    }
}

/// When the answers came.
#[derive(Debug, Default)]
struct Answers {
    /// The longest time to a partition's first answer.
    first: Duration,
    /// Of what was sent before its partition's first answer.
    early: Latencies,
    /// Of all that was sent later.
    later: Latencies,
}

impl Answers {
    async fn of_all(waiters: Vec<JoinHandle<Result<Self, ClientError>>>) -> Result<Self, Failure> {
        let mut answers = Self::default();
        for waiter in waiters {
            let waited = waiter.await;
            answers.merge(&waited.map_err(Failure::failed)??);
        }
        Ok(answers)
    }

    /// Of all that was sent later, if there is anything.
    fn latencies(self) -> Latencies {
        if self.later.is_empty() {
            self.early
        } else {
            self.later
        }
    }

    fn merge(&mut self, other: &Self) {
        self.first = self.first.max(other.first);
        self.early.merge(&other.early);
        self.later.merge(&other.later);
    }
}

async fn await_answers(
    mut deliveries: Receiver<(Mono, Delivery)>,
    clock: Arc<dyn Clock>,
) -> Result<Answers, ClientError> {
    let mut answers = Answers::default();
    let mut first_at = None;
    while let Some((sent_at, delivery)) = deliveries.recv().await {
        delivery.await?;
        let now = clock.now().mono;
        let latency = now.since(sent_at);
        if first_at.is_none() {
            first_at = Some(now);
            answers.first = latency;
        }
        if first_at > Some(sent_at) {
            answers.early.add(latency);
        } else {
            answers.later.add(latency);
        }
    }
    Ok(answers)
}

/// Uncompressed bytes of a batch.
const BATCH_BYTES: usize = 64 * 1024;
/// Bytes on their way: enough to keep the disk busy, little enough that no record waits long.
const BUFFER_BYTES: usize = 2 << 20;
/// Records of one partition on their way; the bytes are the tighter limit.
const UNANSWERED_MAX: usize = 64 * 1024;
