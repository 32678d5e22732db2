//! What the tests share: a broker on a disk in memory, batches, and short questions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{FetchError, OffsetsError, ProduceError};
use highwater_broker::ids::TopicRef;
use highwater_broker::service::Service;
use highwater_broker::service::fetch::{FetchCall, FetchPartition, Fetched, Isolation};
use highwater_broker::service::offsets::{ListOffsetsPartition, ListedOffset, OffsetAt};
use highwater_broker::service::produce::{Acks, ProduceCall, ProduceTopic, Produced, ZstdAllowed};
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{Fs, OpenMode};
use highwater_log::types::Offset;
use highwater_proto::batch::{Batches, crc_of};
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::clock::Wall;
use highwater_proto::compress::Codec;
use highwater_proto::record::RecordIter;
use tokio::task::JoinHandle;

/// Where every broker of these tests starts: 2023-11-14.
pub(crate) const START: Wall = Wall(1_700_000_000_000);
const DIR: &str = "/data";

/// A broker with its disk and its clock.
pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) service: Service,
    pub(crate) clock: VirtualClock,
    pub(crate) fs: MemFs,
    pub(crate) config: BrokerConfig,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    pub(crate) fn with(config: BrokerConfig) -> Self {
        Self::over(MemFs::new(), VirtualClock::new(START), config)
    }

    pub(crate) fn over(fs: MemFs, clock: VirtualClock, config: BrokerConfig) -> Self {
        let disk = Arc::new(fs.clone());
        Self::on(disk, fs, clock, config)
    }

    /// A broker that sees another disk than the one that is looked into.
    pub(crate) fn on(
        disk: Arc<dyn Fs>,
        fs: MemFs,
        clock: VirtualClock,
        config: BrokerConfig,
    ) -> Self {
        let broker = Broker::builder()
            .fs(disk, DIR)
            .config(config.clone())
            .clock(Arc::new(clock.clone()))
            .start()
            .unwrap();
        let service = broker.service().clone();
        Self {
            broker,
            service,
            clock,
            fs,
            config,
        }
    }

    /// Stops in good order and starts again.
    pub(crate) async fn restart(self) -> Self {
        self.broker.shutdown().await.unwrap();
        drop(self.broker);
        Self::over(self.fs, self.clock, self.config)
    }

    /// The process dies: a new one starts over what it has written.
    pub(crate) fn kill(self) -> Self {
        let image = copy_of(&self.fs);
        Self::over(image, self.clock.clone(), self.config.clone())
    }

    pub(crate) async fn topic(&self, name: &str, partition_count: i32, configs: &[(&str, &str)]) {
        let topic = NewTopic {
            name: name.to_owned(),
            partition_count: Some(partition_count),
            configs: configs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), Some((*v).to_owned())))
                .collect(),
            ..NewTopic::default()
        };
        let call = CreateTopicsCall {
            topics: vec![topic],
            validate_only: false,
        };
        self.service
            .create_topics(call)
            .await
            .remove(0)
            .result
            .unwrap();
    }

    pub(crate) async fn produce(
        &self,
        topic: &str,
        batch: Bytes,
    ) -> Result<Produced, ProduceError> {
        self.produce_to(topic, 0, Some(batch), Acks::All).await
    }

    pub(crate) async fn produce_to(
        &self,
        topic: &str,
        partition: i32,
        batch: Option<Bytes>,
        acks: Acks,
    ) -> Result<Produced, ProduceError> {
        let call = ProduceCall {
            acks,
            transactional_id: None,
            zstd: ZstdAllowed::Yes,
            topics: vec![ProduceTopic {
                topic: topic.to_owned(),
                partitions: vec![(partition, batch)],
            }],
        };
        let mut answers = self.service.produce(call).await.await;
        assert_eq!(answers.len(), 1);
        let answer = answers.remove(0);
        assert_eq!(
            (answer.topic.as_str(), answer.partition),
            (topic, partition)
        );
        answer.result
    }

    pub(crate) async fn list(
        &self,
        topic: &str,
        at: OffsetAt,
    ) -> Result<ListedOffset, OffsetsError> {
        let asked = ListOffsetsPartition {
            topic: topic.to_owned(),
            partition: 0,
            current_leader_epoch: -1,
            at,
        };
        let isolation = Isolation::ReadUncommitted;
        self.service
            .list_offsets(isolation, vec![asked])
            .await
            .remove(0)
            .result
    }

    pub(crate) async fn end(&self, topic: &str) -> i64 {
        self.list(topic, OffsetAt::Latest).await.unwrap().offset.0
    }

    pub(crate) async fn start(&self, topic: &str) -> i64 {
        self.list(topic, OffsetAt::Earliest).await.unwrap().offset.0
    }

    /// Reads once, without waiting.
    pub(crate) async fn fetch(&self, topic: &str, offset: i64) -> Result<Fetched, FetchError> {
        let call = fetch_call(topic, offset);
        self.service.fetch(call).await.remove(0).result
    }

    /// The values of all records from an offset on.
    pub(crate) async fn values(&self, topic: &str, offset: i64) -> Vec<String> {
        records_of(&self.fetch(topic, offset).await.unwrap())
            .into_iter()
            .filter(|(at, _)| *at >= offset)
            .map(|(_, value)| value)
            .collect()
    }

    /// Lets the broker's tasks run until so many fetches wait.
    pub(crate) async fn until_parked(&self, count: usize) {
        until(|| self.service.parked_count() == count).await;
    }

    /// How many topics have files.
    pub(crate) fn fs_topics(&self) -> usize {
        // One directory is that of the metadata log.
        self.fs.list("/data/logs".as_ref()).unwrap().len() - 1
    }

    pub(crate) fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

/// Lets other tasks run until `is_so`; gives up after many turns, so that a defect is a failure.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..2_000_000_u64 {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to be");
}

/// What a task answers; a task that does not end is a failure, not a test that hangs.
pub(crate) async fn answer_of<T>(task: JoinHandle<T>) -> T {
    until(|| task.is_finished()).await;
    task.await.unwrap()
}

pub(crate) fn fetch_call(topic: &str, offset: i64) -> FetchCall {
    FetchCall {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: i32::MAX,
        isolation: Isolation::ReadUncommitted,
        partitions: vec![fetch_partition(topic, 0, offset)],
    }
}

pub(crate) fn fetch_partition(topic: &str, partition: i32, offset: i64) -> FetchPartition {
    FetchPartition {
        topic: TopicRef::from(topic),
        partition,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        fetch_offset: Offset(offset),
        max_bytes: i32::MAX,
    }
}

/// A batch of these values, each with a key, one millisecond apart from `START` on.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    batch_of(Codec::None, None, &at_start(values))
}

pub(crate) fn idempotent(id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    let producer = Producer {
        id,
        epoch,
        base_sequence,
    };
    batch_of(Codec::None, Some(producer), &at_start(values))
}

fn at_start<'a>(values: &[&'a str]) -> Vec<(i64, Option<&'a str>, &'a str)> {
    (START.0..)
        .zip(values)
        .map(|(time, value)| (time, Some("key"), *value))
        .collect()
}

/// A batch of (timestamp, key, value).
pub(crate) fn batch_of(
    codec: Codec,
    producer: Option<Producer>,
    records: &[(i64, Option<&str>, &str)],
) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.set_producer(producer);
    for (timestamp, key, value) in records {
        builder
            .append(
                *timestamp,
                key.map(str::as_bytes),
                Some(value.as_bytes()),
                &[],
            )
            .unwrap();
    }
    builder.build().unwrap()
}

/// The batch with other bytes in its header, and the checksum that belongs to them.
pub(crate) fn edited(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let mut changed = BytesMut::from(&batch[..]);
    changed[position..position + bytes.len()].copy_from_slice(bytes);
    let crc = crc_of(&changed).to_be_bytes();
    changed[17..21].copy_from_slice(&crc);
    changed.freeze()
}

/// Offset and value of each record that was fetched.
pub(crate) fn records_of(fetched: &Fetched) -> Vec<(i64, String)> {
    let bytes = fetched.records.concat();
    let mut records = Vec::new();
    for batch in Batches::new(&bytes) {
        let batch = Bytes::copy_from_slice(batch.unwrap().bytes);
        for record in RecordIter::new(batch, usize::MAX).unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            records.push((record.offset, value));
        }
    }
    records
}

/// A copy of everything that stands on the disk, as a process finds it that starts after another
/// was killed.
pub(crate) fn copy_of(fs: &MemFs) -> MemFs {
    let copy = MemFs::new();
    copy.create_dir(Path::new(DIR)).unwrap();
    copy_dir(fs, &copy, Path::new(DIR));
    copy
}

fn copy_dir(source: &MemFs, target: &MemFs, dir: &Path) {
    for name in source.list(dir).unwrap() {
        let path = dir.join(name);
        if source.list(&path).is_ok() {
            target.create_dir(&path).unwrap();
            copy_dir(source, target, &path);
            continue;
        }
        let file = source.open(&path, OpenMode::Read).unwrap();
        let bytes = file
            .read_at(0, usize::try_from(file.len().unwrap()).unwrap())
            .unwrap();
        let copy = target.create(&path).unwrap();
        copy.write_at(0, &[std::io::IoSlice::new(&bytes)]).unwrap();
        copy.sync().unwrap();
    }
    target.sync_dir(dir).unwrap();
}
