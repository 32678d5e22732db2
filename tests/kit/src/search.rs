//! Finding by offset and by time, against a linear scan of everything.

use highwater_log::error::LogError;
use highwater_log::reader::{LogReader, Minimum, UpTo};
use highwater_log::types::Offset;
use highwater_proto::record::{Record, RecordIter};

use crate::model::Contents;
use crate::oracle::{Oracle, Violation, violation};

/// Asks for every offset and around every timestamp.
pub(crate) fn check(
    reader: &LogReader,
    contents: &Contents,
) -> Result<Result<(), Violation>, LogError> {
    for offset in contents.start..contents.end {
        let slice = reader.read(Offset(offset), 1, UpTo::Durable, Minimum::OneBatch)?;
        let found: Vec<u8> = slice.parts.concat();
        let expected = contents.batches.iter().find(|stored| stored.last >= offset);
        if expected.is_none_or(|stored| stored.bytes != found) {
            let text = format!("offset {offset} is not in the batch that a read of it gave");
            return Ok(Err(violation(Oracle::Search, text)));
        }
    }
    let records = records(contents);
    let mut times: Vec<i64> = records
        .iter()
        .flat_map(|record| [record.timestamp - 1, record.timestamp])
        .collect();
    times.extend(records.iter().map(|record| record.timestamp + 1));
    times.sort_unstable();
    times.dedup();
    for time in times {
        let expected = records.iter().find(|record| record.timestamp >= time);
        let expected = expected.map(|record| (record.offset, record.timestamp));
        let found = reader
            .find_time(time)?
            .map(|hit| (hit.offset.0, hit.timestamp));
        if found != expected {
            let text = format!("time {time}: found {found:?}, a scan finds {expected:?}");
            return Ok(Err(violation(Oracle::Search, text)));
        }
    }
    Ok(Ok(()))
}

/// The records that may be read, in order.
fn records(contents: &Contents) -> Vec<Record> {
    let batches = contents.batches.iter();
    let records = batches.flat_map(|stored| {
        let records = RecordIter::new(stored.bytes.clone(), RECORDS_BYTES_MAX);
        records.expect("the batch was checked")
    });
    records
        .map(|record| record.expect("the batch was checked"))
        .filter(|record| record.offset >= contents.start)
        .collect()
}

const RECORDS_BYTES_MAX: usize = 1 << 20;
