//! Reads the records of one key, without a scan.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - The records of a stream come in the order of their revisions, and none that is not durable.
//! - What the index says is compared with what is stored: key, offset and checksum.
//! - At most one batch is open at a time.

use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::batch::{BatchHeader, HEADER_BYTES, check_crc};
use highwater_proto::record::{Record, RecordIter};

use super::LogReader;
use super::walk::{ACCEPTED_BYTES_MAX, Searched};
use crate::error::LogError;
use crate::key_index::{Entry, KeyIndex, KeyIndexSize};
use crate::keys::{Head, KeyHash, KeySeed, Keyed};
use crate::segment::corrupt;
use crate::types::Offset;
use crate::view::View;

/// Which records of a stream are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAsk {
    /// The first revision.
    pub from_revision: u64,
    /// The last revision that is wanted.
    pub revision_max: u64,
    /// Records at this offset and above are not wanted.
    pub below: Offset,
    /// The most bytes of values and headers, and 64 a record and 16 a header besides; the first
    /// record comes all the same.
    pub bytes_max: usize,
}

impl Default for StreamAsk {
    /// All that is durable, up to a mebibyte.
    fn default() -> Self {
        Self {
            from_revision: 0,
            revision_max: u64::MAX,
            below: Offset(i64::MAX),
            bytes_max: 1 << 20,
        }
    }
}

/// One record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its revision.
    pub revision: u64,
    /// The record.
    pub record: Record,
}

/// A part of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSlice {
    /// The records, in order. Revisions are missing only where retention has removed records.
    pub records: Vec<StreamRecord>,
    /// Whether nothing more of what is wanted is there now.
    pub is_complete: bool,
}

/// The batch that was opened last.
#[derive(Default)]
struct OpenBatch {
    position: u32,
    /// Sorted by offset.
    records: Vec<Record>,
}

impl LogReader {
    /// What the keys of the log are hashed with; `None` for a log without a key index.
    #[must_use]
    pub fn key_seed(&self) -> Option<KeySeed> {
        Some(self.key_index()?.seed())
    }

    /// How large the log's key index is.
    #[must_use]
    pub fn key_index_size(&self) -> Option<KeyIndexSize> {
        Some(self.key_index()?.size())
    }

    /// Looks up the keys of an append before it is queued, so that its log need not read the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn prepare(&self, keyed: &Keyed) -> Result<(), LogError> {
        let Some(index) = self.key_index() else {
            return Ok(());
        };
        let of_checks = keyed.checks.iter().map(|check| check.key);
        let keys = of_checks.chain(keyed.records.iter().map(|record| record.key));
        let mut done = None;
        for key in keys {
            // Most appends expect something of the one stream that they append to.
            if done.replace(key) == Some(key) {
                continue;
            }
            match index.prepare(key) {
                // The append itself mends the index.
                Ok(()) | Err(LogError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The last record of a stream that is durable.
    ///
    /// # Errors
    /// [`LogError::Keys`] for a log without a key index; the disk's.
    pub fn stream_head(&self, key: &[u8]) -> Result<Option<Head>, LogError> {
        let index = self.expect_keys()?;
        let hash = index.seed().hash(key);
        last_below(index, hash, self.durable())
    }

    /// The revision of the record of a key at an offset; `None` if there is no such record.
    ///
    /// # Errors
    /// [`LogError::Keys`] for a log without a key index; the disk's.
    pub fn revision_at(&self, key: KeyHash, offset: Offset) -> Result<Option<u64>, LogError> {
        let index = self.expect_keys()?;
        let last = last_below(index, key, Offset(offset.0.saturating_add(1)))?;
        Ok(last
            .filter(|head| head.offset == offset)
            .map(|head| head.revision))
    }

    /// Reads records of a stream.
    ///
    /// # Errors
    /// [`LogError::Keys`] for a log without a key index; [`LogError::Corrupt`] if a record is
    /// damaged; the disk's.
    pub fn stream(&self, key: &[u8], ask: &StreamAsk) -> Result<StreamSlice, LogError> {
        let index = self.expect_keys()?;
        let hash = index.seed().hash(key);
        let below = ask.below.min(self.durable());
        let view = self.shared.view.load();
        let (mut slice, mut batch) = (StreamSlice::default(), OpenBatch::default());
        let (mut next, mut bytes) = (ask.from_revision, 0);
        loop {
            let Ok(revision) = u32::try_from(next) else {
                slice.is_complete = true;
                return Ok(slice);
            };
            let entries = index.since(hash, revision, ENTRIES_AT_ONCE)?;
            let is_last = entries.len() < ENTRIES_AT_ONCE;
            for entry in entries {
                next = u64::from(entry.revision) + 1;
                if entry.offset >= below || u64::from(entry.revision) > ask.revision_max {
                    slice.is_complete = true;
                    return Ok(slice);
                }
                if entry.offset < self.start() {
                    continue;
                }
                let Some(record) = self.record_at(&view, &entry, &mut batch)? else {
                    continue;
                };
                if record.key.as_deref() != Some(key) {
                    continue;
                }
                bytes += weight(&record);
                if bytes > ask.bytes_max && !slice.records.is_empty() {
                    return Ok(slice);
                }
                let revision = u64::from(entry.revision);
                slice.records.push(StreamRecord { revision, record });
            }
            if is_last {
                slice.is_complete = true;
                return Ok(slice);
            }
        }
    }

    pub(crate) fn key_index(&self) -> Option<&Arc<KeyIndex>> {
        self.shared.keys.get()
    }

    fn expect_keys(&self) -> Result<&Arc<KeyIndex>, LogError> {
        self.key_index().ok_or_else(|| LogError::Keys {
            why: "the log has no key index (append.conditional)".to_owned(),
        })
    }

    /// The record of an entry, from the batch that is open or from its own; `None` if retention has
    /// removed it meanwhile.
    fn record_at(
        &self,
        view: &View,
        entry: &Entry,
        open: &mut OpenBatch,
    ) -> Result<Option<Record>, LogError> {
        let holds = |records: &[Record]| {
            let place = records.binary_search_by_key(&entry.offset.0, |record| record.offset);
            place.ok().map(|place| records[place].clone())
        };
        if open.position == entry.position
            && let Some(record) = holds(&open.records)
        {
            return Ok(Some(record));
        }
        if entry.offset < view.first() {
            return Ok(None);
        }
        let batch = match self.batch_at(view, entry) {
            Ok(batch) => batch,
            // Retention has removed the file since the View was loaded.
            Err(_) if entry.offset < self.start() => return Ok(None),
            Err(error) => return Err(error),
        };
        let records = RecordIter::new(batch, ACCEPTED_BYTES_MAX)?;
        open.records = records.collect::<Result<_, _>>()?;
        open.position = entry.position;
        Ok(holds(&open.records))
    }

    /// The batch that the index says begins at a position.
    fn batch_at(&self, view: &View, entry: &Entry) -> Result<Bytes, LogError> {
        let segment = match view.sealed_slot(entry.offset) {
            Some(slot) => Searched::Sealed(&view.sealed[slot]),
            None => Searched::Active(&view.active),
        };
        let file = segment.file()?;
        let position = u64::from(entry.position);
        let left = segment.bytes().saturating_sub(position);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let read = |bytes: usize| {
            let bytes = file.read_at(position, bytes.min(left));
            bytes.map_err(|error| self.io(segment, error))
        };
        let wrong = |why: &str| corrupt(&self.shared.dir, segment.base(), position, why);
        let mut bytes = read(READ_BYTES)?;
        let total = match BatchHeader::parse(&bytes) {
            Ok(header) if holds(&header, entry.offset) => header.total_bytes(),
            _ => return Err(wrong("the batch is not the one that the key index names")),
        };
        if bytes.len() < total {
            bytes = read(total)?;
        }
        if bytes.len() < total.max(HEADER_BYTES) {
            return Err(wrong("the batch is cut off"));
        }
        let batch = bytes.slice(..total);
        match check_crc(&batch) {
            Ok(()) => Ok(batch),
            Err(_) => Err(wrong("the batch is not what was written")),
        }
    }
}

/// The last record of a key below an offset.
fn last_below(index: &KeyIndex, key: KeyHash, below: Offset) -> Result<Option<Head>, LogError> {
    let last = index.head(key)?;
    let Some(later) = last.filter(|head| head.offset >= below) else {
        return Ok(last);
    };
    // Offsets rise with revisions.
    let (mut low, mut high, mut found) = (0, later.revision, None);
    while low < high {
        let middle = low.midpoint(high);
        let revision = u32::try_from(middle).unwrap_or(u32::MAX);
        match index.since(key, revision, 1)?.first().map(Entry::head) {
            Some(head) if head.offset < below => {
                low = head.revision + 1;
                found = Some(head);
            }
            _ => high = middle,
        }
    }
    Ok(found)
}

fn holds(header: &BatchHeader, offset: Offset) -> bool {
    (header.base_offset..=header.last_offset()).contains(&offset.0)
}

/// What a record counts of `bytes_max`: its bytes, and what it takes to hold it, so that records
/// without any have an end, too.
fn weight(record: &Record) -> usize {
    let of_headers: usize = record
        .headers
        .iter()
        .map(|header| {
            let value = header.value.as_ref().map_or(0, Bytes::len);
            HEADER_WEIGHT + header.name_bytes.len() + value
        })
        .sum();
    RECORD_WEIGHT + record.value.as_ref().map_or(0, Bytes::len) + of_headers
}

/// Entries that are looked up together.
const ENTRIES_AT_ONCE: usize = 256;
/// One read brings in most batches of events whole; more would only be copied for nothing.
const READ_BYTES: usize = 4 << 10;
const RECORD_WEIGHT: usize = 64;
const HEADER_WEIGHT: usize = 16;
