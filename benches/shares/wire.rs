//! Produce over loopback, 1 KiB records at `page-cache`: against what the limits of the same turn
//! allow, each measured with pieces of the row's own `batch.size`, when client and broker share the
//! cores.
//!
//! The bound is the smallest of three, in bytes a second, from the cost of each step per byte:
//! - all cores over the sum of what both sides do;
//! - one core over what the broker's connection does: receive, checksum, write;
//! - one core over what the client does: build the batch (its checksum included), send.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use bytes::Bytes;
use highwater::broker::config::BrokerConfig;
use highwater::{Broker, Client, ClientConfig, NewTopic, OffsetSpec, ProducerConfig, Record};
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use highwater_proto::kafka::{self, ApiKey, Request, Response};
use tokio::runtime::Runtime;

use super::kit::load::{self, RECORD_BYTES};
use super::kit::raw;
use super::kit::run::{Run, Target, Unit, rate};
use super::limits::{PIECE_BYTES, crc_rate};

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let folder = run.folder("wire")?;
    let raw_folder = run.folder("wire-raw")?;
    let rig = Rig::new(folder.path())?;
    let count = run.scale(4096, 32);
    let batch = load::batch(PIECE_BYTES)?;
    let path = raw_folder.path().join("written");
    let target = Target::AtLeast(0.6);
    let bound = |run: &Run, batch_bytes: usize| bound(run, &path, batch_bytes, count * PIECE_BYTES);
    let turns = run.turns(
        || rig.send_frames(run, &batch, count),
        || bound(run, PIECE_BYTES),
    )?;
    run.share(
        "produce over loopback, frames made ahead",
        Unit::Rate,
        turns,
        BOUND,
        target,
    );
    let records = count * (PIECE_BYTES / RECORD_BYTES - 1);
    for (partitions, batch_bytes, what) in [
        (
            1,
            PIECE_BYTES,
            "produce over loopback, our client, batch.size 32 KiB",
        ),
        (12, PIECE_BYTES, "the same, twelve partitions"),
        (1, 256 << 10, "one partition, batch.size 256 KiB"),
        (1, 1_000_000, "one partition, batch.size 1 MB"),
    ] {
        let turns = run.turns(
            || rig.send_records(run, records, partitions, batch_bytes),
            || bound(run, batch_bytes),
        )?;
        run.share(what, Unit::Rate, turns, BOUND, target);
    }
    Ok(())
}

/// What the machine allows right now, for batches of so many bytes.
fn bound(run: &Run, path: &Path, batch_bytes: usize, total_bytes: usize) -> Result<f64, Failure> {
    let cores = std::thread::available_parallelism()?.get() as f64;
    let count = total_bytes.div_ceil(batch_bytes);
    let batch = load::batch(batch_bytes)?;
    let stream = raw::stream(run, batch_bytes, count)?;
    let write = raw::write_loop(run, path, &batch, count)?;
    let broker = 1.0 / stream + 1.0 / crc_rate(run) + 1.0 / write;
    let client = 1.0 / stream + 1.0 / build_rate(run, batch_bytes, count)?;
    Ok((cores / (broker + client))
        .min(1.0 / broker)
        .min(1.0 / client))
}

/// Bytes a second of batches built of records.
fn build_rate(run: &Run, batch_bytes: usize, count: usize) -> Result<f64, Failure> {
    let (seconds, bytes) = run.seconds(|| {
        (0..count).try_fold(0, |bytes, _| {
            Ok::<_, Failure>(bytes + load::batch(batch_bytes)?.len())
        })
    });
    Ok(rate(bytes?, seconds))
}

/// A broker that listens, and a client's runtime beside it.
pub(crate) struct Rig {
    // The client goes first: it holds connections to the broker.
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
    broker: Broker,
}

impl Rig {
    /// A broker over a folder.
    pub(crate) fn new(dir: &Path) -> Result<Self, Failure> {
        Self::with(dir, BrokerConfig::default())
    }

    /// A broker over a folder, with settings.
    pub(crate) fn with(dir: &Path, config: BrokerConfig) -> Result<Self, Failure> {
        Self::dialing(dir, config, "127.0.0.1:0", ClientConfig::new())
    }

    /// A broker with this listener, and a client of it.
    pub(crate) fn dialing(
        dir: &Path,
        config: BrokerConfig,
        listener: &str,
        client: ClientConfig,
    ) -> Result<Self, Failure> {
        let broker = Broker::builder().data_dir(dir).config(config).start()?;
        broker.listen_kafka(listener)?;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let client = client.bootstrap_servers(broker.bootstrap_servers());
        let client = runtime.block_on(Client::connect_with(client))?;
        Ok(Self {
            client,
            runtime,
            broker,
        })
    }

    /// A new topic, for as long as `work` takes.
    pub(crate) fn with_topic<T>(
        &self,
        partitions: i32,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let admin = self.client.admin();
        let topic = NewTopic {
            name: TOPIC.to_owned(),
            partitions: Some(partitions),
            configs: [("durability".to_owned(), "page-cache".to_owned())].into(),
            ..Default::default()
        };
        self.runtime.block_on(admin.create_topic(&topic))?;
        let worked = work();
        self.runtime.block_on(admin.delete_topic(TOPIC))?;
        worked
    }

    /// Sends as many requests of one batch each over one connection, without waiting for answers;
    /// gives the bytes a second until the last one is there.
    pub(crate) fn send_frames(
        &self,
        run: &Run,
        batch: &Bytes,
        count: usize,
    ) -> Result<f64, Failure> {
        let frame = frame(batch)?;
        self.with_topic(1, || {
            let mut near = TcpStream::connect(self.broker.bootstrap_servers())?;
            near.set_nodelay(true)?;
            let mut answers = near.try_clone()?;
            let (seconds, sent) = run.seconds(|| {
                std::thread::scope(|scope| {
                    let reader = scope.spawn(move || read_answers(&mut answers, count));
                    let sent = (0..count).try_for_each(|_| near.write_all(&frame));
                    sent.and_then(|()| {
                        reader
                            .join()
                            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
                    })
                })
            });
            sent?;
            Ok(rate(count * batch.len(), seconds))
        })
    }

    /// Sends records of 1 KiB without a key; gives their bytes a second until all of them are
    /// acknowledged.
    pub(crate) fn send_records(
        &self,
        run: &Run,
        count: usize,
        partitions: i32,
        batch_bytes: usize,
    ) -> Result<f64, Failure> {
        let config = ProducerConfig {
            batch_size: batch_bytes,
            ..ProducerConfig::default()
        };
        let work = async {
            let start = run.now().mono;
            self.send_all(config, count).await?;
            let seconds = run.now().mono.since(start).as_secs_f64();
            self.expect_stored(partitions, count).await?;
            Ok(rate(count * RECORD_BYTES, seconds))
        };
        self.with_topic(partitions, || self.runtime.block_on(work))
    }

    /// A new topic with so many records of 1 KiB, for as long as `work` takes.
    pub(crate) fn with_records<T>(
        &self,
        count: usize,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.with_topic(1, || {
            let filled = self.send_all(ProducerConfig::default(), count);
            self.runtime.block_on(filled)?;
            self.runtime.block_on(self.expect_stored(1, count))?;
            work()
        })
    }

    async fn send_all(&self, config: ProducerConfig, count: usize) -> Result<(), Failure> {
        let value = Bytes::from(vec![7; RECORD_BYTES]);
        let producer = self.client.producer(config)?;
        for _ in 0..count {
            producer
                .send(Record::to(TOPIC).value(value.clone()))
                .await?;
        }
        producer.flush().await;
        Ok(())
    }

    /// Fails unless the topic holds so many records.
    pub(crate) async fn expect_stored(&self, partitions: i32, count: usize) -> Result<(), Failure> {
        let admin = self.client.admin();
        let mut stored = 0;
        for partition in 0..partitions {
            let end = admin.offset(TOPIC, partition, OffsetSpec::Latest).await?;
            stored += end.unwrap_or_default();
        }
        if stored == i64::try_from(count)? {
            Ok(())
        } else {
            Err(format!("{stored} of {count} records are stored").into())
        }
    }
}

fn frame(batch: &Bytes) -> Result<Bytes, Failure> {
    let partitions = vec![ProducePartition {
        index: 0,
        records: Some(batch.clone()),
    }];
    let topics = vec![ProduceTopic {
        name: Str::from_static(TOPIC),
        partitions,
    }];
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topics,
        ..Default::default()
    };
    Ok(Request::from(request)
        .encode_frame(PRODUCE_VERSION, 1, None)?
        .into_bytes())
}

fn read_answers(stream: &mut TcpStream, count: usize) -> io::Result<()> {
    for _ in 0..count {
        let mut prefix = [0; kafka::SIZE_BYTES];
        stream.read_exact(&mut prefix)?;
        let bytes = kafka::response_size(prefix, ANSWER_BYTES_MAX).map_err(io::Error::other)?;
        let mut frame = vec![0; bytes];
        stream.read_exact(&mut frame)?;
        let answer = Response::decode_frame(ApiKey::Produce, PRODUCE_VERSION, frame.into());
        let (_, answer) = answer.map_err(io::Error::other)?;
        let Response::Produce(answer) = answer else {
            return Err(io::Error::other("the answer is of another API"));
        };
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        if let Some(refused) = partitions.find(|partition| partition.error_code != 0) {
            return Err(io::Error::other(format!(
                "a batch was refused: {refused:?}"
            )));
        }
    }
    Ok(())
}

const BOUND: &str = "bound of both sides";
/// The topic of a rig.
pub(crate) const TOPIC: &str = "wire";
const PRODUCE_VERSION: i16 = 9;
const ANSWER_BYTES_MAX: usize = 1 << 20;
