//! One partition for readers: its log, or the empty log of a partition without files.
//!
//! Floor 3 of broker.
//!
//! Invariants
//! - A partition that was never written reads as a log that starts and ends at 0.
//! - Nothing at or above the readable bound is handed out.

use highwater_log::error::LogError;
use highwater_log::reader::{LogReader, Minimum, Slice, TimeHit, UpTo};
use highwater_log::types::{LeaderEpoch, LogId, Offset};

use crate::error::EpochError;
use crate::shard::Shard;

/// One partition, to be read.
#[derive(Clone, Debug)]
pub struct Partition {
    id: LogId,
    /// The current leader epoch of all logs.
    epoch: LeaderEpoch,
    reader: Option<LogReader>,
}

impl Partition {
    /// The partition whose log this is, as the shard has it now.
    #[must_use]
    pub fn new(shard: &Shard, id: LogId, epoch: LeaderEpoch) -> Self {
        Self {
            id,
            epoch,
            reader: shard.reader(id),
        }
    }

    /// Its log.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.id
    }

    /// Its leader epoch.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The first offset.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.reader.as_ref().map_or(Offset::ZERO, LogReader::start)
    }

    /// Where what a consumer may read ends.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.reader
            .as_ref()
            .map_or(Offset::ZERO, LogReader::durable)
    }

    /// Where what a reader of committed records may read ends.
    #[must_use]
    pub fn last_stable(&self) -> Offset {
        self.reader
            .as_ref()
            .map_or(Offset::ZERO, |reader| reader.marks().stable())
    }

    /// The next offset to be written.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.reader.as_ref().map_or(Offset::ZERO, LogReader::end)
    }

    /// The bytes of its segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.reader.as_ref().map_or(0, LogReader::size_bytes)
    }

    /// Counts bytes that a consumer gets.
    pub fn count_fetched(&self, bytes: u64) {
        if let Some(reader) = &self.reader {
            reader.count_fetched(bytes);
        }
    }

    /// Bytes that were produced and fetched since the log was opened.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        self.reader.as_ref().map_or((0, 0), LogReader::counted)
    }

    /// Events that were appended since the log was opened, and conflicts.
    pub fn counted_events(&self) -> (u64, u64) {
        let counted = self.reader.as_ref().map(LogReader::counted_events);
        counted.unwrap_or_default()
    }

    /// The memory that the index of its keys takes.
    pub fn key_index_bytes(&self) -> u64 {
        let size = self.reader.as_ref().and_then(LogReader::key_index_size);
        size.map_or(0, |size| size.memory_bytes)
    }

    /// Whole batches from the one that contains `from`, below the high watermark.
    pub fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        minimum: Minimum,
    ) -> Result<Option<Slice>, LogError> {
        match &self.reader {
            Some(reader) if from < reader.durable() => reader
                .read(from, bytes_max, UpTo::Durable, minimum)
                .map(Some),
            _ => Ok(None),
        }
    }

    /// `offset`, or where reads go on behind the damage that holds it.
    #[must_use]
    pub fn behind_gap(&self, offset: Offset) -> Offset {
        let reader = self.reader.as_ref();
        reader.map_or(offset, |reader| reader.behind_gap(offset))
    }

    /// The first readable record whose timestamp is not below this one. Reads the disk.
    pub fn find_time(&self, timestamp_ms: i64) -> Result<Option<TimeHit>, LogError> {
        self.reader
            .as_ref()
            .map_or(Ok(None), |reader| reader.find_time(timestamp_ms))
    }

    /// The readable record with the largest timestamp. Reads the disk.
    pub fn max_timestamp(&self) -> Result<Option<TimeHit>, LogError> {
        self.reader
            .as_ref()
            .map_or(Ok(None), LogReader::max_timestamp)
    }

    /// The largest known epoch that is not above the asked one, and where it ends.
    #[must_use]
    pub fn epoch_end(&self, epoch: i32) -> (i32, Offset) {
        match &self.reader {
            Some(reader) => reader.epoch_end(epoch),
            // The history of an empty log is one epoch that starts and ends at 0.
            None if (0..=self.epoch.0).contains(&epoch) => (epoch, Offset::ZERO),
            None => (-1, Offset(-1)),
        }
    }

    /// The epoch of the record at an offset, or of the one that will be written there; -1 if none
    /// is known.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> i32 {
        let known = match &self.reader {
            Some(reader) => reader.epoch_at(offset),
            None => Some(self.epoch),
        };
        known.map_or(-1, |epoch| epoch.0)
    }

    /// Compares the epoch that a request knows with the current one; -1 knows none.
    pub fn check_epoch(&self, asked: i32) -> Result<(), EpochError> {
        let current = self.epoch.0;
        match asked {
            _ if asked < 0 || asked == current => Ok(()),
            _ if asked < current => Err(EpochError::Fenced { asked, current }),
            _ => Err(EpochError::Unknown { asked, current }),
        }
    }
}
