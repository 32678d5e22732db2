//! Appends of 32 KiB batches at `page-cache`, and reads of what is cached, in process: against
//! loops of system calls that move the same bytes.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::Service;
use highwater_broker::service::fetch::{FetchCall, FetchPartition, Isolation};
use highwater_broker::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_log::config::Durability;
use highwater_log::{AckAt, LogError, LogReader, Minimum, Offset, UpTo};
use highwater_proto::batch::ProducedBatch;

use super::kit::load::{self, Disk};
use super::kit::raw;
use super::kit::run::{Run, Target, Turns, Unit, rate};
use super::limits::PIECE_BYTES;

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let count = run.scale(4096, 64);
    let (bytes, turns) = shard_append(run, count)?;
    run.share(
        &format!("append, {bytes} B batches, page-cache, log-core"),
        Unit::Rate,
        turns,
        "write() of the same",
        Target::AtLeast(0.7),
    );
    let turns = service_append(run, count)?;
    run.share(
        "produce, the same, through the broker's service",
        Unit::Rate,
        turns,
        "write() of the same",
        Target::AtLeast(0.7),
    );
    let turns = shard_read(run, count)?;
    run.share(
        "read, 1 MiB, cached, log-core",
        Unit::Rate,
        turns,
        "pread, 1 MiB each",
        Target::AtLeast(0.7),
    );
    let turns = service_read(run, count)?;
    let what = "fetch, 1 MiB, cached, through the broker's service";
    run.share(
        what,
        Unit::Rate,
        turns,
        "pread, 1 MiB each",
        Target::AtLeast(0.7),
    );
    Ok(())
}

fn shard_append(run: &Run, count: usize) -> Result<(usize, Turns), Failure> {
    let batch = load::produced(PIECE_BYTES)?;
    let bytes = batch.bytes().len();
    let disk = Disk::new(run, "append")?;
    let raw_folder = run.folder("append-raw")?;
    let path = raw_folder.path().join("written");
    let mut partition = 0;
    let figure = || -> Result<f64, Failure> {
        let id = disk.log(partition, Durability::PageCache)?;
        partition += 1;
        let (seconds, done) = run.seconds(|| {
            (0..count).try_for_each(|_| {
                let now = run.now();
                disk.shard
                    .append_wait(id, batch.clone(), AckAt::Durable, now)
                    .map(drop)
            })
        });
        done?;
        disk.shard.remove_log(id)?;
        Ok(rate(count * bytes, seconds))
    };
    let limit = || Ok(raw::write_loop(run, &path, batch.bytes(), count)?);
    Ok((bytes, run.turns(figure, limit)?))
}

/// A broker with one topic of one partition.
struct Rig {
    broker: Broker,
    service: Service,
}

impl Rig {
    fn new(dir: &Path) -> Result<Self, Failure> {
        let broker = Broker::open(dir)?;
        let service = broker.service().clone();
        Ok(Self { broker, service })
    }

    fn topic(&self, name: String) -> Result<(), Failure> {
        let configs = vec![("durability".to_owned(), Some("page-cache".to_owned()))];
        let topics = vec![NewTopic {
            name,
            configs,
            ..NewTopic::default()
        }];
        let call = CreateTopicsCall {
            topics,
            validate_only: false,
        };
        let service = self.service.clone();
        let created = self
            .broker
            .block_on(async move { service.create_topics(call).await })?;
        for topic in created {
            topic.result.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Produces the batch so often, one after the other; gives the seconds.
    fn produce(&self, topic: String, batch: Bytes, count: usize) -> Result<f64, Failure> {
        let service = self.service.clone();
        let clock = Arc::clone(service.clock());
        let work = async move {
            let start = clock.now().mono;
            for _ in 0..count {
                let call = ProduceCall {
                    acks: Acks::All,
                    transactional_id: None,
                    zstd: ZstdAllowed::Yes,
                    topics: vec![ProduceTopic {
                        topic: topic.clone(),
                        partitions: vec![(0, Some(batch.clone()))],
                    }],
                };
                for answer in service.produce(call).await.await {
                    answer.result.map_err(|error| error.to_string())?;
                }
            }
            Ok::<_, String>(clock.now().mono.since(start).as_secs_f64())
        };
        self.broker.block_on(work)?.map_err(Failure::from)
    }

    fn delete(&self, topic: String) -> Result<(), Failure> {
        let service = self.service.clone();
        let topics = vec![TopicRef::Name(topic)];
        let work = async move { service.delete_topics(topics).await };
        for topic in self.broker.block_on(work)? {
            topic.result.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Reads the partition, all of batches like this one, from its start to its end; gives the
    /// bytes a second.
    fn fetch(&self, topic: String, batch: &ProducedBatch) -> Result<f64, Failure> {
        let service = self.service.clone();
        let clock = Arc::clone(service.clock());
        let (batch_bytes, records) = (batch.bytes().len(), batch.header().records_count);
        let work = async move {
            let start = clock.now().mono;
            let (mut batches, mut bytes) = (0, 0);
            loop {
                let offset = Offset(batches * i64::from(records));
                let answer = service.fetch(fetch_call(&topic, offset)).await.remove(0);
                let read = answer
                    .result
                    .map_err(|error| error.to_string())?
                    .records_bytes();
                if read == 0 {
                    break;
                }
                bytes += read;
                batches += (read / batch_bytes) as i64;
            }
            Ok::<_, String>(rate(bytes, clock.now().mono.since(start).as_secs_f64()))
        };
        self.broker.block_on(work)?.map_err(Failure::from)
    }
}

fn fetch_call(topic: &str, fetch_offset: Offset) -> FetchCall {
    FetchCall {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: READ_BYTES_I32,
        isolation: Isolation::ReadUncommitted,
        partitions: vec![FetchPartition {
            topic: TopicRef::Name(topic.to_owned()),
            partition: 0,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            fetch_offset,
            max_bytes: READ_BYTES_I32,
        }],
    }
}

fn service_append(run: &Run, count: usize) -> Result<Turns, Failure> {
    let folder = run.folder("produce")?;
    let rig = Rig::new(folder.path())?;
    let raw_folder = run.folder("produce-raw")?;
    let path = raw_folder.path().join("written");
    let batch = load::batch(PIECE_BYTES)?;
    let mut number = 0;
    let figure = || {
        number += 1;
        let topic = format!("topic-{number}");
        rig.topic(topic.clone())?;
        // The first batch makes the files, as the loop's is made before it is measured.
        rig.produce(topic.clone(), batch.clone(), 1)?;
        let seconds = rig.produce(topic.clone(), batch.clone(), count)?;
        rig.delete(topic)?;
        Ok(rate(count * batch.len(), seconds))
    };
    run.turns(figure, || Ok(raw::write_loop(run, &path, &batch, count)?))
}

fn shard_read(run: &Run, count: usize) -> Result<Turns, Failure> {
    let batch = load::produced(PIECE_BYTES)?;
    let disk = Disk::new(run, "read")?;
    let id = disk.log(0, Durability::PageCache)?;
    for _ in 0..count {
        disk.shard
            .append_wait(id, batch.clone(), AckAt::Durable, run.now())?;
    }
    let reader = disk.shard.reader(id).ok_or("the log is open")?;
    read_all(&reader)?;
    let figure = || -> Result<f64, Failure> {
        let (seconds, bytes) = run.seconds(|| read_all(&reader));
        Ok(rate(bytes?, seconds))
    };
    against_pread(run, "read-raw", batch.bytes(), count, figure)
}

fn read_all(reader: &LogReader) -> Result<usize, LogError> {
    let (mut offset, mut bytes) = (Offset(0), 0);
    loop {
        let slice = reader.read(offset, READ_BYTES, UpTo::Durable, Minimum::OneBatch)?;
        if slice.bytes == 0 {
            return Ok(bytes);
        }
        bytes += std::hint::black_box(&slice).bytes;
        offset = slice.next_offset;
    }
}

fn service_read(run: &Run, count: usize) -> Result<Turns, Failure> {
    let folder = run.folder("fetch")?;
    let rig = Rig::new(folder.path())?;
    let batch = load::produced(PIECE_BYTES)?;
    rig.topic("t".to_owned())?;
    rig.produce("t".to_owned(), batch.bytes().clone(), count)?;
    rig.fetch("t".to_owned(), &batch)?;
    against_pread(run, "fetch-raw", batch.bytes(), count, || {
        rig.fetch("t".to_owned(), &batch)
    })
}

/// Turns against a loop of page-aligned reads of as much each, from a file that was just written.
fn against_pread(
    run: &Run,
    name: &str,
    batch: &[u8],
    count: usize,
    figure: impl FnMut() -> Result<f64, Failure>,
) -> Result<Turns, Failure> {
    let folder = run.folder(name)?;
    let mut file = raw::create(&folder.path().join("read"))?;
    (0..count).try_for_each(|_| file.write_all(batch))?;
    let pieces = count * batch.len() / READ_BYTES;
    let limit = || Ok(raw::pread_loop(run, &file, READ_BYTES, pieces)?);
    run.turns(figure, limit)
}

/// What a consumer asks for by default.
const READ_BYTES: usize = 1 << 20;
const READ_BYTES_I32: i32 = 1 << 20;
