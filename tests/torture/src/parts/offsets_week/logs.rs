//! The logs of `__consumer_offsets`: what their groups hold, and what their files take.
//!
//! Invariants
//! - What the groups hold is what is read from the log: the last value of each key, in batches of
//!   one group, as a rewriting writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::Service;
use highwater_broker::service::fetch::{FetchCall, FetchPartition, Fetched, Isolation};
use highwater_broker::service::offsets::{ListOffsetsPartition, OffsetAt};
use highwater_kit::scales::Scales;
use highwater_log::types::{LogId, Offset};
use highwater_proto::batch::{Batches, HEADER_BYTES};
use highwater_proto::group_log::GroupRecord;
use highwater_proto::record::RecordIter;

use super::week::DATA_DIR;

/// One partition, over the week.
#[derive(Debug)]
pub(super) struct GroupsLog {
    pub(super) partition: i32,
    dir: PathBuf,
    segment_bytes: u64,
    /// What its groups hold.
    pub(super) live_bytes: u64,
    /// The most that its files took.
    pub(super) peak_bytes: u64,
    start: i64,
    /// How often its start was found to have moved.
    pub(super) rewritings: u64,
}

impl GroupsLog {
    /// All of them; the first records are there.
    pub(super) fn all(service: &Service, partitions: i32, segment_bytes: u64) -> Vec<Self> {
        let topic = service.topic_id(OFFSETS_TOPIC);
        let log = |partition: i32| {
            let id = LogId {
                topic: topic?.0,
                partition: partition.unsigned_abs(),
            };
            Some(Self {
                partition,
                dir: Path::new(DATA_DIR).join("logs").join(id.to_string()),
                segment_bytes,
                live_bytes: 0,
                peak_bytes: 0,
                start: 0,
                rewritings: 0,
            })
        };
        (0..partitions).filter_map(log).collect()
    }

    /// The most that its files may take.
    pub(super) const fn bytes_max(&self) -> u64 {
        2 * self.live_bytes + self.segment_bytes
    }

    /// Looks at what happened since the last question.
    pub(super) async fn look(&mut self, scales: &Scales, service: &Service) -> Result<(), String> {
        let peak = scales.take_peak(&self.dir);
        self.peak_bytes = self.peak_bytes.max(peak);
        if peak > self.bytes_max() || peak < self.live_bytes {
            return Err(format!(
                "the files of partition {} take {peak} bytes: its groups hold {}, a segment has {}",
                self.partition, self.live_bytes, self.segment_bytes
            ));
        }
        let start = start_of(service, self.partition).await?;
        if start != self.start {
            self.start = start;
            self.rewritings += 1;
        }
        Ok(())
    }

    /// Reads what the groups hold, so many offsets each; says how many groups there are.
    pub(super) async fn weigh(
        &mut self,
        service: &Service,
        offsets: usize,
    ) -> Result<usize, String> {
        let table = table_of(service, self.partition).await?;
        let mut groups = BTreeMap::<String, usize>::new();
        for (key, value) in &table {
            match GroupRecord::decode(key, Some(value)).map_err(|error| error.to_string())? {
                GroupRecord::Offset { group, .. } => *groups.entry(group).or_default() += 1,
                other => return Err(format!("nobody has written {other:?}")),
            }
        }
        let counts: BTreeSet<usize> = groups.values().copied().collect();
        if counts != BTreeSet::from([offsets]) {
            let partition = self.partition;
            return Err(format!(
                "groups of partition {partition} have {counts:?} offsets"
            ));
        }
        let records = table.iter();
        let bytes = records.map(|(key, value)| key.len() + value.len() + RECORD_BYTES);
        self.live_bytes = (groups.len() * HEADER_BYTES + bytes.sum::<usize>()) as u64;
        Ok(groups.len())
    }
}

async fn start_of(service: &Service, partition: i32) -> Result<i64, String> {
    let asked = ListOffsetsPartition {
        topic: OFFSETS_TOPIC.to_owned(),
        partition,
        current_leader_epoch: -1,
        at: OffsetAt::Earliest,
    };
    let isolation = Isolation::ReadUncommitted;
    let listed = service.list_offsets(isolation, vec![asked]).await.remove(0);
    let listed = listed.result.map_err(|error| error.to_string())?;
    Ok(listed.offset.0)
}

/// The last value of each key, as a reader of the topic finds them.
async fn table_of(service: &Service, partition: i32) -> Result<BTreeMap<Bytes, Bytes>, String> {
    let mut table = BTreeMap::new();
    let mut next = start_of(service, partition).await?;
    loop {
        let fetched = fetch(service, partition, next).await?;
        if fetched.records.is_empty() {
            return Ok(table);
        }
        let bytes = Bytes::from(fetched.records.concat());
        for batch in Batches::new(&bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            let records = RecordIter::new(bytes.slice_ref(batch.bytes), usize::MAX);
            for record in records.map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                next = record.offset + 1;
                let key = record.key.ok_or("a record has no key")?;
                match record.value {
                    Some(value) => table.insert(key, value),
                    None => table.remove(&key),
                };
            }
        }
    }
}

async fn fetch(service: &Service, partition: i32, offset: i64) -> Result<Fetched, String> {
    let call = FetchCall {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: FETCH_BYTES,
        isolation: Isolation::ReadCommitted,
        partitions: vec![FetchPartition {
            topic: TopicRef::from(OFFSETS_TOPIC),
            partition,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            fetch_offset: Offset(offset),
            max_bytes: FETCH_BYTES,
        }],
    };
    let fetched = service.fetch(call).await.remove(0).result;
    fetched.map_err(|error| format!("partition {partition} at {offset}: {error}"))
}

const OFFSETS_TOPIC: &str = "__consumer_offsets";
const FETCH_BYTES: i32 = 1 << 20;
/// What a record has around key and value: lengths, attributes, deltas, a byte each.
const RECORD_BYTES: usize = 7;
