//! Recovery: every record of an internal log, in order.
//!
//! Floor 3 of broker.
//!
//! Invariants
//! - A record that cannot be read or applied stops the replay; nothing is skipped.

use bytes::Bytes;
use highwater_log::reader::{LogReader, Minimum, Slice, UpTo};
use highwater_log::types::Offset;
use highwater_proto::batch::Batches;
use highwater_proto::record::{Record, RecordIter};
use thiserror::Error;

use crate::coordinator::Encode;
use crate::machine::Machine;

/// A machine that has seen every record of its log.
#[derive(Debug)]
pub struct Replayed<M> {
    /// The machine.
    pub machine: M,
    /// The bytes of the log.
    pub bytes: u64,
}

/// The log of a machine cannot be read or applied.
#[derive(Debug, Error)]
#[error("the record at offset {offset}: {why}")]
pub struct ReplayError {
    /// The first offset that is to blame.
    pub offset: Offset,
    /// What is wrong there.
    pub why: String,
}

/// Gives a new machine every record of its log. Blocks.
pub fn replay<M: Machine>(mut machine: M, log: &LogReader) -> Result<Replayed<M>, ReplayError>
where
    M::Record: Encode,
{
    let bytes = replay_records(log, |record| {
        let value = record.value.unwrap_or_default();
        let record = M::Record::decode(&value)?;
        machine.check(&record)?;
        machine.apply(&record);
        Ok(())
    })?;
    Ok(Replayed { machine, bytes })
}

/// Gives `each` every record of a log, in order, until it refuses one; answers the bytes of the
/// log. Blocks.
pub fn replay_records(
    log: &LogReader,
    mut each: impl FnMut(Record) -> Result<(), String>,
) -> Result<u64, ReplayError> {
    let (mut next, mut bytes) = (log.start(), 0);
    while next < log.end() {
        let failed = |why: String| ReplayError { offset: next, why };
        let slice = log
            .read(next, READ_BYTES, UpTo::End, Minimum::OneBatch)
            .map_err(|error| failed(error.to_string()))?;
        if slice.next_offset <= next {
            return Err(failed("no batch is there".to_owned()));
        }
        let (from, to) = (next, slice.next_offset);
        bytes += slice.bytes as u64;
        for batch in batches(&slice).map_err(failed)? {
            replay_batch(batch, from, &mut each)?;
        }
        next = to;
    }
    Ok(bytes)
}

/// Gives the records of one batch that are not below `from`.
fn replay_batch(
    batch: Bytes,
    from: Offset,
    each: &mut impl FnMut(Record) -> Result<(), String>,
) -> Result<(), ReplayError> {
    let failed = |offset, why| ReplayError { offset, why };
    let records = RecordIter::new(batch, usize::MAX)
        .and_then(Iterator::collect::<Result<Vec<Record>, _>>)
        .map_err(|error| failed(from, error.to_string()))?;
    for record in records.into_iter().filter(|record| record.offset >= from.0) {
        let offset = Offset(record.offset);
        each(record).map_err(|why| failed(offset, why))?;
    }
    Ok(())
}

fn batches(slice: &Slice) -> Result<Vec<Bytes>, String> {
    let whole = match slice.parts.as_slice() {
        [one] => one.clone(),
        parts => parts.concat().into(),
    };
    Batches::new(&whole)
        .map(|scanned| scanned.map(|batch| whole.slice_ref(batch.bytes)))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// How much of the log is read at once.
const READ_BYTES: usize = 1 << 20;
