//! Makes the key index of a log from its records.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - Records without a key are no part of a stream. Of those that are damaged nobody can tell.

use bytes::Bytes;
use highwater_proto::batch::check_crc;
use highwater_proto::record::{Record, RecordIter};

use super::LogReader;
use super::walk::{ACCEPTED_BYTES_MAX, Bounds, searched};
use crate::error::LogError;
use crate::key_index::{Entry, KeyIndex};
use crate::keys::{Expect, KeySeed, Keyed, RecordKey};
use crate::types::Offset;

impl LogReader {
    /// Notes the records between what an index covers and `end`.
    pub(crate) fn fill_keys(&self, index: &KeyIndex, end: Offset) -> Result<(), LogError> {
        let from = index.covered().max(self.start());
        let view = self.shared.view.load();
        for segment in searched(&view, Bounds { start: from, end }) {
            let Some(begin) = segment.begin(from, i64::MIN)? else {
                continue;
            };
            self.walk(segment, begin, end, |file, position, header| {
                if header.last_offset() < from.0 {
                    return Ok(None::<()>);
                }
                let batch = file.read_at(position, header.total_bytes());
                let batch = batch.map_err(|error| self.io(segment, error))?;
                if check_crc(&batch).is_err() {
                    return Ok(None);
                }
                let position = u32::try_from(position).unwrap_or(u32::MAX);
                let records = RecordIter::new(batch, ACCEPTED_BYTES_MAX)?;
                fill_from(index, records, from, position)?;
                index.spill_if_due(Offset(header.last_offset()).plus(1));
                Ok(None)
            })?;
        }
        Ok(())
    }
}

/// The keys of a batch that is to be appended; nothing is expected of them.
///
/// # Errors
/// [`LogError::Keys`] if a record has no key.
pub(crate) fn keys_of(batch: &Bytes, seed: KeySeed) -> Result<Keyed, LogError> {
    let records = RecordIter::new(batch.clone(), ACCEPTED_BYTES_MAX)?;
    let keys = records.map(|record| {
        record_key(&record?, seed).ok_or_else(|| LogError::Keys {
            why: "a record of a log with a key index needs a key".to_owned(),
        })
    });
    Ok(Keyed {
        checks: Vec::new(),
        records: keys.collect::<Result<_, _>>()?,
    })
}

/// Notes the records of one batch from an offset on.
fn fill_from(
    index: &KeyIndex,
    records: RecordIter,
    from: Offset,
    position: u32,
) -> Result<(), LogError> {
    for record in records {
        let record = record?;
        // A start may lie within a batch.
        if record.offset < from.0 {
            continue;
        }
        if let Some(known) = record_key(&record, index.seed()) {
            let offset = Offset(record.offset);
            let head = index.head(known.key)?;
            let entry = Entry::behind(head, &known, offset)?.at(position);
            index.note([entry].into_iter());
        }
    }
    Ok(())
}

fn record_key(record: &Record, seed: KeySeed) -> Option<RecordKey> {
    Some(RecordKey {
        key: seed.hash(record.key.as_ref()?),
        is_tombstone: record.value.is_none(),
        expect: Expect::Any,
    })
}
