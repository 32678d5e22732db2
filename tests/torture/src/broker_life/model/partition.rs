//! One partition: which offset holds what, and which of it must outlive what.
//!
//! Invariants
//! - `strong <= written`: what outlives a power cut outlives a death of the process.

use std::collections::BTreeMap;

/// A record: which client sent it, and which of its records it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::broker_life) struct Value {
    pub(in crate::broker_life) client: u32,
    pub(in crate::broker_life) number: u32,
}

/// What the end of a broker left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker_life) enum Survived {
    /// What was synced.
    Synced,
    /// What was written.
    Written,
}

/// A record as it was found in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker_life) struct Found {
    pub(in crate::broker_life) offset: i64,
    pub(in crate::broker_life) value: Value,
    pub(in crate::broker_life) timestamp: i64,
    pub(in crate::broker_life) epoch: i32,
    /// Producer, its epoch, and the record's sequence; of an idempotent producer.
    pub(in crate::broker_life) producer: Option<(i64, i16, i32)>,
}

#[derive(Debug, Default)]
pub(in crate::broker_life) struct Partition {
    /// Values by offset, as far as they are known and not deleted.
    pub(in crate::broker_life) known: BTreeMap<i64, Value>,
    /// Every value that was ever seen, by leader epoch and offset.
    ever: BTreeMap<(i32, i64), Value>,
    /// All below it outlives a power cut.
    pub(in crate::broker_life) strong: i64,
    /// All below it outlives the process.
    pub(in crate::broker_life) written: i64,
    /// The first offset, as it was told.
    pub(in crate::broker_life) start: i64,
    /// The highest offset below which records were to be deleted.
    pub(in crate::broker_life) start_asked: i64,
    /// Ends that a background sync will have covered at a time: (milliseconds, end).
    pub(in crate::broker_life) syncing: Vec<(u64, i64)>,
    /// The times of the records, for retention.
    pub(in crate::broker_life) timestamps: BTreeMap<i64, i64>,
}

impl Partition {
    /// A value at an offset, by an acknowledgement or a read.
    pub(super) fn saw(
        &mut self,
        offset: i64,
        value: Value,
        epoch: Option<i32>,
    ) -> Result<(), String> {
        match self.known.insert(offset, value) {
            Some(before) if before != value => {
                return Err(format!("offset {offset} held {before:?}, now {value:?}"));
            }
            _ => {}
        }
        let Some(epoch) = epoch else { return Ok(()) };
        match self.ever.insert((epoch, offset), value) {
            Some(before) if before != value => Err(format!(
                "offset {offset} of epoch {epoch} held {before:?}, now {value:?}"
            )),
            _ => Ok(()),
        }
    }

    /// All below `end` outlives a power cut.
    pub(in crate::broker_life) fn is_durable_below(&mut self, end: i64) {
        self.strong = self.strong.max(end);
        self.written = self.written.max(end);
    }

    /// All below `end` outlives the process; the background sync has it by `synced_at_ms`.
    pub(in crate::broker_life) fn is_written_below(&mut self, end: i64, synced_at_ms: Option<u64>) {
        self.written = self.written.max(end);
        if let Some(at) = synced_at_ms {
            self.syncing.push((at, end));
        }
    }

    /// The background sync has had its time.
    pub(in crate::broker_life) fn time_is(&mut self, now_ms: u64) {
        let due = self.syncing.iter().filter(|(at, _)| *at <= now_ms);
        let end = due.map(|(_, end)| *end).max().unwrap_or(0);
        self.syncing.retain(|(at, _)| *at > now_ms);
        self.is_durable_below(end);
    }

    /// The first offset, as the broker tells it. `None` if it may be so.
    pub(in crate::broker_life) fn saw_start(&mut self, start: i64) -> Option<String> {
        if start < self.start {
            return Some(format!("the start was {}, now {start}", self.start));
        }
        self.start = start;
        self.known = self.known.split_off(&start);
        None
    }

    /// Where the log must reach to, at least.
    pub(in crate::broker_life) fn floor(&self, survived: Survived) -> i64 {
        match survived {
            Survived::Synced => self.strong,
            Survived::Written => self.written,
        }
    }

    /// After a start the disk failed a read of it: what may be lost is not known any more.
    pub(in crate::broker_life) fn is_unread(&mut self, survived: Survived) -> Vec<Value> {
        let floor = self.floor(survived);
        let lost = self.known.split_off(&floor);
        self.timestamps.split_off(&floor);
        self.syncing.clear();
        self.written = floor;
        lost.into_values().collect()
    }

    /// The log ends at `end` after a start: what was beyond is lost.
    pub(in crate::broker_life) fn ends_at(&mut self, end: i64) -> Vec<Value> {
        let lost = self.known.split_off(&end);
        self.timestamps.split_off(&end);
        self.syncing.clear();
        // What a start has found it has synced.
        self.strong = end;
        self.written = end;
        lost.into_values().collect()
    }
}
