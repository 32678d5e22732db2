//! The workload through Highwater's client.

use std::time::Duration;

use bytes::Bytes;
use highwater::{Client, ConsumerConfig, ProducerConfig, Record, StartAt};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::Peer;
use crate::RECORD_BYTES;
use crate::Settings;

/// Highwater's client.
pub(crate) struct Ours {
    client: Client,
    runtime: Runtime,
}

impl Ours {
    /// Connects.
    pub(crate) fn new(address: &str) -> Result<Self, Failure> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        Ok(Self {
            client: runtime.block_on(Client::connect(address))?,
            runtime,
        })
    }
}

impl Peer for Ours {
    fn produce(&self, topic: &str, settings: &Settings, count: usize) -> Result<(), Failure> {
        let config = ProducerConfig::new()
            .batch_size(settings.batch_size)
            .linger_ms(settings.linger_ms);
        let value = Bytes::from(vec![7; RECORD_BYTES]);
        self.runtime.block_on(async {
            let producer = self.client.producer(config)?;
            for _ in 0..count {
                producer
                    .send(Record::to(topic).value(value.clone()))
                    .await?;
            }
            let report = producer.close(PATIENCE).await;
            match report.stored == count as u64 {
                true => Ok(()),
                false => Err(format!("not all of {count} are stored: {report:?}").into()),
            }
        })
    }

    fn consume(&self, topic: &str, count: usize) -> Result<(), Failure> {
        let mut consumer = self.client.consumer(ConsumerConfig::default());
        self.runtime.block_on(async {
            consumer.assign(topic, 0, StartAt::Earliest).await?;
            let mut left = count;
            while left > 0 {
                let records = consumer.poll(PATIENCE).await?;
                let values = records.iter().filter_map(|it| it.value.as_ref());
                let right = values.filter(|value| value.len() == RECORD_BYTES).count();
                if records.is_empty() || right != records.len() {
                    return Err(format!("{left} records are missing or wrong").into());
                }
                left = left.saturating_sub(right);
            }
            Ok(())
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
