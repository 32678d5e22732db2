//! The work through Highwater's client.

use std::time::Duration;

use bytes::Bytes;
use highwater::{Client, Consumer, ConsumerConfig, Producer, ProducerConfig, Record, StartAt};
use tokio::runtime::Runtime;

use crate::Failure;
use crate::load::Load;
use crate::load::Peer;
use crate::load::Ready;

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

    /// A producer that has stored a record in each partition.
    fn producer(&self, topic: &str, load: &Load, value: &Bytes) -> Result<Producer, Failure> {
        let config = ProducerConfig::new()
            .batch_size(load.batch_size)
            .linger_ms(load.linger_ms);
        self.runtime.block_on(async {
            let producer = self.client.producer(config)?;
            for partition in 0..load.partitions {
                let record = Record::to(topic).partition(partition);
                producer.send(record.value(value.clone())).await?.await?;
            }
            Ok(producer)
        })
    }
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        "our client"
    }

    fn produce<'a>(&'a self, topic: &'a str, load: &'a Load) -> Result<Ready<'a>, Failure> {
        let value = Bytes::from(vec![7; load.record_bytes]);
        let producer = self.producer(topic, load, &value)?;
        Ok(Ready::new(move || {
            self.runtime.block_on(async {
                for number in 0..load.records {
                    let record = Record::to(topic).partition(load.partition(number));
                    producer.send(record.value(value.clone())).await?;
                }
                // What is not stored then is missed when the topic's end is asked for.
                producer.flush().await;
                Ok(())
            })
        }))
    }

    fn await_each<'a>(
        &'a self,
        topic: &'a str,
        load: &'a Load,
        callers: usize,
    ) -> Result<Ready<'a>, Failure> {
        let value = Bytes::from(vec![7; load.record_bytes]);
        let producer = self.producer(topic, load, &value)?;
        Ok(Ready::new(move || {
            self.runtime.block_on(async {
                let tasks: Vec<_> = (0..callers)
                    .map(|caller| {
                        let (producer, value) = (producer.clone(), value.clone());
                        let (topic, load) = (topic.to_owned(), *load);
                        tokio::spawn(async move {
                            for number in (caller..load.records).step_by(callers) {
                                let partition = load.partition(number);
                                let record = Record::to(topic.as_str()).partition(partition);
                                producer.send(record.value(value.clone())).await?.await?;
                            }
                            Ok::<_, Failure>(())
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await??;
                }
                Ok(())
            })
        }))
    }

    fn consume<'a>(&'a self, topic: &'a str, load: &'a Load) -> Result<Ready<'a>, Failure> {
        let mut consumer = self.client.consumer(ConsumerConfig::default());
        let first = self.runtime.block_on(async {
            for partition in 0..load.partitions {
                consumer.assign(topic, partition, StartAt::Earliest).await?;
            }
            poll(&mut consumer, load).await
        })?;
        Ok(Ready::new(move || {
            self.runtime.block_on(async {
                let mut left = load.records.saturating_sub(first);
                while left > 0 {
                    left = left.saturating_sub(poll(&mut consumer, load).await?);
                }
                Ok(())
            })
        }))
    }
}

/// Takes some records, checks them and counts them.
async fn poll(consumer: &mut Consumer, load: &Load) -> Result<usize, Failure> {
    let records = consumer.poll(PATIENCE).await?;
    let values = records.iter().filter_map(|it| it.value.as_ref());
    let right = values.filter(|value| value.len() == load.record_bytes);
    let right = right.count();
    match records.is_empty() || right != records.len() {
        true => Err("records are missing or wrong".into()),
        false => Ok(right),
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
