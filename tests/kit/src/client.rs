//! The side of a workload that a crash of the log does not touch: what was sent, what was
//! answered, and the clock.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use highwater_log::config::{Durability, LogConfig};
use highwater_log::types::{LeaderEpoch, LogId};
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::clock::{Mono, Now, Wall};
use highwater_proto::compress::Codec;

use crate::model::{LogModel, Model, Removal};

/// An `fsync` log with an idempotent producer.
pub const A: LogId = LogId {
    topic: [0xA; 16],
    partition: 0,
};
/// An `fsync` log with a producer that has no id.
pub const B: LogId = LogId {
    topic: [0xB; 16],
    partition: 7,
};
/// A `page-cache` log with a producer that has no id.
pub const P: LogId = LogId {
    topic: [0xB; 16],
    partition: 8,
};
/// Like [`A`]; a step of a workload creates it, under another id each time: the id of a log that
/// was removed is never used again.
const fn created(number: u8) -> LogId {
    LogId {
        topic: [0xC0 + number % 0x40; 16],
        partition: 0,
    }
}

/// The directory of a log.
#[must_use]
pub fn dir(id: LogId) -> PathBuf {
    Path::new(DATA_DIR)
        .join("logs")
        .join(id.topic_dir())
        .join(id.partition.to_string())
}

/// The first segment of a log.
#[must_use]
pub fn first_segment(id: LogId) -> PathBuf {
    dir(id).join("00000000000000000000.log")
}

/// Where the data directory lies on the simulated disk.
pub const DATA_DIR: &str = "/data";

/// Sizes and limits of the logs of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The size at which a segment is sealed.
    pub segment_bytes: u64,
    /// The largest size of each of the two journal files; below 8 KiB there is none.
    pub journal_bytes: u64,
    /// A log with more bytes in one cycle is synced by itself.
    pub journal_batch_bytes_max: usize,
    /// What a small batch is.
    pub small: Size,
    /// What a large batch is.
    pub large: Size,
    /// How many bytes the log [`B`] keeps, within a segment.
    pub retention_bytes: u64,
    /// Whether each unclean start begins a leader epoch, as a broker does.
    pub raises_epochs: bool,
    /// Whether the logs have a key index. All records of a workload have one key, so that the
    /// revision of each is its offset.
    pub keys: bool,
}

/// The form of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many records it has.
    pub records: usize,
    /// The length of each value, at least.
    pub value_bytes: usize,
}

impl Size {
    /// About 100 bytes.
    pub const SMALL: Self = Self {
        records: 2,
        value_bytes: 0,
    };
    /// Three sectors.
    pub const LARGE: Self = Self {
        records: 1,
        value_bytes: 1400,
    };
    /// A sector, to the byte: a power cut takes it or leaves it, whole.
    pub const SECTOR: Self = Self {
        records: 1,
        value_bytes: 439,
    };
}

impl Shape {
    /// Small limits, so that two steps meet every border: a segment holds three large batches.
    pub const SMALL: Self = Self {
        segment_bytes: 4096,
        journal_bytes: 16 << 10,
        journal_batch_bytes_max: 64 << 10,
        small: Size::SMALL,
        large: Size::LARGE,
        retention_bytes: 12 << 10,
        raises_epochs: false,
        keys: false,
    };

    /// The policies of a log of this shape.
    #[must_use]
    pub fn config(&self, id: LogId, durability: Durability) -> LogConfig {
        LogConfig {
            segment_bytes: self.segment_bytes,
            segment_ms: SEGMENT_MS,
            retention_ms: Some(RETENTION_MS),
            retention_bytes: (id == B).then_some(self.retention_bytes),
            index_interval_bytes: INDEX_INTERVAL_BYTES,
            durability,
            // No producer of a workload is idle for so long.
            producer_id_expiration_ms: 1000 * RETENTION_MS,
            key_index: self.keys,
            ..LogConfig::default()
        }
    }
}

/// What the acknowledgement of a new log means.
#[must_use]
pub fn durability(id: LogId) -> Durability {
    if id == P {
        Durability::PageCache
    } else {
        Durability::Fsync
    }
}

/// The key of every record.
pub const KEY: &[u8] = b"key";
/// Bytes between two entries of an index.
pub const INDEX_INTERVAL_BYTES: u32 = 256;
/// The age at which a segment is sealed.
pub const SEGMENT_MS: i64 = 60_000;
/// The age at which a sealed segment may be deleted.
pub const RETENTION_MS: i64 = 3_600_000;

/// What survives every crash of the log.
#[derive(Clone, Debug)]
pub struct Client {
    /// What must be in the logs.
    pub model: Model,
    /// The clock: moved by the workload only.
    pub now: Now,
    /// The leader epoch: what raised it is durable.
    pub epoch: LeaderEpoch,
    /// Values sent so far; each is in one batch only.
    values: u64,
    /// Logs created and removed so far.
    removed: u8,
}

impl Client {
    /// A client that has sent nothing.
    #[must_use]
    pub fn new() -> Self {
        // A wall clock of 2023; monotonic time starts somewhere, not at 0.
        let now = Now {
            mono: Mono(1_000_000_000),
            wall: Wall(1_700_000_000_000),
        };
        Self {
            model: Model::default(),
            now,
            epoch: LeaderEpoch(0),
            values: 0,
            removed: 0,
        }
    }

    /// Moves the clock.
    pub fn pass(&mut self, ms: i64) {
        self.now.wall.0 += ms;
        self.now.mono.0 += ms.unsigned_abs() * 1_000_000;
    }

    /// Somebody sets the wall clock.
    pub fn jump(&mut self, ms: i64) {
        self.now.wall.0 += ms;
    }

    /// The monotonic clock in milliseconds.
    #[must_use]
    pub fn mono_ms(&self) -> i64 {
        i64::try_from(self.now.mono.0 / 1_000_000).expect("a workload lasts for years, not ages")
    }

    /// The model of a log; a new one if the log was never named.
    pub fn log(&mut self, id: LogId) -> &mut LogModel {
        self.model
            .logs
            .entry(id)
            .or_insert_with(|| LogModel::new(durability(id)))
    }

    /// The log that a step creates or removes.
    #[must_use]
    pub const fn newest(&self) -> LogId {
        created(self.removed)
    }

    /// A log is about to be created: a new one, if somebody asked for the removal of the newest.
    pub fn create(&mut self) -> LogId {
        let newest = self.newest();
        if self
            .model
            .logs
            .get(&newest)
            .is_some_and(|log| log.removal != Removal::No)
        {
            self.removed += 1;
        }
        self.newest()
    }

    /// Consumers begin to read at the start of each log again.
    pub fn rewind(&mut self) {
        self.model.logs.values_mut().for_each(|log| log.read_to = 0);
    }

    /// Every log that was ever named, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<LogId> {
        self.model.logs.keys().copied().collect()
    }

    /// Those of which nobody asked for the removal.
    #[must_use]
    pub fn open_ids(&self) -> Vec<LogId> {
        let open = self
            .model
            .logs
            .iter()
            .filter(|(_, log)| log.removal == Removal::No);
        open.map(|(id, _)| *id).collect()
    }

    /// The next batch for a log.
    pub fn batch(&mut self, id: LogId, size: Size) -> Bytes {
        let mut builder = BatchBuilder::new(Codec::None);
        if is_idempotent(id) {
            let base_sequence = self.log(id).next_sequence();
            builder.set_producer(Some(Producer {
                id: PRODUCER_ID,
                epoch: 0,
                base_sequence,
            }));
        }
        self.pass(10);
        for _ in 0..size.records {
            self.values += 1;
            // Time goes back now and then, as producers' clocks do.
            let timestamp = self.now.wall.0 - i64::from(self.values.is_multiple_of(3)) * 25;
            let mut value = format!("value {:08}", self.values).into_bytes();
            value.resize(value.len().max(size.value_bytes), b'.');
            builder
                .append(timestamp, Some(KEY), Some(&value), &[])
                .expect("the batch has room");
        }
        builder.build().expect("a batch with a record can be built")
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the producer of a log has an id.
#[must_use]
pub fn is_idempotent(id: LogId) -> bool {
    id == A || id.topic[0] >= 0xC0
}

const PRODUCER_ID: i64 = 4711;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_a_sector_is_one_to_the_byte() {
        let mut client = Client::new();
        for id in [A, B, P] {
            assert_eq!(client.batch(id, Size::SECTOR).len(), 512);
        }
    }
}
