//! The reading half of the demo: several consumers side by side.
//!
//! Floor 6 of cli.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_client::{Client, Consumer, ConsumerConfig, StartAt};
use highwater_proto::clock::Clock;

use super::ledger::Ledger;
use crate::cli::failure::Failure;
use crate::cli::output;

/// What is to be read.
pub(super) struct Reading {
    pub(super) topic: &'static str,
    pub(super) consumers: i32,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) ledger: Ledger,
    /// Offsets that were not 0, 1, 2..., one sentence each.
    pub(super) gaps: Vec<String>,
    pub(super) elapsed: Duration,
}

impl Reading {
    /// Reads every partition to its end; consumer `n` reads each `n`th of them.
    pub(super) async fn run(
        &self,
        client: &Client,
        records: u64,
        clock: &Arc<dyn Clock>,
    ) -> Result<Read, Failure> {
        let bar = output::progress(Some(records), "checking");
        let started = clock.now().mono;
        let mut readers = Vec::new();
        for index in 0..self.consumers {
            let mut consumer = client.consumer(ConsumerConfig::default());
            let mut ends = BTreeMap::new();
            for (partition, end) in (0..).zip(consumer.end_offsets(self.topic).await?) {
                if partition % self.consumers == index {
                    consumer
                        .assign(self.topic, partition, StartAt::Earliest)
                        .await?;
                    ends.insert(partition, end);
                }
            }
            let (topic, bar) = (self.topic, bar.clone());
            readers.push(tokio::spawn(async move {
                let mut reader = Reader {
                    consumer,
                    topic,
                    ends,
                    next: BTreeMap::new(),
                };
                reader.read(&bar).await
            }));
        }
        let mut read = Read {
            ledger: Ledger::default(),
            gaps: Vec::new(),
            elapsed: Duration::ZERO,
        };
        for reader in readers {
            let joined = reader
                .await
                .map_err(|error| Failure::Failed(error.to_string()))?;
            let (ledger, gaps) = joined?;
            read.ledger.merge(ledger);
            read.gaps.extend(gaps);
        }
        read.elapsed = clock.now().mono.since(started);
        bar.finish_and_clear();
        Ok(read)
    }
}

/// One consumer at work.
struct Reader {
    consumer: Consumer,
    topic: &'static str,
    ends: BTreeMap<i32, i64>,
    /// The offset that must come next.
    next: BTreeMap<i32, i64>,
}

impl Reader {
    async fn read(
        &mut self,
        bar: &indicatif::ProgressBar,
    ) -> Result<(Ledger, Vec<String>), Failure> {
        let mut ledger = Ledger::default();
        let mut gaps = Vec::new();
        while !self.is_done() {
            let records = self.consumer.poll(POLL_MAX).await?;
            if records.is_empty() {
                gaps.push(format!(
                    "nothing came for {} s before the end",
                    POLL_MAX.as_secs()
                ));
                break;
            }
            bar.inc(records.len() as u64);
            for record in records {
                let next = self.next.entry(record.partition).or_default();
                if record.offset != *next && gaps.len() < GAPS_MAX {
                    let (partition, offset) = (record.partition, record.offset);
                    gaps.push(format!(
                        "partition {partition}: offset {offset} came after {next}"
                    ));
                }
                *next = record.offset + 1;
                let value = record.value.as_deref().unwrap_or_default();
                ledger.add(record.partition, record.key.as_ref(), value);
            }
        }
        Ok((ledger, gaps))
    }

    /// Lets go of what is read to its end.
    fn is_done(&mut self) -> bool {
        let (consumer, topic) = (&mut self.consumer, self.topic);
        self.ends.retain(|partition, end| {
            let is_at_end = consumer
                .position(topic, *partition)
                .is_some_and(|at| at >= *end);
            if is_at_end {
                consumer.unassign(topic, *partition);
            }
            !is_at_end
        });
        self.ends.is_empty()
    }
}

/// Far longer than an embedded broker needs for records that are there.
const POLL_MAX: Duration = Duration::from_secs(10);
const GAPS_MAX: usize = 20;
